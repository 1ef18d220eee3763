// collection: one folder that is served: its units, and the change to a new generation.
#ifndef COLLECTION_H
#define COLLECTION_H

#include "shard_worker.h"

typedef struct collection collection_t;

// Opens the generation in force and makes its units. Context and options outlive the collection.
// `on_loaded` is called from another thread when a new generation was opened (or could not be):
// the loop then calls collection_loaded. NULL and `why` on failure.
collection_t *collection_new(const char *folder, shard_context_t *context,
                             const snapshot_options_t *options, void (*on_loaded)(void *arg),
                             void *arg, char *why, size_t why_size);
// The pool must have been stopped. Waits for a generation that is being opened.
void collection_destroy(collection_t **self_p);

// Every announce period: announces the units, looks whether another generation is in force (and
// opens it aside), and removes units that are not needed any more.
void collection_tick(collection_t *self);

// Swaps to the new generation if one was opened.
void collection_loaded(collection_t *self);

// Itself, its units, their open tasks, as items of a dump's lists; false when there is no more
// room.
bool collection_dump(const collection_t *self, rl_dump_t *dump);
size_t collection_units(const collection_t *self);
bool collection_dump_units(const collection_t *self, rl_dump_t *dump);
bool collection_dump_tasks(const collection_t *self, rl_dump_t *dump);

void collection_leave(collection_t *self);
size_t collection_tasks(const collection_t *self);
void collection_give_up(collection_t *self);

#endif
