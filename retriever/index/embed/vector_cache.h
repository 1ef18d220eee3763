// vector_cache: embeddings already paid for, in one file beside the index, by the hash of what was
// embedded and with which model. It serves a later build, and the resumption of one that was
// interrupted. Only the holder of the folder's lock may open it.
//
//   FILE    "RLVEC1\n\0", then records one after the other
//   RECORD  key (16 bytes) · dimension (u32) · CRC-32 of all else in the record (u32) · floats
//
// In this machine's byte order. Records are only ever appended. One that does not hold is passed
// over when the file is opened; where none that holds follows (torn by a crash), the rest is cut
// off.
//
// LMDB was tried in place of this file, 100,000 vectors of 384 (1,024) components: by hash, reading
// them in a build's order from the disk took 11 s (32 s) instead of 1.4 s (5.6 s) with opening,
// since what stands side by side in a build is anywhere in the tree, and the file 1.8 (2.0) times
// the bytes. In order of arrival with a second tree by hash it was as fast, and opened at once, but
// took 1.36 (2.0) times the bytes in as many lines of code; and of 3,000 files with one wrong bit
// in the heads of their pages it ended the process on 50. Here a wrong bit costs one embedding.
#ifndef VECTOR_CACHE_H
#define VECTOR_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vector_key {
    uint8_t bytes[16];
} vector_key_t;

typedef enum vector_state {
    VECTOR_NONE,   // not there, nobody asked
    VECTOR_WANTED, // asked for by vector_cache_want
    VECTOR_TAKEN,  // somebody is embedding it
    VECTOR_THERE,
    VECTOR_REFUSED, // the embedding server has none for the text; not written down
} vector_state_t;

typedef struct vector_cache vector_cache_t;

// The key of a text embedded with a model: the first half of SHA-256 of both.
vector_key_t vector_key(const char *model, const char *text, size_t size);

// Opens or makes the file. Returns NULL with `why` if it cannot be used.
vector_cache_t *vector_cache_new(const char *path, char *why, size_t why_size);
void vector_cache_destroy(vector_cache_t **self_p);

// Notes that this build needs the vector: what was not there becomes WANTED. Returns the state
// before.
vector_state_t vector_cache_want(vector_cache_t *self, const vector_key_t *key);

// WANTED becomes TAKEN; returns whether it was WANTED.
bool vector_cache_take(vector_cache_t *self, const vector_key_t *key);

// Appends a vector. Returns 0, or -1 with `why` (disk full).
int vector_cache_put(vector_cache_t *self, const vector_key_t *key, const float *vector,
                     size_t dimension, char *why, size_t why_size);

// Notes that the embedding server gives no vector for the text, and why (copied).
void vector_cache_refuse(vector_cache_t *self, const vector_key_t *key, const char *why);

// Why there is no vector for the text; NULL where nothing was refused. Good until the next refusal.
const char *vector_cache_refusal(const vector_cache_t *self, const vector_key_t *key);

// Reads a vector into memory that the cache owns until the next call; NULL with `why` if it is not
// there or cannot be read.
const float *vector_cache_get(vector_cache_t *self, const vector_key_t *key, size_t *dimension_p,
                              char *why, size_t why_size);

// Dimension of a vector that this build needs and that is there, 0 if none.
size_t vector_cache_dimension(const vector_cache_t *self);

// Vectors there.
size_t vector_cache_size(const vector_cache_t *self);

// Rewrites the file with only what vector_cache_want was called for, if that is less.
// Returns 0, or -1 with `why`: then the file stays as it was and the cache can only be destroyed.
int vector_cache_prune(vector_cache_t *self, char *why, size_t why_size);

// Has what was appended written to the disk.
void vector_cache_sync(vector_cache_t *self);

#endif
