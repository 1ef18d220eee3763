// load_probe: whether an engine finds what was loaded: some passages, evenly over all, are searched
// for by their own words. Engines take in what they are given in their own time.
#ifndef LOAD_PROBE_H
#define LOAD_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "source.h"

typedef struct load_probe load_probe_t;

// Of a load of so many passages.
load_probe_t *load_probe_new(uint64_t passages);
void load_probe_destroy(load_probe_t **self_p);

// Each passage that is loaded, in turn.
void load_probe_take(load_probe_t *self, const rl_passage_t *passage);

// The search for the next one; false when none is left. The query's text is the probe's own.
bool load_probe_next(load_probe_t *self, query_t *query);

// Whether the answer to that search has the passage.
bool load_probe_is_in(const load_probe_t *self, const result_t *result);

// It was not found in all the time there was.
void load_probe_miss(load_probe_t *self);

// Passages that were searched for so far, and those of them that were not found.
unsigned load_probe_asked(const load_probe_t *self);
unsigned load_probe_missed(const load_probe_t *self);

#endif
