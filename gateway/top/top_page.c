// top_page: what is shown of a sum of snapshots. The tables are top_tables.c's.
#include "top_page.h"

#include <string.h>

#include "clean.h"
#include "top_private.h"

// ------------------------------------------------------------------------------------------ head

static void add_head(const json_t *sum, rl_buf_t *out)
{
    const json_t *gateways = json_object_get(sum, "gateways"), *each;
    size_t at, there = 0;
    json_array_foreach(gateways, at, each)
    {
        there += *top_word(each, "error") == '\0' && *top_word(each, "gateway");
    }
    rl_buf_adds(out, TOP_HEAD "ragline-top" TOP_PLAIN "  ");
    if (json_array_size(gateways) == 1 && there == 1)
        top_cell(out, top_word(json_array_get(gateways, 0), "url"), 60);
    else
        rl_buf_addf(out, "%s%zu of %zu gateways" TOP_PLAIN,
                    there < json_array_size(gateways) ? TOP_WARN : "", there,
                    json_array_size(gateways));
    while (out->size > 0 && out->data[out->size - 1] == ' ')
        out->data[--out->size] = '\0';
    rl_buf_adds(out, "\n");
    json_array_foreach(gateways, at, each)
    {
        const char *error = top_word(each, "error"), *state = top_word(each, "state");
        if (!*error && strcmp(state, "stopping") != 0 && strcmp(state, "asked") != 0)
            continue;
        rl_buf_adds(out, *error ? TOP_BAD : TOP_WARN);
        clean_line(out, top_word(each, "url"), 60);
        rl_buf_adds(out, ": ");
        clean_line(out,
                   *error                        ? error
                   : strcmp(state, "asked") == 0 ? "asked"
                                                 : "it is stopping",
                   200);
        rl_buf_adds(out, TOP_PLAIN "\n");
    }
}

// --------------------------------------------------------------------------------- what happens

static void add_in_flight(const json_t *sum, rl_buf_t *out)
{
    const json_t *in_flight = json_object_get(sum, "in_flight");
    const json_t *value;
    const char *state;
    char text[32];
    rl_buf_addf(out, "in flight   " TOP_HEAD "%.0f" TOP_PLAIN, top_number(in_flight, "total"));
    json_object_foreach(json_object_get(in_flight, "states"), state, value)
    {
        double count = json_number_value(value);
        rl_buf_addf(out, "%s  ",
                    count == 0                      ? TOP_DIM
                    : strcmp(state, "waiting") == 0 ? TOP_WARN
                                                    : TOP_PLAIN);
        clean_line(out, state, 20);
        rl_buf_addf(out, " %.0f", count);
    }
    rl_buf_adds(out, TOP_PLAIN);
    if (top_number(in_flight, "oldest_ms") > 0)
        rl_buf_addf(out, "  oldest %s", top_duration(top_number(in_flight, "oldest_ms"), text));
    rl_buf_adds(out, "\n");
}

// In which row a rate is told, and whether it is bad news when it is not 0. What is not in here
// (a gateway of another version) comes last.
static const struct {
    const char *name, *look;
    int row;
} rates[] = {
    {"questions", TOP_ACCENT, 0}, {"answers", TOP_GOOD, 0},    {"tokens", TOP_PLAIN, 0},
    {"failed", TOP_BAD, 0},       {"refused", TOP_BAD, 0},     {"cancelled", TOP_PLAIN, 0},
    {"searches", TOP_PLAIN, 1},   {"hedges", TOP_PLAIN, 1},    {"hedges_won", TOP_PLAIN, 1},
    {"retries", TOP_WARN, 1},     {"incomplete", TOP_WARN, 1}, {"fallbacks", TOP_WARN, 1},
    {"gaps", TOP_WARN, 2},        {"strays", TOP_WARN, 2},     {"bad_messages", TOP_BAD, 2},
    {"embed_errors", TOP_WARN, 2}};
