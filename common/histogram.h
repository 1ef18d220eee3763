// histogram: how long things took, in buckets of a fixed share of the value, so that percentiles of
// any span of time come from few numbers. No allocation; two of them add up to the whole's.
//
// Bucket i holds durations of [2^(i/4), 2^((i+1)/4)) µs: each is 19 % wide, so that a percentile
// interpolated inside one is at most that far off, in practice a few per cent. 0 is counted with 1.
#ifndef RL_HISTOGRAM_H
#define RL_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    RL_HISTOGRAM_STEPS = 4,     // buckets for each doubling
    RL_HISTOGRAM_BUCKETS = 128, // up to 2^32 µs, 71 minutes; what is longer is in the last
};

typedef struct rl_histogram {
    uint64_t count, sum_us, min_us, max_us; // min_us is 0 while empty
    uint64_t buckets[RL_HISTOGRAM_BUCKETS];
} rl_histogram_t; // all zero is an empty one

void rl_histogram_reset(rl_histogram_t *self);
void rl_histogram_add(rl_histogram_t *self, uint64_t us);
// Adds what `other` counted.
void rl_histogram_merge(rl_histogram_t *self, const rl_histogram_t *other);

// The duration, in µs, that `share` (0 to 1; 0.99 is the 99th percentile) of them do not exceed:
// nearest rank, interpolated inside its bucket, never outside of [min_us, max_us]. 0 if empty.
double rl_histogram_percentile(const rl_histogram_t *self, double share);
// µs; 0 if empty.
double rl_histogram_mean(const rl_histogram_t *self);

// The bucket of a duration, and the least duration in µs that belongs to a bucket (or to the one
// past the last).
size_t rl_histogram_bucket(uint64_t us);
double rl_histogram_bound(size_t bucket);

#endif
