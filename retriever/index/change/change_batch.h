// change_batch: changes on their way into a collection's log: documents are cut into passages as
// the build cut its own, what has no vector is embedded, and all of it is committed together.
#ifndef RL_CHANGE_BATCH_H
#define RL_CHANGE_BATCH_H

#include <event2/event.h>

#include "bulk_embed.h"
#include "changes.h"
#include "chunker.h"
#include "conf.h"

enum {
    RL_BATCH_ITEMS = 256, // changes in a batch
    RL_BATCH_PASSAGES = 256,
    RL_BATCH_BYTES = 4 << 20, // after which it is full
};

// ---- the collection -----------------------------------------------------------------------------

typedef struct rl_change_target rl_change_target_t;

// The collection in index.out, whose generation in force says how passages are cut and embedded;
// the embedding server is that of the configuration, which outlives it. NULL with `why`.
rl_change_target_t *rl_change_target_new(const rl_conf_t *conf, char *why, size_t why_size);
void rl_change_target_destroy(rl_change_target_t **self_p);

// Looks whether another generation is in force by now. Returns 0, or -1 with `why`.
int rl_change_target_refresh(rl_change_target_t *self, char *why, size_t why_size);

const char *rl_change_target_folder(const rl_change_target_t *self);
// Changes up to this number are in the generation in force; passages it has.
uint64_t rl_change_target_merged(const rl_change_target_t *self);
uint64_t rl_change_target_passages(const rl_change_target_t *self);
// The log. Nobody has read from it before, if rl_changes_writer_is_first.
rl_changes_writer_t *rl_change_target_writer(rl_change_target_t *self);

// ---- batches ------------------------------------------------------------------------------------

typedef struct rl_change_batch rl_change_batch_t;

typedef struct rl_change_item {
    rl_change_kind_t kind;
    char *name;
    uint64_t tag; // the caller's
    rl_passage_t *passages;
    size_t passages_size, passages_room;
    float *vectors;
    size_t dimension;
    rl_vector_key_t *keys; // of what has to be embedded, NULL if nothing has
    size_t bytes;
    uint64_t number; // of the change, when it is in force
    char *why;       // or what is wrong with it
} rl_change_item_t;

rl_change_batch_t *rl_change_batch_new(rl_change_target_t *target);
void rl_change_batch_destroy(rl_change_batch_t **self_p);

bool rl_change_batch_full(const rl_change_batch_t *self);
size_t rl_change_batch_size(const rl_change_batch_t *self);
const rl_change_item_t *rl_change_batch_at(const rl_change_batch_t *self, size_t at);

// Adds a document (with its id), a deletion, or something that is wrong (for the answer in its
// place). Returns the item; NULL if memory ran out.
rl_change_item_t *rl_change_batch_put(rl_change_batch_t *self, const rl_document_t *doc,
                                      uint64_t tag);
rl_change_item_t *rl_change_batch_delete(rl_change_batch_t *self, rl_change_kind_t kind,
                                         const char *name, uint64_t tag);
rl_change_item_t *rl_change_batch_wrong(rl_change_batch_t *self, const char *why, uint64_t tag);

// Takes the last item out again.
void rl_change_batch_drop_last(rl_change_batch_t *self);

// Stands for the content of a document: the same for the same passages, whatever their order.
uint64_t rl_change_fingerprint(const rl_passage_t *passage);

// Embeds and commits; `done` is called from the loop, or before this returns. Then each item has
// its number or what is wrong; `why` is what has kept all of them from being committed, else NULL.
typedef void(rl_change_done_fn)(void *arg, const char *why);
void rl_change_batch_run(rl_change_batch_t *self, struct event_base *base, rl_change_done_fn *done,
                         void *arg);

// Passages that were embedded in the last run; empties the batch.
uint64_t rl_change_batch_embedded(const rl_change_batch_t *self);
void rl_change_batch_clear(rl_change_batch_t *self);

#endif
