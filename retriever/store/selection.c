// selection: the passages of a shard that a filter keeps.
#include "selection.h"

#include <stdlib.h>

rl_selection_t *rl_selection_new(size_t count)
{
    rl_selection_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->count = count;
    self->users = 1;
    self->bits = calloc(rl_selection_words(self) + 1, sizeof *self->bits);
    if (!self->bits)
        rl_selection_unref(&self);
    return self;
}

rl_selection_t *rl_selection_ref(rl_selection_t *self)
{
    __atomic_fetch_add(&self->users, 1, __ATOMIC_RELAXED);
    return self;
}

void rl_selection_unref(rl_selection_t **self_p)
{
    rl_selection_t *self = *self_p;
    *self_p = NULL;
    if (!self || __atomic_fetch_sub(&self->users, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    free(self->bits);
    free(self->rows);
    free(self);
}

int rl_selection_finish(rl_selection_t *self)
{
    size_t words = rl_selection_words(self), at = 0;
    self->size = 0;
    for (size_t word = 0; word < words; word++)
        self->size += (size_t)__builtin_popcountll(self->bits[word]);
    if (self->size > self->count / RL_SELECTION_FEW)
        return 0;
    self->rows = malloc((self->size + 1) * sizeof *self->rows);
    if (!self->rows)
        return -1;
    for (size_t word = 0; word < words; word++)
        for (uint64_t left = self->bits[word]; left; left &= left - 1)
            self->rows[at++] = (uint32_t)(word * 64 + (size_t)__builtin_ctzll(left));
    return 0;
}

size_t rl_selection_bytes(const rl_selection_t *self)
{
    return sizeof *self + (rl_selection_words(self) + 1) * sizeof *self->bits +
           (self->rows ? (self->size + 1) * sizeof *self->rows : 0);
}
