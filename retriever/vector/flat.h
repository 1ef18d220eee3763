// flat: an exact search of one question in a row of vectors, which reads a quarter of them.
//
// A lone search of a flat index waits for memory: FAISS reads all of the floats (5,000 x 384: 7.7
// MB, 0.27 ms from the cache, 1 ms from memory). Here a copy of the vectors in bytes is read first;
// rounding can be wrong by at most the length of what it left off times the question's length
// (Cauchy-Schwarz), so all that this may have put in the wrong place is scored again with the
// floats: the result is that of the floats alone.
#ifndef FLAT_H
#define FLAT_H

#include <stddef.h>
#include <stdint.h>

#include "selection.h"

enum {
    FLAT_MAX_K = 256, // above it FAISS is better
};

typedef struct flat flat_t;

// Makes the copy in bytes (a quarter of the memory). The rows, `count` of `dimension` floats, stay
// the caller's, and stay where they are. NULL if there is no memory for it: the rows can be
// searched without.
flat_t *flat_new(const float *rows, size_t count, size_t dimension);
void flat_destroy(flat_t **self_p);

// The `k` (1 to FLAT_MAX_K) largest inner products of `query` with the rows (of `selection`, if it
// is not NULL): scores and row numbers, best first, equal ones by row; -1 where there are fewer
// than k rows with a finite one. From any number of threads at a time.
void flat_search(const flat_t *self, const float *query, size_t k, const selection_t *selection,
                 float *scores, int64_t *labels);

// The same for `count` questions at once, a row of `queries`, of `scores` and of `labels` for each,
// without a selection. Returns 0, or -1 if the CPU has no instruction for it.
int flat_search_many(const flat_t *self, const float *queries, size_t count, size_t k,
                     float *scores, int64_t *labels);

// The same of one question among few rows of any index that has them in floats: only those are
// read.
void flat_search_rows(const float *rows, size_t dimension, const float *query, size_t k,
                      const selection_t *selection, float *scores, int64_t *labels);

// The k best of what is offered.
typedef struct top_k {
    float *scores; // room for k, best first
    int64_t *labels;
    size_t size, k;
} top_k_t;

// Of equal scores the one that was offered first stays in front; what is not finite is passed over.
void top_k_offer(top_k_t *self, float score, size_t label);
// Marks what was not found with -1.
void top_k_end(top_k_t *self);

// The inner product of two vectors.
float flat_product(const float *vector, size_t dimension, const float *query);

#endif
