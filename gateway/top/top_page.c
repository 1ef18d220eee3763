// top_page: what is shown of a sum of snapshots. The tables are top_tables.c's.
#include "top_page.h"

#include <string.h>

#include "sanitize.h"
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
        rl_sanitize_line(out, top_word(json_array_get(gateways, 0), "url"), 60);
    else
        rl_buf_addf(out, "%s%zu of %zu gateways" TOP_PLAIN,
                    there < json_array_size(gateways) ? TOP_WARN : "", there,
                    json_array_size(gateways));
    rl_buf_adds(out, "\n");
    json_array_foreach(gateways, at, each)
    {
        const char *error = top_word(each, "error"), *state = top_word(each, "state");
        if (!*error && strcmp(state, "stopping") != 0 && strcmp(state, "asked") != 0)
            continue;
        rl_buf_adds(out, *error ? TOP_BAD : TOP_WARN);
        rl_sanitize_line(out, top_word(each, "url"), 60);
        rl_buf_adds(out, ": ");
        rl_sanitize_line(out,
                         *error                        ? error
                         : strcmp(state, "asked") == 0 ? "asked"
                                                       : "it is stopping",
                         200);
        rl_buf_adds(out, TOP_PLAIN "\n");
    }
}

// --------------------------------------------------------------------------------- what happens

enum {
    TITLE = 12, // columns in front of a row's items
    MAX_ITEM = 256,
};

// A row of items that goes on in the next line where the terminal's ends.
typedef struct flow {
    rl_buf_t *out;
    size_t column, columns;
} flow_t;

static flow_t begin_flow(rl_buf_t *out, const char *title, const top_view_t *view)
{
    rl_buf_adds(out, TOP_PLAIN);
    top_cell(out, title, TITLE);
    return (flow_t){out, TITLE, view->columns > 0 ? (size_t)view->columns : 0};
}

static void add_item(flow_t *self, const char *look, const char *name, const char *value)
{
    rl_buf_t item = rl_buf_make(MAX_ITEM);
    rl_sanitize_line(&item, name, 24);
    for (size_t at = 0; at < item.size; at++)
        item.data[at] = item.data[at] == '_' ? ' ' : item.data[at];
    rl_buf_addf(&item, " %s", value);
    size_t width = rl_sanitize_columns(item.data);
    if (self->column > TITLE && self->column + width > self->columns) {
        rl_buf_addf(self->out, "\n%*s", TITLE, "");
        self->column = TITLE;
    }
    rl_buf_addf(self->out, "%s%s" TOP_PLAIN "  ", look, item.data);
    self->column += width + 2;
    rl_buf_free(&item);
}

static void add_in_flight(const json_t *sum, const top_view_t *view, rl_buf_t *out)
{
    const json_t *in_flight = json_object_get(sum, "in_flight");
    const json_t *value;
    const char *state;
    char text[32];
    flow_t flow = begin_flow(out, "in flight", view);
    snprintf(text, sizeof text, "%.0f", top_number(in_flight, "total"));
    add_item(&flow, TOP_HEAD, "all", text);
    json_object_foreach(json_object_get(in_flight, "states"), state, value)
    {
        double count = json_number_value(value);
        snprintf(text, sizeof text, "%.0f", count);
        add_item(&flow,
                 count == 0                      ? TOP_DIM
                 : strcmp(state, "waiting") == 0 ? TOP_WARN
                                                 : TOP_PLAIN,
                 state, text);
    }
    if (top_number(in_flight, "oldest_ms") > 0)
        add_item(&flow, TOP_PLAIN, "oldest",
                 top_duration(top_number(in_flight, "oldest_ms"), text));
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

static void add_rate(flow_t *flow, const char *name, const char *look, double value)
{
    char text[32];
    add_item(flow, value > 0 ? look : TOP_DIM, name, top_amount(value, text));
}

static void add_rates(const json_t *sum, const top_view_t *view, rl_buf_t *out)
{
    json_t *values = json_object_get(top_window(sum, view->minute), "per_second"), *value;
    const char *name;
    for (int row = 0; row < RATE_ROWS; row++) {
        flow_t flow = begin_flow(out, row ? "" : "per second", view);
        for (int at = 0; at < RATES; at++)
            if (rates[at].row == row)
                add_rate(&flow, rates[at].name, rates[at].look, top_number(values, rates[at].name));
        if (row == RATE_ROWS - 1) {
            json_object_foreach(values, name, value)
            {
                if (find_rate(name) < 0)
                    add_rate(&flow, name, TOP_PLAIN, json_number_value(value));
            }
        }
        rl_buf_adds(out, "\n");
    }
}

void top_page(const json_t *sum, const top_view_t *view, rl_buf_t *out)
{
    add_head(sum, out);
    add_in_flight(sum, view, out);
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
    static const char *const shown[] = {"questions", "answers", "tokens", "failed", "refused"};
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
        rl_sanitize_line(out, state, 20);
        rl_buf_addf(out, "=%.0f", json_number_value(value));
    }
    for (at = 0; at < sizeof shown / sizeof *shown; at++)
        rl_buf_addf(out, " %s_per_s=%.1f", shown[at],
                    top_number(json_object_get(window, "per_second"), shown[at]));
    for (at = 0; at < sizeof shares / sizeof *shares; at++) {
        char key[16];
        snprintf(key, sizeof key, "%s_ms", shares[at]);
        rl_buf_addf(out, " first_token_%s=%.1f", key, top_number(first, key));
    }
    rl_buf_adds(out, "\n");
}
