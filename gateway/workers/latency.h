// latency: the recent durations of one worker's tasks, their 95th percentile and their median.
#ifndef LATENCY_H
#define LATENCY_H

#include "balance.h"

enum {
    LATENCY_RECENT = 128, // durations remembered
    LATENCY_ENOUGH = 16,  // below so many there is no percentile
    LATENCY_EVERY = 16,   // the percentile is worked out again after so many
};

typedef struct latency {
    uint32_t recent[LATENCY_RECENT]; // µs, a ring
    uint64_t count;                  // all there ever were
    uint64_t p95_us;                 // 0: not enough of them
    uint64_t mean_us;                // exponential average, weight 1/8
    rl_recent_t last;                // with those that were not waited for
} latency_t;

void latency_add(latency_t *self, uint64_t us);
// A task that was given up after this time. It would have taken at least so long, which says
// something only where that is longer than usual.
void latency_at_least(latency_t *self, uint64_t us);

#endif
