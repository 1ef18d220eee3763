// collection: one folder that is served: its shard workers, and the change to a new generation.
#ifndef COLLECTION_H
#define COLLECTION_H

#include "shard_worker.h"

typedef struct collection collection_t;

// Opens the generation in force and makes its workers. Context and options outlive the collection.
// `on_loaded` is called from another thread when a new generation was opened (or could not be):
// the loop then calls collection_loaded. NULL and `why` on failure.
collection_t *collection_new(const char *folder, shard_context_t *context,
                             const snapshot_options_t *options, void (*on_loaded)(void *arg),
                             void *arg, char *why, size_t why_size);
// The pool must have been stopped. Waits for a generation that is being opened.
void collection_destroy(collection_t **self_p);

// Every announce period: opens the generation in force in a thread of its own if it is another one,
// and removes workers that are not needed any more.
void collection_tick(collection_t *self);

// Swaps to the new generation if one was opened.
void collection_loaded(collection_t *self);

// As an item of a dump's list; false when there is no more room.
bool collection_dump(const collection_t *self, rl_dump_t *dump);

#endif
