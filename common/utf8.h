// utf8: checks and repairs of text that comes from outside.
#ifndef RL_UTF8_H
#define RL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether these bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms) without NUL.
bool rl_utf8_valid(const char *text, size_t size);

// How many of these bytes can be passed on now: all, less an incomplete character at the end that
// further bytes may complete (at most 3 bytes held back).
size_t rl_utf8_whole(const char *text, size_t size);

// A malloc'd copy, owned by the caller, in which every invalid byte and every NUL is U+FFFD.
// *out_size (may be NULL) gets its size.
char *rl_utf8_repair(const char *text, size_t size, size_t *out_size);

// The number of code points in valid UTF-8.
size_t rl_utf8_length(const char *text, size_t size);

// The next code point of `text` (size > 0) and in *used its bytes; an invalid byte is U+FFFD.
uint32_t rl_utf8_next(const char *text, size_t size, size_t *used);

#endif
