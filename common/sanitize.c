// sanitize: text that came from outside, made harmless for a terminal.
#include "sanitize.h"

#include <string.h>
#include <wchar.h>

#include "utf8.h"

bool rl_sanitize_is_harmful(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point < 0xA0) ||
           (point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069) ||
           point == 0x2028 || point == 0x2029 || point == 0xFEFF;
}

int rl_sanitize_width(uint32_t point)
{
    int width = wcwidth((wchar_t)point);
    return width < 0 ? 1 : width;
}

void rl_sanitize_line(rl_buf_t *out, const char *text, size_t columns)
{
    size_t size = strlen(text), used, column = 0,
           mark = out->size; // mark: where "…" would still fit
    bool gap = false, any = false;
    for (size_t at = 0; at < size; at += used) {
        uint32_t point = rl_utf8_next(text + at, size - at, &used);
        if (point == ' ' || point == '\n' || point == '\t' || point == '\r') {
            gap = any;
            continue;
        }
        size_t width = (size_t)rl_sanitize_width(point) + gap;
        if (columns && column + width > columns) {
            out->size = mark;
            if (out->data)
                out->data[mark] = '\0';
            rl_buf_adds(out, "…");
            return;
        }
        if (gap)
            rl_buf_adds(out, " ");
        if (rl_sanitize_is_harmful(point) || point == 0xFFFD)
            rl_buf_adds(out, "\uFFFD");
        else
            rl_buf_add(out, text + at, used);
        column += width;
        if (column + 1 <= columns)
            mark = out->size;
        gap = false;
        any = true;
    }
}

size_t rl_sanitize_columns(const char *text)
{
    size_t size = strlen(text), used, columns = 0;
    for (size_t at = 0; at < size; at += used)
        columns += (size_t)rl_sanitize_width(rl_utf8_next(text + at, size - at, &used));
    return columns;
}

void rl_sanitize_json(rl_buf_t *out, const char *json, size_t size)
{
    size_t used, from = 0;
    for (size_t at = 0; at < size; at += used) {
        uint32_t point = rl_utf8_next(json + at, size - at, &used);
        bool layout = point == '\n' || point == '\t' || point == '\r';
        if (layout || !rl_sanitize_is_harmful(point))
            continue;
        rl_buf_add(out, json + from, at - from);
        rl_buf_addf(out, "\\u%04x", point);
        from = at + used;
    }
    rl_buf_add(out, json + from, size - from);
}
