// top_tables: the tables of the page: durations and workers.
#include "top_private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "sanitize.h"

enum {
    NAME = 16, // columns of a stage's name
    COUNT = 9,
    CELL = 8,   // of a duration, with a blank before it
    BOTH = 114, // from so many on both windows have room
    MAX_STAGES = 200,
    MAX_LINE = 1024,
};

const char *const top_sort_names[TOP_SORTS] = {"kind",   "load", "latency", "p95",
                                               "served", "seen", "name"};
const char *const top_stages_names[TOP_STAGE_ORDERS] = {"path", "share", "p50", "p99"};

const json_t *top_window(const json_t *sum, bool minute)
{
    return json_object_get(json_object_get(sum, "windows"), minute ? "60" : "10");
}

// ------------------------------------------------------------------------------------- durations

static void add_durations(const json_t *histogram, rl_buf_t *out)
{
    static const char *const keys[] = {"p50_ms", "p90_ms", "p99_ms", "max_ms"};
    char text[32];
    top_cell(out, top_count(top_number(histogram, "count"), text), -COUNT);
    for (size_t at = 0; at < sizeof keys / sizeof *keys; at++)
        top_cell(out, top_duration(top_number(histogram, keys[at]), text), -CELL - 1);
}

static void add_titles(const char *title, const top_view_t *view, bool share, rl_buf_t *out)
{
    static const char *const names[] = {"p50", "p90", "p99", "max"};
    bool both = view->columns >= BOTH;
    rl_buf_adds(out, TOP_HEAD);
    top_cell(out, title, NAME);
    for (int window = both || !view->minute ? 0 : 1; window < (both || view->minute ? 2 : 1);
         window++) {
        top_cell(out, window ? "60 s: n" : "10 s: n", -COUNT);
        for (size_t at = 0; at < sizeof names / sizeof *names; at++)
            top_cell(out, names[at], -CELL - 1);
    }
    if (share)
        top_cell(out, "share", -8);
    rl_buf_adds(out, TOP_PLAIN "\n");
}

// The same row of one or both windows.
static void add_row(const json_t *sum, const char *table, const char *key, const top_view_t *view,
                    rl_buf_t *out)
{
    bool both = view->columns >= BOTH;
    char words[40];
    snprintf(words, sizeof words, "%s", key);
    for (char *at = words; *at; at++)
        *at = *at == '_' ? ' ' : *at;
    top_cell(out, words, NAME);
    for (int window = 0; window < 2; window++)
        if (both || window == (int)view->minute)
            add_durations(json_object_get(json_object_get(top_window(sum, window), table), key),
                          out);
}

void top_times(const json_t *sum, const top_view_t *view, rl_buf_t *out)
{
    json_t *times = json_object_get(top_window(sum, true), "times"), *value;
    const char *key;
    add_titles("TIME TO", view, false, out);
    json_object_foreach(times, key, value)
    {
        rl_buf_adds(out, strcmp(key, "first_token") == 0 ? TOP_ACCENT : TOP_PLAIN);
        add_row(sum, "times", key, view, out);
        rl_buf_adds(out, TOP_PLAIN "\n");
    }
}

// -------------------------------------------------------------------------------------- stages

typedef struct stage {
    const char *name;
    double by; // the larger the sooner
    size_t at; // on the path
} stage_t;

static int compare_stages(const void *a, const void *b)
{
    const stage_t *one = a, *other = b;
    if (one->by != other->by)
        return one->by < other->by ? 1 : -1;
    return one->at < other->at ? -1 : one->at > other->at;
}

static double stage_order(const json_t *stage, top_stages_t order)
{
    static const char *const keys[TOP_STAGE_ORDERS] = {
        [TOP_BY_SHARE] = "first_token_share", [TOP_BY_P50] = "p50_ms", [TOP_BY_P99] = "p99_ms"};
    return keys[order] ? top_number(stage, keys[order]) : 0;
}

static void add_share(double share, rl_buf_t *out)
{
    if (share < 0.001)
        top_cell(out, "<0.1 %", -8);
    else
        top_cellf(out, -8, "%.1f %%", share * 100);
}

void top_stages(const json_t *sum, const top_view_t *view, rl_buf_t *out)
{
    stage_t stages[MAX_STAGES];
    size_t size = 0;
    const char *key;
    json_t *minute = json_object_get(top_window(sum, true), "stages"), *value;
    const json_t *shown =
        json_object_get(top_window(sum, view->columns < BOTH && view->minute), "stages");
    json_object_foreach(minute, key, value)
    {
        if (size < MAX_STAGES && (view->all || top_number(value, "count") > 0)) {
            stages[size] =
                (stage_t){key, stage_order(json_object_get(shown, key), view->stages), size};
            size++;
        }
    }
    qsort(stages, size, sizeof *stages, compare_stages);
    add_titles("STAGE", view, true, out);
    for (size_t at = 0; at < size; at++) {
        double share = top_number(json_object_get(shown, stages[at].name), "first_token_share");
        rl_buf_adds(out, share >= 0.3 ? TOP_ACCENT : share >= 0.005 ? TOP_PLAIN : TOP_DIM);
        add_row(sum, "stages", stages[at].name, view, out);
        if (share > 0)
            add_share(share, out);
        rl_buf_adds(out, TOP_PLAIN "\n");
    }
    if (size == 0)
        rl_buf_adds(out, TOP_DIM "no answer in the last minute" TOP_PLAIN "\n");
}

