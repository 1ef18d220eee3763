// inverted: writes an inverted file of more vectors than memory holds, in the form in which FAISS
// writes one itself, so that it can be read, or mapped, as any other. What FAISS's C API has for it
// keeps all lists in memory. Every C++ exception ends here.
#ifndef INVERTED_H
#define INVERTED_H

#include <faiss/c_api/Index_c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Vectors [first, first + count) into `out`, row by row. Returns 0, or -1 with errno.
typedef int(inverted_read_fn)(void *read_arg, uint64_t first, size_t count, float *out);
// So many of `total` steps of a stage ("training", "vectors", "lists") are done.
typedef void(inverted_progress_fn)(void *arg, const char *stage, uint64_t done, uint64_t total);

// Whether this index can be written so: an inverted file of floats, of a scalar quantizer or of a
// product quantizer, also behind transformations (OPQ, PCA). Its lists must be empty.
bool inverted_suits(FaissIndex *index);

// How many lists it has; 0 if it is no inverted file.
size_t inverted_lists(FaissIndex *index);

// Trains the index on `count` vectors. Returns 0, or -1 with `why`.
int inverted_train(FaissIndex *index, const float *vectors, size_t count,
                   inverted_progress_fn *progress, void *arg, char *why, size_t why_size);

// Writes the trained index with `count` vectors, whose ids are their positions, to `path`: first
// each is assigned to its list, then they are encoded and laid where they belong. Memory: 4 bytes
// for each vector and about 200 MiB. Returns 0, or -1 with `why`.
int inverted_write(FaissIndex *index, uint64_t count, const char *path, inverted_read_fn *read,
                   void *read_arg, inverted_progress_fn *progress, void *arg, char *why,
                   size_t why_size);

#ifdef __cplusplus
}
#endif

#endif
