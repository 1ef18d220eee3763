// overlap: counting beginnings and ends.
#include "overlap.h"

#include <stdlib.h>

#include "mem.h"
#include "values.h"

static const double FULL = 0.75; // of the most that are at work at a time, but for one in a hundred

static int by_start(const void *one, const void *other)
{
    double a = ((const piece_t *)one)->start_ms, b = ((const piece_t *)other)->start_ms;
    return a < b ? -1 : a > b;
}

static int by_time(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return a < b ? -1 : a > b;
}

overlap_t overlap_of(piece_t *pieces, size_t size, double slack_ms)
{
    overlap_t out = {0};
    values_t waited = {0}, all = {0};
    if (size == 0)
        return out;
    double *ends = rl_alloc_array(size, sizeof *ends);
    qsort(pieces, size, sizeof *pieces, by_start);
    for (size_t at = 0; at < size; at++)
        ends[at] = pieces[at].end_ms;
    qsort(ends, size, sizeof *ends, by_time);
    for (size_t at = 0, over = 0; at < size; at++) {
        while (over < size && ends[over] <= pieces[at].start_ms + slack_ms)
            over++;
        // a piece shorter than the slack counts as over before it began, though it is there
        unsigned there = at + 1 > over ? (unsigned)(at + 1 - over) : 1;
        out.most = there > out.most ? there : out.most;
        values_add(&all, there);
        if (pieces[at].waited)
            values_add(&waited, there);
    }
    // where others began with many more at work, it was not for a server that those had waited
    double usual = values_share(&waited, 0.5);
    if (waited.size >= OVERLAP_MIN_WAITED && usual >= FULL * values_share(&all, 0.99))
        out.servers = (unsigned)usual;
    values_free(&waited);
    values_free(&all);
    free(ends);
    return out;
}

// Puts `at` into the place of the smallest of a heap of times.
static void replace_least(double *heap, size_t size, double at)
{
    size_t hole = 0, child;
    while ((child = 2 * hole + 1) < size) {
        child += child + 1 < size && heap[child + 1] < heap[child];
        if (heap[child] >= at)
            break;
        heap[hole] = heap[child];
        hole = child;
    }
    heap[hole] = at;
}

void overlap_unqueue(piece_t *pieces, size_t size, unsigned servers)
{
    qsort(pieces, size, sizeof *pieces, by_start);
    if (servers == 0 || servers >= size)
        return;
    double *free_at = rl_alloc_array(servers, sizeof *free_at);
    for (unsigned at = 0; at < servers; at++)
        free_at[at] = -1e300;
    for (size_t at = 0; at < size; at++) {
        double start = pieces[at].start_ms;
        start = free_at[0] > start ? free_at[0] : start;
        start = start < pieces[at].end_ms ? start : pieces[at].end_ms;
        pieces[at].start_ms = start;
        replace_least(free_at, servers, pieces[at].end_ms);
    }
    free(free_at);
}
