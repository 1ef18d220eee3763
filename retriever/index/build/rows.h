// rows: vectors in a binary file, row by row in the order of another file's documents: .npy (NumPy,
// float32, two dimensions, C order) and .fvecs (each row a 32 bit length and so many float32, as in
// the collections of http://corpus-texmex.irisa.fr). Little endian.
#ifndef RL_ROWS_H
#define RL_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rl_rows rl_rows_t;

// Opens the file. NULL with `why`, which says what it should be.
rl_rows_t *rl_rows_new(const char *path, char *why, size_t why_size);
void rl_rows_destroy(rl_rows_t **self_p);

const char *rl_rows_path(const rl_rows_t *self);
uint64_t rl_rows_count(const rl_rows_t *self);   // rows in the file
uint64_t rl_rows_taken(const rl_rows_t *self);   // that have been asked for
size_t rl_rows_dimension(const rl_rows_t *self); // numbers in a row

// The next row, good until the next call; NULL with `why` when there is none (the count is
// exceeded) or the file cannot be read. Whether it can be used (finite, not all zeros) is for the
// caller to see.
const float *rl_rows_next(rl_rows_t *self, char *why, size_t why_size);

// The file of vectors that lies beside a file of documents, "corpus.npy" or "corpus.fvecs" beside
// "corpus.jsonl" or "corpus.jsonl.gz", in a malloc'd string that the caller owns; NULL if there is
// none.
char *rl_rows_beside(const char *documents);

// Whether a path is such a file's, by its name.
bool rl_rows_is(const char *path);

#endif
