// latency: the recent durations of one worker's tasks, and their 95th percentile.
#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>

enum {
    LATENCY_RECENT = 128, // durations remembered
    LATENCY_ENOUGH = 16,  // below so many nothing is said
    LATENCY_EVERY = 16,   // the percentile is worked out again after so many
};

typedef struct latency {
    uint32_t recent[LATENCY_RECENT]; // µs, a ring
    uint64_t count;                  // all there ever were
    uint64_t p95_us;                 // 0: not enough of them
    uint64_t mean_us;                // exponential average, weight 1/8
} latency_t;

void latency_add(latency_t *self, uint64_t us);

#endif
