// early: lines on a terminal that stand there until something better comes, and then give their
// place to it: passages before all are there, a quotation before the answer.
#ifndef EARLY_H
#define EARLY_H

#include <jansson.h>
#include <stdio.h>

#include "style.h"

typedef struct early early_t;

// Writes to `out`, which must be a terminal (style->terminal).
early_t *early_new(FILE *out, const style_t *style);
void early_destroy(early_t **self_p);

// One more line, clean and no wider than the terminal. Passed over where there are as many as can
// be taken back.
void early_line(early_t *self, const char *text);

// Text, wrapped, of at most as many lines as can be taken back.
void early_text(early_t *self, const char *text);

// Takes the lines back: the cursor is where the first one began. It must stand in the line behind
// the last one.
void early_clear(early_t *self);

// The lines stay.
void early_keep(early_t *self);

#endif
