// latency: recent durations, their 95th percentile and median.
#include "latency.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void add_last(latency_t *self, uint64_t us)
{
    uint32_t sorted[LATENCY_LAST];
    self->last[self->last_count++ % LATENCY_LAST] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    size_t size = self->last_count < LATENCY_LAST ? (size_t)self->last_count : LATENCY_LAST;
    for (size_t at = 0, hole; at < size; at++) { // few enough to sort by insertion
        for (hole = at; hole > 0 && sorted[hole - 1] > self->last[at]; hole--)
            sorted[hole] = sorted[hole - 1];
        sorted[hole] = self->last[at];
    }
    if (size >= LATENCY_LAST / 2)
        self->median_us = sorted[size / 2] ? sorted[size / 2] : 1;
}

void latency_at_least(latency_t *self, uint64_t us)
{
    if (self->median_us && us > self->median_us)
        add_last(self, us);
}

void latency_add(latency_t *self, uint64_t us)
{
    add_last(self, us);
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
