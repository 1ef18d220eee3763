// filtered_search: a search for the nearest vectors of those passages that a filter keeps. Whatever
// kind the index is, the result is that of the index on these passages alone: few are compared one
// by one, of many the best of all are looked through until there are enough.
#ifndef FILTERED_SEARCH_H
#define FILTERED_SEARCH_H

#include <faiss/c_api/Index_c.h>

#include "flat.h"

typedef struct filtered_search filtered_search_t;

// The index, `flat` (the copy in bytes of a flat index, or NULL) and `rows` (the vectors in floats,
// for an index that does not have them itself, or NULL) stay the caller's. Never NULL.
filtered_search_t *filtered_search_new(FaissIndex *index, const flat_t *flat, const float *rows);
void filtered_search_destroy(filtered_search_t **self_p);

// The effort that a search among these takes, in the units of one without a filter, if that takes
// `effort` (of the index's kind; 0 if it has none): 0 if they are compared one by one.
size_t filtered_search_effort(const filtered_search_t *self, const selection_t *selection, size_t k,
                              size_t effort);

// The k best of the selection: scores and labels, best first, -1 where there are no more. `effort`:
// of a search without a filter, whose recall is wanted of this one too. Returns 0, or -1 with
// `why`. From any number of threads at a time.
int filtered_search_run(const filtered_search_t *self, const float *query, size_t k,
                        const selection_t *selection, size_t effort, float *scores, int64_t *labels,
                        char *why, size_t why_size);

#endif
