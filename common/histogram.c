// histogram: durations in buckets of a fixed share of the value.
#include "histogram.h"

#include <string.h>

// 2^(i/4), as doubles and, for the bucket of a number, scaled to 32 bits below the leading one.
static const double step_factors[RL_HISTOGRAM_STEPS] = {1.0, 1.189207115002721, 1.4142135623730951,
                                                        1.681792830507429};
static const uint32_t step_parts[RL_HISTOGRAM_STEPS] = {0, 812638372, 1779033704, 2928277910};

void rl_histogram_reset(rl_histogram_t *self)
{
    memset(self, 0, sizeof *self);
}

size_t rl_histogram_bucket(uint64_t us)
{
    if (us >> 32)
        return RL_HISTOGRAM_BUCKETS - 1;
    if (us < 2)
        return 0;
    unsigned doublings = 63 - (unsigned)__builtin_clzll(us);
    uint32_t part = (uint32_t)(us << (32 - doublings)); // what is left below the leading one
    unsigned step = 0;
    while (step + 1 < RL_HISTOGRAM_STEPS && part >= step_parts[step + 1])
        step++;
    return (size_t)doublings * RL_HISTOGRAM_STEPS + step;
}

double rl_histogram_bound(size_t bucket)
{
    return (double)(UINT64_C(1) << bucket / RL_HISTOGRAM_STEPS) *
           step_factors[bucket % RL_HISTOGRAM_STEPS];
}

void rl_histogram_add(rl_histogram_t *self, uint64_t us)
{
    self->buckets[rl_histogram_bucket(us)]++;
    if (self->count++ == 0 || us < self->min_us)
        self->min_us = us;
    if (us > self->max_us)
        self->max_us = us;
    self->sum_us += us;
}

void rl_histogram_merge(rl_histogram_t *self, const rl_histogram_t *other)
{
    if (!other->count)
        return;
    for (size_t bucket = 0; bucket < RL_HISTOGRAM_BUCKETS; bucket++)
        self->buckets[bucket] += other->buckets[bucket];
    if (!self->count || other->min_us < self->min_us)
        self->min_us = other->min_us;
    if (other->max_us > self->max_us)
        self->max_us = other->max_us;
    self->count += other->count;
    self->sum_us += other->sum_us;
}

double rl_histogram_percentile(const rl_histogram_t *self, double share)
{
    if (!self->count)
        return 0;
    double rank = share * (double)self->count; // so many are not above it
    if (rank < 1)
        rank = 1;
    uint64_t before = 0;
    size_t bucket = 0;
    for (; bucket < RL_HISTOGRAM_BUCKETS - 1; bucket++) {
        if ((double)(before + self->buckets[bucket]) >= rank)
            break;
        before += self->buckets[bucket];
    }
    double low = rl_histogram_bound(bucket), high = rl_histogram_bound(bucket + 1);
    if (low < (double)self->min_us || bucket == 0)
        low = (double)self->min_us;
    if (high > (double)self->max_us || bucket == RL_HISTOGRAM_BUCKETS - 1)
        high = (double)self->max_us;
    // the ranks of a bucket lie evenly in it; a single one is taken for its middle
    double inside =
        self->buckets[bucket] ? (rank - (double)before - 0.5) / (double)self->buckets[bucket] : 1.0;
    inside = inside < 0 ? 0 : inside > 1 ? 1 : inside;
    return low + (high - low) * inside;
}

double rl_histogram_mean(const rl_histogram_t *self)
{
    return self->count ? (double)self->sum_us / (double)self->count : 0;
}
