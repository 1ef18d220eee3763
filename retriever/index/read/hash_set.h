// hash_set: a set of hashes that nobody can make collide, to tell whether an id was there before.
#ifndef HASH_SET_H
#define HASH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

// Zeroed when it begins.
typedef struct hash_set {
    rl_hash128_t *slots; // open addressing, 0 is free
    size_t size, room;
} hash_set_t;

// Adds a hash; returns whether it is new.
bool hash_set_add(hash_set_t *self, rl_hash128_t hash);
void hash_set_free(hash_set_t *self);

#endif
