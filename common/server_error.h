// server_error: what a server says in the body of an error, for people.
#ifndef RL_SERVER_ERROR_H
#define RL_SERVER_ERROR_H

#include <stdbool.h>
#include <stddef.h>

// Writes {"error": {"message"}}, {"error"}, {"message"} or {"detail"}, whichever is there (or is in
// the first item of a list), else the beginning of the body, into `out` of `out_size` bytes: on one
// line, valid UTF-8, cut where it is too long.
void rl_server_error_text(const char *body, size_t size, char *out, size_t out_size);

// A text from outside, written so: on one line, valid UTF-8, cut where it is too long.
void rl_server_error_line(const char *text, size_t size, char *out, size_t out_size);

// Whether such a text says that an input has more tokens than the model reads.
bool rl_server_error_is_too_long(const char *text);

#endif
