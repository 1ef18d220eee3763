// hash: hashes for tables and for telling equal texts.
#ifndef RL_HASH_H
#define RL_HASH_H

#include <stddef.h>
#include <stdint.h>

// FNV-1a 64 bit hash of bytes: content hashes of passages, and keys of tables.
// http://www.isthe.com/chongo/tech/comp/fnv/ Anybody can make two texts collide.
uint64_t rl_hash64(const void *data, size_t size);

// The first 128 bits of SHA-256: nobody can make two texts that have the same.
typedef struct rl_hash128 {
    uint64_t low, high;
} rl_hash128_t;

rl_hash128_t rl_hash128(const void *data, size_t size);

#endif
