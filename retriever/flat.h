// flat: an exact search of one question in a row of vectors, which reads a quarter of them.
//
// A lone search of a flat index waits for memory: FAISS reads all of the floats (5,000 x 384: 7.7
// MB, 0.27 ms from the cache, 1 ms from memory). Here a copy of the vectors in bytes is read first;
// rounding can be wrong by at most the length of what it left off times the question's length
// (Cauchy-Schwarz), so all that this may have put in the wrong place is scored again with the
// floats: the result is that of the floats alone.
#ifndef RL_FLAT_H
#define RL_FLAT_H

#include <stddef.h>
#include <stdint.h>

enum {
    RL_FLAT_MAX_K = 256
}; // above it FAISS is better

typedef struct rl_flat rl_flat_t;

// Makes the copy in bytes (a quarter of the memory). The rows, `count` of `dimension` floats, stay
// the caller's, and stay where they are. NULL if memory runs out.
rl_flat_t *rl_flat_new(const float *rows, size_t count, size_t dimension);
void rl_flat_destroy(rl_flat_t **self_p);

// The `k` (1 to RL_FLAT_MAX_K) largest inner products of `query` with the rows: scores and row
// numbers, best first, equal ones by row; -1 where there are fewer than k rows with a finite one.
// Returns 0, or -1 if memory runs out. From any number of threads at a time.
int rl_flat_search(const rl_flat_t *self, const float *query, size_t k, float *scores,
                   int64_t *labels);

#endif
