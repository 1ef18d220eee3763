// latency: the recent durations of one worker's tasks, their 95th percentile and their median.
#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>

enum {
    LATENCY_RECENT = 128, // durations remembered
    LATENCY_ENOUGH = 16,  // below so many nothing is said
    LATENCY_EVERY = 16,   // the percentile is worked out again after so many
    LATENCY_LAST = 16,    // durations that the median is of: it follows a change soon
};

typedef struct latency {
    uint32_t recent[LATENCY_RECENT]; // µs, a ring
    uint64_t count;                  // all there ever were
    uint64_t p95_us;                 // 0: not enough of them
    uint64_t mean_us;                // exponential average, weight 1/8
    uint32_t last[LATENCY_LAST];     // µs, a ring, with those that were not waited for
    uint64_t last_count;
    uint64_t median_us; // of them; 0: not half of them are there
} latency_t;

void latency_add(latency_t *self, uint64_t us);
// A task that was given up after this time: it would have taken at least so long, which says
// something only where that is longer than usual.
void latency_at_least(latency_t *self, uint64_t us);

#endif
