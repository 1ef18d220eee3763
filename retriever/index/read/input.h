// input: a file's bytes, unpacked if gzip, whole or line by line, and made valid UTF-8.
#ifndef INPUT_H
#define INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "report.h"

enum {
    INPUT_MAX_FILE = 64 << 20, // bytes of a file that is read whole (unpacked)
    INPUT_MAX_LINE = 16 << 20, // bytes of a line of a file that is read line by line
};

typedef struct input input_t;

// Opens a regular file. Returns NULL and writes into `why` what is wrong.
input_t *input_new(const char *path, char *why, size_t why_size);

// Its two halves: the descriptor of a regular file, or -1 with `why`; and an input that owns it.
int input_open(const char *path, char *why, size_t why_size);
input_t *input_take(int fd);

void input_destroy(input_t **self_p);

// The first bytes (at most 8 KiB), without taking them. Owned by the input.
const char *input_head(input_t *self, size_t *size_p);

// All of the file into `out` (made with INPUT_MAX_FILE). Returns 0, or -1 with `why`.
int input_all(input_t *self, rl_buf_t *out, char *why, size_t why_size);

// The next line, without its end, into `out` (made with INPUT_MAX_LINE). Returns 1; 0 at the
// end; -1 with `why` if this line is of no use (the next call goes on behind it) or the file cannot
// be read further (then every later call returns 0).
int input_line(input_t *self, rl_buf_t *out, char *why, size_t why_size);

// What kind of failure the last one was.
report_reason_t input_failure(const input_t *self);

// How much of the file on disk has been read, in bytes, for progress.
uint64_t input_read(const input_t *self);

// Whether these first bytes are no text: zeros or control characters among them, and no UTF-16.
bool input_binary(const char *head, size_t size);

// Whether bytes that are no text are UTF-16 without a mark: every other one of them is zero.
bool input_utf16(const char *head, size_t size);

// The bytes as valid UTF-8 without NUL, line ends as \n, no byte order mark: UTF-16 with a mark and
// a charset named in the text's first lines are converted, whatever is left invalid becomes
// U+FFFD. Returns a malloc'd string, which the caller owns (NULL if memory ran out); *repaired_p
// gets the number of bytes that were replaced.
char *input_text(const char *data, size_t size, size_t *out_size, size_t *repaired_p);

#endif
