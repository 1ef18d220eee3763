// change_batch: changes on their way into a collection's log: documents are cut into passages as
// the build cut its own, what has no vector is embedded, and all of it is committed together.
#ifndef CHANGE_BATCH_H
#define CHANGE_BATCH_H

#include <event2/event.h>

#include "bulk_embed.h"
#include "change_target.h"
#include "document.h"
#include "hash.h"

enum {
    CHANGE_BATCH_ITEMS = 256, // changes in a batch
    CHANGE_BATCH_PASSAGES = 256,
    CHANGE_BATCH_BYTES = 4 << 20, // after which it is full
};

typedef struct change_batch change_batch_t;

typedef struct change_item {
    change_kind_t kind;
    char *name;
    uint64_t tag; // the caller's
    rl_passage_t *passages;
    size_t passages_size;
    float *vectors;
    size_t dimension;
    vector_key_t *keys; // of what has to be embedded, NULL if nothing has
    size_t bytes;
    uint64_t number; // of the change, when it is in force
    char *why;       // or what is wrong with it
    char *refusal;   // of a passage that has no vector: what the embedding server says
} change_item_t;

change_batch_t *change_batch_new(change_target_t *target);
void change_batch_destroy(change_batch_t **self_p);

bool change_batch_full(const change_batch_t *self);
size_t change_batch_size(const change_batch_t *self);
const change_item_t *change_batch_at(const change_batch_t *self, size_t at);

// Each adds an item, which the batch must have room for: a document (with its id), a deletion, or
// something that is wrong, for the answer in its place.
const change_item_t *change_batch_put(change_batch_t *self, const document_t *doc, uint64_t tag);
void change_batch_delete(change_batch_t *self, change_kind_t kind, const char *name, uint64_t tag);
void change_batch_wrong(change_batch_t *self, const char *why, uint64_t tag);

// Takes the last item out again.
void change_batch_drop_last(change_batch_t *self);

// A passage's share of what stands for the content of a document, which is the sum of them: the
// same for the same passages, whatever their order.
rl_hash128_t change_fingerprint(const rl_passage_t *passage);

// Embeds and commits; `done` is called from the loop, or before this returns. Then each item has
// its number or what is wrong; `why` is what has kept all of them from being committed, else NULL.
typedef void(change_done_fn)(void *arg, const char *why);
void change_batch_run(change_batch_t *self, struct event_base *base, change_done_fn *done,
                      void *arg);

// Passages that were embedded in the last run; empties the batch.
uint64_t change_batch_embedded(const change_batch_t *self);
void change_batch_clear(change_batch_t *self);

#endif
