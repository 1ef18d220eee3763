// hash: a hash for tables and for telling equal texts. Anybody can make two texts collide.
#ifndef RL_HASH_H
#define RL_HASH_H

#include <stddef.h>
#include <stdint.h>

// FNV-1a 64 bit hash of bytes: content hashes of passages, and keys of tables.
// http://www.isthe.com/chongo/tech/comp/fnv/
uint64_t rl_hash64(const void *data, size_t size);

#endif
