// vector_cache: embeddings already paid for, in one file beside the index, by the hash of what was
// embedded and with which model. It serves a later build, and the resumption of one that was
// interrupted. Only the holder of the folder's lock may open it.
//
//   FILE    "RLVEC1\n\0", then records one after the other
//   RECORD  key (16 bytes) · dimension (u32) · CRC-32 of all else in the record (u32) · floats
//
// In this machine's byte order. Records are only ever appended; from the first that does not hold
// (torn by a crash) the rest is cut off when the file is opened.
#ifndef RL_VECTOR_CACHE_H
#define RL_VECTOR_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rl_vector_key {
    uint8_t bytes[16];
} rl_vector_key_t;

typedef enum rl_vector_state {
    RL_VECTOR_NONE,   // not there, nobody asked
    RL_VECTOR_WANTED, // asked for by rl_vector_cache_want
    RL_VECTOR_TAKEN,  // somebody is embedding it
    RL_VECTOR_THERE,
} rl_vector_state_t;

typedef struct rl_vector_cache rl_vector_cache_t;

// The key of a text embedded with a model: the first half of SHA-256 of both.
rl_vector_key_t rl_vector_key(const char *model, const char *text, size_t size);

// Opens or makes the file. Returns NULL with `why` if it cannot be used.
rl_vector_cache_t *rl_vector_cache_new(const char *path, char *why, size_t why_size);
void rl_vector_cache_destroy(rl_vector_cache_t **self_p);

// Notes that this build needs the vector: what was not there becomes WANTED. Returns the state
// before. RL_VECTOR_NONE also if memory ran out: then the next call for the key says NONE again.
rl_vector_state_t rl_vector_cache_want(rl_vector_cache_t *self, const rl_vector_key_t *key);

// WANTED becomes TAKEN; returns whether it was WANTED.
bool rl_vector_cache_take(rl_vector_cache_t *self, const rl_vector_key_t *key);

// Appends a vector. Returns 0, or -1 with `why` (disk full).
int rl_vector_cache_put(rl_vector_cache_t *self, const rl_vector_key_t *key, const float *vector,
                        size_t dimension, char *why, size_t why_size);

// Reads a vector into memory that the cache owns until the next call; NULL with `why` if it is not
// there or cannot be read.
const float *rl_vector_cache_get(rl_vector_cache_t *self, const rl_vector_key_t *key,
                                 size_t *dimension_p, char *why, size_t why_size);

// Dimension of a vector that this build needs and that is there, 0 if none.
size_t rl_vector_cache_dimension(const rl_vector_cache_t *self);

// Vectors there.
size_t rl_vector_cache_size(const rl_vector_cache_t *self);

// Rewrites the file with only what rl_vector_cache_want was called for, if that is less.
// Returns 0, or -1 with `why`: then the file stays as it was and the cache can only be destroyed.
int rl_vector_cache_prune(rl_vector_cache_t *self, char *why, size_t why_size);

// Has what was appended written to the disk.
void rl_vector_cache_sync(rl_vector_cache_t *self);

#endif
