// selection: the passages of a shard that a filter keeps.
#include "selection.h"

#include <stdlib.h>

#include "mem.h"

selection_t *selection_new(size_t count)
{
    selection_t *self = rl_new(*self);
    self->count = count;
    self->refs = 1;
    self->bits = rl_alloc_array(selection_words(self) + 1, sizeof *self->bits);
    return self;
}

selection_t *selection_ref(selection_t *self)
{
    __atomic_fetch_add(&self->refs, 1, __ATOMIC_RELAXED);
    return self;
}

void selection_unref(selection_t **self_p)
{
    selection_t *self = *self_p;
    *self_p = NULL;
    if (!self || __atomic_fetch_sub(&self->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    free(self->bits);
    free(self->rows);
    free(self);
}

void selection_finish(selection_t *self)
{
    size_t words = selection_words(self), at = 0;
    self->size = 0;
    for (size_t word = 0; word < words; word++)
        self->size += (size_t)__builtin_popcountll(self->bits[word]);
    if (self->size > self->count / SELECTION_FEW)
        return;
    self->rows = rl_alloc_array(self->size + 1, sizeof *self->rows);
    for (size_t word = 0; word < words; word++)
        for (uint64_t left = self->bits[word]; left; left &= left - 1)
            self->rows[at++] = (uint32_t)(word * 64 + (size_t)__builtin_ctzll(left));
}

size_t selection_bytes(const selection_t *self)
{
    return sizeof *self + (selection_words(self) + 1) * sizeof *self->bits +
           (self->rows ? (self->size + 1) * sizeof *self->rows : 0);
}
