// collection: one folder that is served: its units, and the change to a new generation.
#ifndef RL_COLLECTION_H
#define RL_COLLECTION_H

#include "unit.h"

typedef struct rl_collection rl_collection_t;

// Opens the generation in force and makes its units. Context and options outlive the collection.
// `on_loaded` is called from another thread when a new generation was opened (or could not be):
// the loop then calls rl_collection_loaded. NULL and `why` on failure.
rl_collection_t *rl_collection_new(const char *folder, rl_unit_context_t *context,
                                   const rl_served_options_t *options, void (*on_loaded)(void *arg),
                                   void *arg, char *why, size_t why_size);
// The pool must have been stopped. Waits for a generation that is being opened.
void rl_collection_destroy(rl_collection_t **self_p);

// Every announce period: announces the units, looks whether another generation is in force (and
// opens it aside), and removes units that are not needed any more.
void rl_collection_tick(rl_collection_t *self);

// Swaps to the new generation if one was opened.
void rl_collection_loaded(rl_collection_t *self);

// Itself, its units, their open tasks, as items of a dump's lists; false when there is no more
// room.
bool rl_collection_dump(const rl_collection_t *self, rl_dump_t *dump);
size_t rl_collection_units(const rl_collection_t *self);
bool rl_collection_dump_units(const rl_collection_t *self, rl_dump_t *dump);
bool rl_collection_dump_tasks(const rl_collection_t *self, rl_dump_t *dump);

void rl_collection_leave(rl_collection_t *self);
size_t rl_collection_tasks(const rl_collection_t *self);
void rl_collection_give_up(rl_collection_t *self);

#endif
