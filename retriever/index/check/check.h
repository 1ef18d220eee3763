// check: compares an index with exact search: the recall and the time of searches by effort, on a
// sample of the index's own vectors; the least effort that is enough goes into the manifest.
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>
#include <stdio.h>

typedef struct check_settings {
    const char *folder; // the collection's
    size_t questions;   // vectors of the sample, at most so many of each shard
    size_t k;
    double recall; // that is wanted of the k best
} check_settings_t;

// Writes the table to `out`. Returns 0 when the recall wanted is reached and the effort is written
// (or there is none to choose), 1 when it is not reached (then the effort that comes nearest to it
// is written), -1 with `why` when it could not be checked, or not be written.
int check_index(const check_settings_t *settings, FILE *out, char *why, size_t why_size);

#endif
