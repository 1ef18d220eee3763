// top_page: what is shown of a sum of snapshots: a page of lines, or one line.
#ifndef TOP_PAGE_H
#define TOP_PAGE_H

#include <jansson.h>
#include <stdbool.h>

#include "buf.h"

typedef enum top_sort {
    TOP_BY_KIND,
    TOP_BY_LOAD,
    TOP_BY_LATENCY,
    TOP_BY_P95,
    TOP_BY_SERVED,
    TOP_BY_SEEN,
    TOP_BY_NAME,
    TOP_SORTS, // their number
} top_sort_t;
extern const char *const top_sort_names[TOP_SORTS]; // as --top-sort takes them

typedef enum top_stages {
    TOP_ALONG_PATH,
    TOP_BY_SHARE,
    TOP_BY_P50,
    TOP_BY_P99,
    TOP_STAGE_ORDERS, // their number
} top_stages_t;
extern const char *const top_stages_names[TOP_STAGE_ORDERS]; // as --top-stages takes them

typedef struct top_view {
    top_sort_t sort;
    top_stages_t stages;
    bool reverse;
    bool all;           // stages that did not occur too
    bool minute;        // where there is room for one window only: the last 60 s instead of 10 s
    const char *filter; // only workers whose line has it in it (ASCII letters of either case)
    int columns;
} top_view_t;

// Appends the page, a line each ("\n" ends it), with its looks (top_text.h). The first is the head.
void top_page(const json_t *sum, const top_view_t *view, rl_buf_t *out);

// Appends one line of all that matters, "key=value" each, without looks: for files and pipes.
// `clock`: the time of day in front of it.
void top_line(const json_t *sum, const char *clock, rl_buf_t *out);

#endif
