// generation_vectors: the vectors of a shard read back as floats, for a check against exact search
// and for a merge into another index.
#ifndef GENERATION_VECTORS_H
#define GENERATION_VECTORS_H

#include "store.h"

typedef struct generation_vectors generation_vectors_t;

// Those of the generation that is open, which must outlive them; of a collection without vectors
// there are none to read. NULL with `why` if they cannot be read.
generation_vectors_t *generation_vectors_open(const store_t *store, uint64_t shard, char *why,
                                              size_t why_size);
void generation_vectors_close(generation_vectors_t **self_p);

// All of them, row by row in the order of ids; NULL if the index does not have them in floats, and
// no vectors.f32 lies beside it.
const float *generation_vectors_rows(const generation_vectors_t *self);

// Row `at` from 0, good until the next call: also out of an index that can only give vectors back
// one by one. NULL with `why`.
const float *generation_vectors_row(generation_vectors_t *self, uint64_t at, char *why,
                                    size_t why_size);

#endif
