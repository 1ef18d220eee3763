// selection: the passages of a shard that a filter keeps; counted by those who use it.
#ifndef RL_SELECTION_H
#define RL_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Positions count from 0: a passage's id is its position + 1.
typedef struct rl_selection {
    size_t count;   // passages of the shard
    size_t size;    // of them in the selection
    uint64_t *bits; // one for each passage, the rest of the last word 0
    uint32_t *rows; // their positions in order, if they are few (size <= count / RL_SELECTION_FEW)
    unsigned users; // atomic
} rl_selection_t;

enum {
    RL_SELECTION_FEW = 8
};

// An empty one of `count` passages, with one user. NULL if memory runs out.
rl_selection_t *rl_selection_new(size_t count);
rl_selection_t *rl_selection_ref(rl_selection_t *self); // any thread
void rl_selection_unref(rl_selection_t **self_p);       // any thread

// Counts the bits, and lists the positions if they are few. Returns 0, or -1 if memory runs out.
int rl_selection_finish(rl_selection_t *self);

static inline bool rl_selection_has(const rl_selection_t *self, size_t position)
{
    return self->bits[position / 64] >> position % 64 & 1;
}

static inline size_t rl_selection_words(const rl_selection_t *self)
{
    return (self->count + 63) / 64;
}

// Bytes that it takes.
size_t rl_selection_bytes(const rl_selection_t *self);

#ifdef __cplusplus
}
#endif

#endif
