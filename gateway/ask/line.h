// line: a line while it is typed: its text, the cursor in it, and the lines before it.
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "typed.h"

typedef struct line line_t;

// At most `max` bytes.
line_t *line_new(size_t max);
void line_destroy(line_t **self_p);

// Valid UTF-8, never NULL.
const char *line_text(const line_t *self);
// Bytes before the cursor, which stands before a whole character (with the marks on it).
size_t line_cursor(const line_t *self);

// Puts a character in at the cursor; false if there is no room for it.
bool line_insert(line_t *self, const char *bytes, size_t size);
// What a key does to the line; false if it does nothing.
bool line_key(line_t *self, typed_key_t key);
// The line is done: it is kept for TYPED_UP if it holds more than blanks, and a new one begins.
void line_done(line_t *self);

// Where the cursor stands on a screen of so many columns after `size` bytes of `text`, the first of
// which stands at column `from`: rows below the first, and the column. What is in `out` (may be
// NULL) are the bytes that show the text, each row but the last ended by "\r\n".
typedef struct line_place {
    size_t row, column;
} line_place_t;
line_place_t line_lay(const char *text, size_t size, size_t from, size_t columns, rl_buf_t *out);

#endif
