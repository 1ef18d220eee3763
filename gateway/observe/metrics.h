// metrics: counters of the questions and histograms of their durations, for Prometheus. Every
// family is a row of a table with its help text; the number of series is bounded whatever names
// clients and workers send.
#ifndef METRICS_H
#define METRICS_H

#include "metrics_text.h"
#include "timeline.h"

enum {
    METRICS_MAX_VALUES = 20, // collections, models that have series of their own; the rest: "other"
};

// What each counts, its help text in metrics_counters.h says.
typedef enum counter {
#define COUNTER(constant, family, labels, help) COUNT_##constant,
#define LIVE_COUNTER(constant, family, labels, help, name) COUNT_##constant,
#include "metrics_counters.h"
#undef COUNTER
#undef LIVE_COUNTER
    COUNTERS, // their number
} counter_t;

// What failed, counted by code.
typedef enum failure {
    FAILURE_UPSTREAM, // an LLM server failed a generator, whether or not another answered instead
    FAILURE_DENSE,    // a task failed at a worker of this role, tried again or not
    FAILURE_LEXICAL,
    FAILURE_GENERATOR,
    FAILURES, // their number
} failure_t;

typedef struct metrics metrics_t;

metrics_t *metrics_new(void);
void metrics_destroy(metrics_t **self_p);
void metrics_count(metrics_t *self, counter_t counter, uint64_t more);
uint64_t metrics_value(const metrics_t *self, counter_t counter);
// "questions", "done"…: for the dump.
const char *metrics_counter_name(counter_t counter);
// `code` as workers send it; those that are not known count as "other".
void metrics_count_failure(metrics_t *self, failure_t failure, const char *code);

// Adds an answer that has ended, in whatever way: called once for every question and every draft.
// Drafts have times and stages only.
void metrics_answer(metrics_t *self, const timeline_t *timeline);

// The value of the label `collection` for this one: its name (shortened) or "other". Valid until
// the metrics are destroyed.
const char *metrics_collection(metrics_t *self, const char *collection);

// Appends all of them.
void metrics_write(const metrics_t *self, metrics_text_t *text);

#endif
