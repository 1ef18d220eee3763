// top_text: pieces of a line: cells of a width, durations, rates. A line carries its looks in it as
// control characters, which text from outside never has (sanitize.h).
#ifndef TOP_TEXT_H
#define TOP_TEXT_H

#include <jansson.h>
#include <stddef.h>

#include "buf.h"

// A look holds to the end of the line or to the next one.
#define TOP_PLAIN "\001"
#define TOP_HEAD "\002"   // a title, a column's name
#define TOP_DIM "\003"    // what is of less interest
#define TOP_BAD "\004"    // errors
#define TOP_WARN "\005"   // what wants a look
#define TOP_GOOD "\006"   // what goes well
#define TOP_ACCENT "\016" // what matters most
enum {
    TOP_LOOKS = 15 // above all of them
};
#define TOP_IS_LOOK(c) (((c) >= 1 && (c) <= 6) || (c) == 14)

// Appends `text` (from outside or not), cut to `width` columns and padded to them: on the right, or
// on the left where `width` is negative.
void top_cell(rl_buf_t *out, const char *text, int width);
void top_cellf(rl_buf_t *out, int width, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// "3.2 ms", "182 ms", "1.92 s", "–" for 0.
const char *top_duration(double ms, char out[32]);
// "7", "1234", "18.2k"
const char *top_count(double value, char out[32]);
// A rate: "0", "0.3", "42", "18.2k"
const char *top_amount(double value, char out[32]);

// Members of a snapshot: 0 and "" where there is none.
double top_number(const json_t *object, const char *key);
const char *top_word(const json_t *object, const char *key);

// Appends lines without their looks, and without blanks at their ends.
void top_strip(rl_buf_t *out, const char *text, size_t size);

#endif
