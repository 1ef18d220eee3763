// vector_file: vectors in a binary file, row by row in the order of another file's documents: .npy
// (NumPy, float32, two dimensions, C order) and .fvecs (each row a 32 bit length and so many
// float32, as in the collections of http://corpus-texmex.irisa.fr). Little endian.
#ifndef VECTOR_FILE_H
#define VECTOR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vector_file vector_file_t;

// Opens the file. NULL with `why`, which says what it should be.
vector_file_t *vector_file_new(const char *path, char *why, size_t why_size);
void vector_file_destroy(vector_file_t **self_p);

const char *vector_file_path(const vector_file_t *self);
uint64_t vector_file_count(const vector_file_t *self);   // rows in the file
uint64_t vector_file_taken(const vector_file_t *self);   // that have been asked for
size_t vector_file_dimension(const vector_file_t *self); // numbers in a row

// The next row, good until the next call; NULL with `why` when there is none (the count is
// exceeded) or the file cannot be read. Whether it can be used (finite, not all zeros) is for the
// caller to see.
const float *vector_file_next(vector_file_t *self, char *why, size_t why_size);

// The file of vectors that lies beside a file of documents, "corpus.npy" or "corpus.fvecs" beside
// "corpus.jsonl" or "corpus.jsonl.gz", in a malloc'd string that the caller owns; NULL if there is
// none.
char *vector_file_beside(const char *documents);

// Whether a path is such a file's, by its name.
bool vector_file_is(const char *path);

#endif
