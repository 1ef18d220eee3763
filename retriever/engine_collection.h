// engine_collection: a collection that a distributed engine holds, served: what the engine says of
// it, asked again and again, and its units.
#ifndef RL_ENGINE_COLLECTION_H
#define RL_ENGINE_COLLECTION_H

#include "engine.h"
#include "nodes.h"
#include "unit.h"

typedef struct rl_engine_collection rl_engine_collection_t;

typedef struct rl_engine_collection_settings {
    const rl_engine_t *engine;
    rl_nodes_t *nodes; // outlives the collection
    rl_engine_settings_t place;
    bool dense, lexical; // the kinds to serve
    bool hybrid;         // dense is the engine's own mixture of vectors and words
    size_t in_flight, room;
} rl_engine_collection_settings_t;

// Starts asking the engine; units are made once it has answered. The context outlives it. NULL and
// `why` on failure.
rl_engine_collection_t *rl_engine_collection_new(rl_unit_context_t *context,
                                                 const rl_engine_collection_settings_t *settings,
                                                 char *why, size_t why_size);
void rl_engine_collection_destroy(rl_engine_collection_t **self_p);

// Every announce period.
void rl_engine_collection_tick(rl_engine_collection_t *self);

// As of rl_collection_t.
bool rl_engine_collection_dump(const rl_engine_collection_t *self, rl_dump_t *dump);
size_t rl_engine_collection_units(const rl_engine_collection_t *self);
bool rl_engine_collection_dump_units(const rl_engine_collection_t *self, rl_dump_t *dump);
bool rl_engine_collection_dump_tasks(const rl_engine_collection_t *self, rl_dump_t *dump);
void rl_engine_collection_leave(rl_engine_collection_t *self);
size_t rl_engine_collection_tasks(const rl_engine_collection_t *self);
void rl_engine_collection_give_up(rl_engine_collection_t *self);

#endif
