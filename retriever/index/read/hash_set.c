// hash_set: open addressing, at most half full.
#include "hash_set.h"

#include <stdlib.h>

#include "mem.h"

static void grow_slots(hash_set_t *self)
{
    hash_set_t larger = {.room = self->room ? 2 * self->room : 1024};
    larger.slots = rl_alloc_array(larger.room, sizeof *larger.slots);
    for (size_t at = 0; at < self->room; at++)
        if (self->slots[at].low)
            hash_set_add(&larger, self->slots[at]);
    free(self->slots);
    *self = larger;
}

bool hash_set_add(hash_set_t *self, rl_hash128_t hash)
{
    if (2 * self->size >= self->room)
        grow_slots(self);
    hash.low += hash.low == 0;
    size_t at = hash.low & (self->room - 1);
    for (; self->slots[at].low; at = (at + 1) & (self->room - 1))
        if (self->slots[at].low == hash.low && self->slots[at].high == hash.high)
            return false;
    self->slots[at] = hash;
    self->size++;
    return true;
}

void hash_set_free(hash_set_t *self)
{
    free(self->slots);
    *self = (hash_set_t){0};
}
