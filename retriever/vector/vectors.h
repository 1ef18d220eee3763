// vectors: a shard's vectors on their way into a FAISS index: gathered in a file, so that a build
// needs little memory and the kind of index can be chosen by their number.
#ifndef VECTORS_H
#define VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VECTORS_FILE "vectors.faiss"
// The vectors themselves, normalised, in floats, row by row in the order of ids: beside an index
// that does not have them row by row (an inverted file, a quantizer), for what only they can say: a
// check against exact search, a merge into another index.
#define ROWS_FILE "vectors.f32"

typedef struct vectors vectors_t;

// FAISS's last error on this thread in words; never NULL.
const char *vectors_faiss_error(void);

// FOLDER/vectors.f32, mapped for reading here and there: `count` rows of `dimension` floats; NULL
// if there is no such file, or one of another size. vectors_unmap unmaps it (NULL is fine).
const float *vectors_map(const char *folder, size_t count, size_t dimension);
void vectors_unmap(const float *rows, size_t count, size_t dimension);

// Whether all components are 0: what stands for the vector of a passage that has none.
bool vectors_is_zero(const float *vector, size_t dimension);

// Gathers in FOLDER/vectors.f32, which is removed in the end unless the index needs it beside.
vectors_t *vectors_new(const char *folder, char *why, size_t why_size);
void vectors_destroy(vectors_t **self_p);

// Appends a vector. Returns 0, or -1 with `why`.
int vectors_add(vectors_t *self, const float *vector, size_t dimension, char *why, size_t why_size);

// Whether FAISS knows the factory string for this dimension. Returns 0, or -1 with `why`.
int vectors_check(const char *factory, size_t dimension, char *why, size_t why_size);

// Trains (on a sample) and fills the index `factory`, inner product, and writes
// FOLDER/vectors.faiss. An inverted file is written in bounded memory (see inverted.h), other kinds
// are in memory as a whole. `progress` may be NULL: stages "training", "vectors" and, of an
// inverted file, "lists". FAISS works with so many threads. Returns 0, or -1 with `why`.
typedef void(vectors_progress_fn)(void *arg, const char *stage, uint64_t done, uint64_t total);
int vectors_build(vectors_t *self, size_t dimension, const char *factory, size_t threads,
                  vectors_progress_fn *progress, void *arg, char *why, size_t why_size);

#endif
