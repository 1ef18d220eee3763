// latency: recent durations and their 95th percentile.
#include "latency.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void latency_add(latency_t *self, uint64_t us)
{
    self->recent[self->count++ % LATENCY_RECENT] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    self->mean_us = self->mean_us ? (self->mean_us * 7 + us) / 8 : us;
    if (self->count < LATENCY_ENOUGH || self->count % LATENCY_EVERY != 0)
        return;
    uint32_t sorted[LATENCY_RECENT];
    size_t size = self->count < LATENCY_RECENT ? (size_t)self->count : LATENCY_RECENT;
    memcpy(sorted, self->recent, size * sizeof *sorted);
    qsort(sorted, size, sizeof *sorted, compare);
    self->p95_us = sorted[(size * 95 + 99) / 100 - 1]; // nearest rank
}
