// overlap: how many pieces of work one process does at a time, from when each began and ended.
#ifndef OVERLAP_H
#define OVERLAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct piece {
    uint32_t process;
    bool waited; // it had waited for its turn: all servers were busy until it began
    double start_ms, end_ms;
} piece_t;

typedef struct overlap {
    unsigned most;    // at a time
    unsigned servers; // the median of how many were at work when one that had waited began; 0: too
                      // few have waited
} overlap_t;

enum {
    OVERLAP_MIN_WAITED = 8, // fewer tell nothing
};

// `pieces` (of one process) are sorted by their beginnings. What ends within `slack_ms` of
// another's beginning made room for it: times are measured from afar.
overlap_t overlap_of(piece_t *pieces, size_t size, double slack_ms);

// First come, first served by `servers`: when each piece was taken up, given when it came
// (start_ms) and when it was over. Sorts by start_ms and sets start_ms to that time. 0 servers:
// nothing waits.
void overlap_unqueue(piece_t *pieces, size_t size, unsigned servers);

#endif
