// latency: recent durations, their 95th percentile and median.
#include "latency.h"

#include <stdlib.h>
#include <string.h>

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void latency_at_least(latency_t *self, uint64_t us)
{
    if (self->last.median_us && us > self->last.median_us)
        rl_recent_add(&self->last, us);
}

void latency_add(latency_t *self, uint64_t us)
{
    rl_recent_add(&self->last, us);
    self->recent[self->count++ % LATENCY_RECENT] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    self->mean_us = self->mean_us ? (self->mean_us * 7 + us) / 8 : us;
    if (self->count < LATENCY_ENOUGH || self->count % LATENCY_EVERY != 0)
        return;
    uint32_t sorted[LATENCY_RECENT];
    size_t size = self->count < LATENCY_RECENT ? (size_t)self->count : LATENCY_RECENT;
    memcpy(sorted, self->recent, size * sizeof *sorted);
    qsort(sorted, size, sizeof *sorted, compare_numbers);
    self->p95_us = sorted[(size * 95 + 99) / 100 - 1]; // nearest rank
}
