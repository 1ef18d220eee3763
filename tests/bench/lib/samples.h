// samples: measured values and their percentiles, exact, since a tenth of a millisecond counts.
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    SAMPLES_MAX = 1 << 24
}; // kept; of more, the oldest are written over

typedef struct samples {
    uint32_t *values; // µs
    size_t size, room;
    uint64_t seen;
} samples_t;

void samples_add(samples_t *self, uint64_t us); // above 2^32 - 1 counts as that
void samples_clear(samples_t *self);
void samples_free(samples_t *self);

// The share-th value in order (0.5: the median; nearest rank), 0 without values. Sorts them.
double samples_ms(samples_t *self, double share);

// {"n":…,"min":…,"p50":…,"p90":…,"p99":…,"max":…,"mean":…} in ms.
void samples_json(samples_t *self, FILE *out);

#endif
