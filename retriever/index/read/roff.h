// roff: lines of troff text: escapes become characters, strings (.ds) are put in, requests are
// taken apart into arguments.
#ifndef ROFF_H
#define ROFF_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

typedef struct roff roff_t; // the strings that a page defines

roff_t *roff_new(void);
void roff_destroy(roff_t **self_p);

// Defines a string; past a bound (256 strings, 1 KiB each) nothing happens.
void roff_define(roff_t *self, const char *name, size_t name_size, const char *value,
                 size_t value_size);

// Appends the text that a reader sees.
void roff_text(const roff_t *self, const char *text, size_t size, rl_buf_t *out);

// A condition (of .if and .ie) as nroff on a terminal finds it: "n", "t", "!n", "'a'b'", "1", …;
// what it cannot know (numbers, whether something is defined) does not hold. *rest_p gets the place
// behind it.
bool roff_condition(const roff_t *self, const char *text, size_t size, size_t *rest_p);

// Takes the arguments behind a request's name apart: divided by blanks, or in double quotes, where
// "" is one. Each is appended to `memory` followed by NUL, still with its escapes; list[i] is where
// it begins. Returns their number, at most `room`; further ones are left out.
size_t roff_args(const char *text, size_t size, rl_buf_t *memory, size_t *list, size_t room);

#endif
