// metrics_private: what metrics.c counts and metrics_write.c writes.
#ifndef METRICS_PRIVATE_H
#define METRICS_PRIVATE_H

#include "metrics.h"

enum {
    METRICS_BOUNDS = 19, // of a histogram's buckets: 1-2.5-5 from 100 µs to two minutes
    METRICS_CODES = 44,
    METRICS_NO_KIND = KINDS, // of a stage that belongs to no search
    METRICS_FORMS = 4,
};

extern const uint64_t metrics_bounds[METRICS_BOUNDS];  // µs
extern const char *const metrics_codes[METRICS_CODES]; // "other" first

// Times since the question's first byte, and the time per token.
typedef enum metrics_time {
    TIME_FIRST_STATUS,
    TIME_FIRST_SOURCE,
    TIME_FIRST_TOKEN,
    TIME_UNQUEUED,
    TIME_PER_TOKEN,
    TIME_DONE,
    TIME_FAILED,
    TIME_CANCELLED,
    TIMES, // their number
} metrics_time_t;

typedef struct metrics_histogram {
    uint64_t buckets[METRICS_BOUNDS + 1]; // the last one: more than all bounds
    uint64_t sum_us;
} metrics_histogram_t;

// The last answer of a bucket whose trace is kept.
typedef struct metrics_exemplar {
    char trace_id[33]; // "": none yet
    uint64_t us;
    int64_t wall_us; // Unix time
} metrics_exemplar_t;

typedef struct metrics_form {
    metrics_histogram_t histogram;
    metrics_exemplar_t exemplars[METRICS_BOUNDS + 1];
} metrics_form_t;

typedef struct metrics_values {
    char *names[METRICS_MAX_VALUES];
    size_t size;
} metrics_values_t;

typedef struct metrics_tokens {
    uint64_t prompt, completion;
    uint64_t cached, cached_of; // of prompts whose cached tokens the server reported
    uint64_t trimmed;           // left out of prompts
} metrics_tokens_t;

struct metrics {
    uint64_t counters[COUNTERS];
    uint64_t failures[FAILURES][METRICS_CODES];
    uint64_t failed_answers[METRICS_CODES];
    uint64_t path_us[STAGES];
    metrics_values_t collections, models;
    // the last of each: "other"
    uint64_t searches[METRICS_MAX_VALUES + 1][KINDS][2]; // answered, missing
    metrics_tokens_t tokens[METRICS_MAX_VALUES + 1];
    metrics_histogram_t *stages[METRICS_MAX_VALUES + 1][STAGES][KINDS + 1]; // made when needed
    metrics_form_t forms[TIMES][METRICS_FORMS];
};

extern const char *const metrics_forms[METRICS_FORMS];
size_t metrics_form(const char *form);
const char *metrics_name_at(const metrics_values_t *values, size_t at);

#endif
