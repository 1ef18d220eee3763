// bars: the timeline of an answer as bars of text.
#include "bars.h"

#include <string.h>

#include "buf.h"
#include "sanitize.h"

enum {
    LABEL = 22,
    TOOK = 9,
    NARROWEST = 10,
    WIDEST = 60,
    MAX_SPANS = 40,
    MAX_LABEL = 1024, // bytes
};

static double number_at(const json_t *object, const char *key)
{
    double value = json_number_value(json_object_get(object, key));
    return value >= 0 && value < 1e12 ? value : 0;
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static look_t look_of(const char *stage)
{
    static const struct {
        const char *stages;
        look_t look;
    } looks[] = {
        {" embed embedding search searching rewrite rewriting ", STYLE_SEARCH},
        {" merge merging merged rerank prompt ", STYLE_MERGE},
        {" connect send generating generate prefill first_token reading ", STYLE_READ},
        {" stream streaming tokens writing ", STYLE_WRITE},
    };
    char word[64];
    snprintf(word, sizeof word, " %.60s ", stage);
    for (size_t at = 0; at < sizeof looks / sizeof *looks; at++)
        if (strstr(looks[at].stages, word))
            return looks[at].look;
    return STYLE_WAIT;
}

void bars_draw(char *out, int width, double start, double length, bool unicode)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int parts = unicode ? 8 : 1;
    int first = (int)(start * width);
    first = first < 0 ? 0 : first >= width ? width - 1 : first;
    int marks = (int)(length * width * parts + 0.5);
    marks = marks < 1 ? 1 : marks > (width - first) * parts ? (width - first) * parts : marks;
    int column = first + (marks + parts - 1) / parts;
    memset(out, ' ', (size_t)first);
    out += first;
    for (int at = 0; at < marks / parts; at++)
        out = stpcpy(out, unicode ? "█" : "#");
    out = stpcpy(out, eighths[marks % parts]);
    memset(out, ' ', (size_t)(width - column));
    out[width - column] = '\0';
}

// `indent` columns before the label.
static void write_row(FILE *out, const style_t *style, int indent, const char *label,
                      const char *stage, double start, double ms, double total)
{
    int width = style->columns - LABEL - TOOK - 4;
    width = width < NARROWEST ? NARROWEST : width > WIDEST ? WIDEST : width;
    char bar[4 * WIDEST + 8], took[32];
    rl_buf_t name = rl_buf_make(MAX_LABEL);
    rl_sanitize_line(&name, label, (size_t)(LABEL - indent));
    bars_draw(bar, width, start / total, ms / total, style->unicode);
    const char *shown = name.data ? name.data : "";
    fprintf(out, "%*s%s%*s %s%s%s %*s\n", indent, "", shown,
            LABEL - indent - (int)rl_sanitize_columns(shown), "", style_on(style, look_of(stage)),
            bar, style_on(style, STYLE_OFF), TOOK, style_duration(ms, took));
    rl_buf_free(&name);
}

static void write_spans(FILE *out, const style_t *style, const json_t *spans, double total)
{
    size_t at;
    const json_t *span;
    json_array_foreach(spans, at, span)
    {
        char label[256];
        const char *stage = text_at(span, "stage"), *source = text_at(span, "source");
        if (at == MAX_SPANS) {
            fprintf(out, "  and %zu more\n", json_array_size(spans) - at);
            return;
        }
        bool search = strcmp(stage, "search") == 0 && *source;
        snprintf(label, sizeof label, "%s%s%s", search ? "" : stage, *source && !search ? " " : "",
                 source);
        write_row(out, style, 2, label, stage, number_at(span, "start_ms"), number_at(span, "ms"),
                  total);
    }
}

void bars_write(FILE *out, const style_t *style, const json_t *timings)
{
    double total = number_at(timings, "total_ms");
    const json_t *states = json_object_get(timings, "states"), *state;
    size_t at;
    char whole[32], first[32];
    if (total <= 0)
        return;
    json_array_foreach(states, at, state)
    {
        const char *name = text_at(state, "state");
        write_row(out, style, 0, name, name, number_at(state, "start_ms"), number_at(state, "ms"),
                  total);
    }
    write_spans(out, style, json_object_get(timings, "spans"), total);
    fprintf(out, "%s%s in all", style_on(style, STYLE_DIM), style_duration(total, whole));
    if (json_is_number(json_object_get(timings, "first_token_ms")))
        fprintf(out, ", first word after %s",
                style_duration(number_at(timings, "first_token_ms"), first));
    if (json_is_number(json_object_get(timings, "found_ms")))
        fprintf(out, ", first passages after %s",
                style_duration(number_at(timings, "found_ms"), first));
    if (json_is_number(json_object_get(timings, "quick_answer_ms")))
        fprintf(out, ", quotation after %s",
                style_duration(number_at(timings, "quick_answer_ms"), first));
    fprintf(out, "%s\n", style_on(style, STYLE_OFF));
}
