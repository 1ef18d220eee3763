// hash_set: a set of 64 bit hashes, to tell whether an id was there before. Two ids of a million
// documents are taken for one with a probability of 3 in 10^8.
#ifndef HASH_SET_H
#define HASH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Zeroed when it begins.
typedef struct hash_set {
    uint64_t *slots; // open addressing, 0 is free
    size_t size, room;
} hash_set_t;

// Adds a hash; returns whether it is new.
bool hash_set_add(hash_set_t *self, uint64_t hash);
void hash_set_free(hash_set_t *self);

#endif
