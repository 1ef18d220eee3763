// selection: the passages of a shard that a filter keeps, with a count of references.
#ifndef SELECTION_H
#define SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Positions count from 0: a passage's id is its position + 1.
typedef struct selection {
    size_t count;   // passages of the shard
    size_t size;    // of them in the selection
    uint64_t *bits; // one for each passage, the rest of the last word 0
    uint32_t *rows; // their positions in order, if they are few (size <= count / SELECTION_FEW)
    unsigned refs;  // atomic
} selection_t;

enum {
    SELECTION_FEW = 8
};

// An empty one of `count` passages, with one reference. Never NULL.
selection_t *selection_new(size_t count);
selection_t *selection_ref(selection_t *self); // any thread
void selection_unref(selection_t **self_p);    // any thread

// Counts the bits, and lists the positions if they are few.
void selection_finish(selection_t *self);

static inline bool selection_has(const selection_t *self, size_t position)
{
    return self->bits[position / 64] >> position % 64 & 1;
}

static inline size_t selection_words(const selection_t *self)
{
    return (self->count + 63) / 64;
}

// Bytes that it takes.
size_t selection_bytes(const selection_t *self);

#ifdef __cplusplus
}
#endif

#endif