// -------------------------------------------------------------------------------------- workers

typedef struct row {
    const json_t *worker;
    const top_view_t *view;
} row_t;

static double load_of(const json_t *worker)
{
    double slots = top_number(worker, "slots");
    return top_number(worker, "outstanding") / (slots > 0 ? slots : 1);
}

static double order_of(const json_t *worker, top_sort_t sort)
{
    switch (sort) {
    case TOP_BY_LOAD:
        return load_of(worker);
    case TOP_BY_LATENCY:
        return top_number(worker, "latency_ms");
    case TOP_BY_P95:
        return top_number(worker, "latency_p95_ms");
    case TOP_BY_SERVED:
        return top_number(worker, "served");
    case TOP_BY_SEEN:
        return top_number(worker, "last_seen_ms");
    default:
        return 0;
    }
}

static int compare_words(const json_t *one, const json_t *other, const char *key)
{
    return strcmp(top_word(one, key), top_word(other, key));
}

static int compare_rows(const void *a, const void *b)
{
    const json_t *one = ((const row_t *)a)->worker, *other = ((const row_t *)b)->worker;
    const top_view_t *view = ((const row_t *)a)->view;
    double by = order_of(other, view->sort) - order_of(one, view->sort);
    int order = by > 0 ? 1 : by < 0 ? -1 : 0;
    if (order == 0 && view->sort != TOP_BY_NAME)
        order = compare_words(one, other, "kind");
    if (order == 0 && view->sort != TOP_BY_NAME)
        order = compare_words(one, other, "collection");
    if (order == 0 && view->sort != TOP_BY_NAME)
        order = (int)(top_number(one, "shard") > top_number(other, "shard")) -
                (int)(top_number(one, "shard") < top_number(other, "shard"));
    if (order == 0)
        order = compare_words(one, other, "worker");
    return view->reverse ? -order : order;
}

// What it serves: a shard of a collection, or a model.
static void add_serves(const json_t *worker, rl_buf_t *out)
{
    char text[256];
    if (*top_word(worker, "collection"))
        snprintf(text, sizeof text, "%s/%.0f %s", top_word(worker, "collection"),
                 top_number(worker, "shard"), top_word(worker, "generation"));
    else
        snprintf(text, sizeof text, "%s", top_word(worker, "model"));
    top_cell(out, text, 20);
}

static void add_worker(const json_t *worker, rl_buf_t *out)
{
    char text[32];
    const char *state = top_word(worker, "state");
    double load = load_of(worker), seen = top_number(worker, "last_seen_ms");
    rl_buf_adds(out, strcmp(state, "ready") != 0 ? TOP_WARN : load >= 1 ? TOP_ACCENT : TOP_PLAIN);
    top_cell(out, top_word(worker, "kind"), 10);
    add_serves(worker, out);
    rl_buf_adds(out, " ");
    top_cell(out, state, 9);
    top_cellf(out, -9, "%.0f/%.0f", top_number(worker, "outstanding"), top_number(worker, "slots"));
    top_cellf(out, -7, "%.0f", top_number(worker, "queued"));
    top_cell(out, top_duration(top_number(worker, "latency_ms"), text), -CELL - 1);
    top_cell(out, top_duration(top_number(worker, "latency_p95_ms"), text), -CELL - 1);
    top_cell(out, top_count(top_number(worker, "served"), text), -9);
    top_cell(out, seen > 0 ? top_duration(seen, text) : "now", -CELL - 1);
    rl_buf_adds(out, "  ");
    rl_sanitize_line(out, top_word(worker, "worker"), 60);
    rl_buf_adds(out, TOP_PLAIN "\n");
}

static bool has_word(const char *line, const char *word)
{
    size_t size = strlen(word);
    for (; *line; line++)
        if (strncasecmp(line, word, size) == 0)
            return true;
    return size == 0;
}

void top_workers(const json_t *sum, const top_view_t *view, rl_buf_t *out)
{
    static const struct {
        const char *title;
        int width;
    } titles[] = {{"KIND", 10}, {"SERVES", 21}, {"STATE", 9},   {"LOAD", -9}, {"QUEUED", -7},
                  {"MEAN", -9}, {"P95", -9},    {"SERVED", -9}, {"SEEN", -9}};
    const json_t *workers = json_object_get(sum, "workers"), *worker;
    size_t size = json_array_size(workers), at, shown = 0;
    row_t *rows = rl_alloc_array(size + 1, sizeof *rows);
    json_array_foreach(workers, at, worker)
    {
        rows[at] = (row_t){worker, view};
    }
    qsort(rows, size, sizeof *rows, compare_rows);
    rl_buf_adds(out, TOP_HEAD);
    for (at = 0; at < sizeof titles / sizeof *titles; at++)
        top_cell(out, titles[at].title, titles[at].width);
    rl_buf_adds(out, "  WORKER");
    rl_buf_adds(out, TOP_PLAIN "\n");
    for (at = 0; at < size; at++) {
        rl_buf_t line = rl_buf_make(MAX_LINE);
        add_worker(rows[at].worker, &line);
        if (line.data && has_word(line.data, view->filter)) {
            rl_buf_add(out, line.data, line.size);
            shown++;
        }
        rl_buf_free(&line);
    }
    if (shown == 0)
        rl_buf_adds(out, size ? TOP_DIM "no worker's line has the filter's text" TOP_PLAIN "\n"
                              : TOP_DIM "no workers" TOP_PLAIN "\n");
    free(rows);
}
