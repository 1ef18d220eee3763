// top_text: pieces of a line.
#include "top_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sanitize.h"

enum {
    MAX_CELL = 4096
};

void top_cell(rl_buf_t *out, const char *text, int width)
{
    rl_buf_t cell = rl_buf_make(MAX_CELL);
    size_t wide = (size_t)abs(width);
    rl_sanitize_line(&cell, text, wide);
    const char *made = cell.data ? cell.data : "";
    size_t columns = rl_sanitize_columns(made);
    int pad = columns < wide ? (int)(wide - columns) : 0;
    rl_buf_addf(out, "%*s%s%*s", width < 0 ? pad : 0, "", made, width < 0 ? 0 : pad, "");
    rl_buf_free(&cell);
}

void top_cellf(rl_buf_t *out, int width, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    top_cell(out, text, width);
}

const char *top_duration(double ms, char out[32])
{
    if (ms <= 0)
        snprintf(out, 32, "–");
    else if (ms < 0.005)
        snprintf(out, 32, "<0.01 ms");
    else if (ms < 0.995)
        snprintf(out, 32, "%.2f ms", ms);
    else if (ms < 9.95)
        snprintf(out, 32, "%.1f ms", ms);
    else if (ms < 999.5)
        snprintf(out, 32, "%.0f ms", ms);
    else if (ms < 99950)
        snprintf(out, 32, "%.*f s", ms < 9995 ? 2 : 1, ms / 1000);
    else
        snprintf(out, 32, "%.0f s", ms < 1e9 ? ms / 1000 : 1e6);
    return out;
}

const char *top_count(double value, char out[32])
{
    if (value < 9999.5)
        snprintf(out, 32, "%.0f", value > 0 ? value : 0);
    else
        top_amount(value, out);
    return out;
}

const char *top_amount(double value, char out[32])
{
    if (value <= 0)
        snprintf(out, 32, "0");
    else if (value < 9.95)
        snprintf(out, 32, "%.1f", value);
    else if (value < 9999.5)
        snprintf(out, 32, "%.0f", value);
    else if (value < 9.9995e6)
        snprintf(out, 32, "%.1fk", value / 1e3);
    else
        snprintf(out, 32, "%.1fM", value < 1e12 ? value / 1e6 : 1e6);
    return out;
}

double top_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : 0;
}

const char *top_word(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

void top_strip(rl_buf_t *out, const char *text, size_t size)
{
    size_t blanks = 0; // that would end the line are left out
    for (size_t at = 0; at < size; at++) {
        if (TOP_IS_LOOK(text[at]))
            continue;
        if (text[at] == ' ') {
            blanks++;
            continue;
        }
        if (text[at] != '\n' && blanks > 0)
            rl_buf_addf(out, "%*s", (int)blanks, "");
        blanks = 0;
        rl_buf_add(out, text + at, 1);
    }
}