enum {
    RATES = sizeof rates / sizeof *rates,
    RATE_ROWS = 3
};

static int find_rate(const char *name)
{
    for (int at = 0; at < RATES; at++)
        if (strcmp(rates[at].name, name) == 0)
            return at;
    return -1;
}

static void add_rate(const char *name, const char *look, double value, rl_buf_t *out)
{
    char text[32], words[40];
    snprintf(words, sizeof words, "%s", name);
    for (char *at = words; *at; at++)
        *at = *at == '_' ? ' ' : *at;
    rl_buf_adds(out, value > 0 ? look : TOP_DIM);
    clean_line(out, words, 24);
    rl_buf_addf(out, " %s  ", top_amount(value, text));
}

static void add_rates(const json_t *sum, const top_view_t *view, rl_buf_t *out)
{
    const json_t *values = json_object_get(top_window(sum, view->minute), "per_second"), *value;
    static const char *const titles[RATE_ROWS] = {"per second  ", "            ", "            "};
    const char *name;
    for (int row = 0; row < RATE_ROWS; row++) {
        rl_buf_addf(out, TOP_PLAIN "%s", titles[row]);
        for (int at = 0; at < RATES; at++)
            if (rates[at].row == row)
                add_rate(rates[at].name, rates[at].look, top_number(values, rates[at].name), out);
        if (row == RATE_ROWS - 1) {
            json_object_foreach((json_t *)(uintptr_t)values, name, value)
            {
                if (find_rate(name) < 0)
                    add_rate(name, TOP_PLAIN, json_number_value(value), out);
            }
        }
        rl_buf_adds(out, TOP_PLAIN "\n");
    }
}

void top_page(const json_t *sum, const top_view_t *view, rl_buf_t *out)
{
    add_head(sum, out);
    add_in_flight(sum, out);
    add_rates(sum, view, out);
    rl_buf_adds(out, "\n");
    top_times(sum, view, out);
    rl_buf_adds(out, "\n");
    top_stages(sum, view, out);
    rl_buf_adds(out, "\n");
    top_workers(sum, view, out);
}

// -------------------------------------------------------------------------------------- one line

void top_line(const json_t *sum, const char *clock, rl_buf_t *out)
{
    static const char *const said[] = {"questions", "answers", "tokens", "failed", "refused"};
    static const char *const shares[] = {"p50", "p90", "p99"};
    const json_t *window = top_window(sum, false), *each, *value;
    const json_t *first = json_object_get(json_object_get(window, "times"), "first_token");
    const json_t *in_flight = json_object_get(sum, "in_flight");
    size_t at, there = 0, ready = 0;
    const char *state;
    json_array_foreach(json_object_get(sum, "gateways"), at, each)
    {
        there += *top_word(each, "gateway") != '\0';
    }
    json_array_foreach(json_object_get(sum, "workers"), at, each)
    {
        ready += strcmp(top_word(each, "state"), "ready") == 0;
    }
    rl_buf_addf(out, "%s gateways=%zu/%zu workers=%zu/%zu in_flight=%.0f", clock, there,
                json_array_size(json_object_get(sum, "gateways")), ready,
                json_array_size(json_object_get(sum, "workers")), top_number(in_flight, "total"));
    json_object_foreach(json_object_get(in_flight, "states"), state, value)
    {
        rl_buf_adds(out, " ");
        clean_line(out, state, 20);
        rl_buf_addf(out, "=%.0f", json_number_value(value));
    }
    for (at = 0; at < sizeof said / sizeof *said; at++)
        rl_buf_addf(out, " %s_per_s=%.1f", said[at],
                    top_number(json_object_get(window, "per_second"), said[at]));
    for (at = 0; at < sizeof shares / sizeof *shares; at++) {
        char key[16];
        snprintf(key, sizeof key, "%s_ms", shares[at]);
        rl_buf_addf(out, " first_token_%s=%.1f", key, top_number(first, key));
    }
    rl_buf_adds(out, "\n");
}
