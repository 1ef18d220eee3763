// bars: the timeline of an answer as bars of text.
#ifndef BARS_H
#define BARS_H

#include <jansson.h>
#include <stdio.h>

#include "style.h"

// `timings` is the data of a timings event. The steps, which add up to the whole, come first, then
// what went on below them. Writes nothing if there is nothing to show.
void bars_write(FILE *out, const style_t *style, const json_t *timings);

// One bar of `width` columns: `start` and `length` in parts of the whole (0 to 1). In eighths of a
// column with unicode, else with #. At least one mark, never past the end. `out` holds 4 * width
// + 8.
void bars_draw(char *out, int width, double start, double length, bool unicode);

#endif
