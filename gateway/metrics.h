// metrics: counters and histograms of the gateway, written in Prometheus's text format. Every
// metric is a row of one table, with its help text.
#ifndef METRICS_H
#define METRICS_H

#include "buf.h"

#include <stdint.h>

typedef enum counter {
    COUNT_QUESTIONS, // taken
    COUNT_DONE,
    COUNT_FAILED,
    COUNT_CANCELLED,  // the client went away
    COUNT_REFUSED,    // 429
    COUNT_INCOMPLETE, // answered without all sources
    COUNT_TOKENS,     // relayed
    COUNT_RETRIES,    // tasks sent again to another worker
    COUNT_SEARCHES,   // search tasks sent, hedges not counted
    COUNT_HEDGES,     // search tasks sent to a second replica because the first is slow
    COUNT_HEDGES_WON, // of those, answered first
    COUNT_GAPS,       // numbers missing in a token stream
    COUNT_STRAYS,     // messages for tasks that are not ours
    COUNT_EMBED_ERRORS,
    COUNT_FALLBACKS, // answers not by the configured model
    COUNTERS,        // their number
} counter_t;

// Durations, in the order of the path. Stages first, then times since the question came.
typedef enum histogram {
    HISTOGRAM_EMBED,
    HISTOGRAM_SEARCH,
    HISTOGRAM_MERGE,
    HISTOGRAM_WAIT,
    HISTOGRAM_FIRST_TOKEN,
    HISTOGRAM_STREAM,
    HISTOGRAM_STAGES,
    TIME_TO_STATUS = HISTOGRAM_STAGES,
    TIME_TO_SOURCES,
    TIME_TO_TOKEN,
    TIME_TO_END,
    HISTOGRAMS, // their number
} histogram_t;

typedef struct metrics metrics_t;

metrics_t *metrics_new(void);
void metrics_destroy(metrics_t **self_p);
void metrics_count(metrics_t *self, counter_t counter, uint64_t more);
void metrics_time(metrics_t *self, histogram_t histogram, uint64_t us);
uint64_t metrics_value(const metrics_t *self, counter_t counter);

// Appends all of them.
void metrics_write(const metrics_t *self, rl_buf_t *out);
// Appends one metric that somebody else counts: type "counter" or "gauge"; labels "" or "a=\"b\"".
void metrics_write_head(rl_buf_t *out, const char *name, const char *type, const char *help);
void metrics_write_value(rl_buf_t *out, const char *name, const char *labels, double value);

#endif
