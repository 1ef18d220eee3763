// engine_collection: a collection that a distributed engine holds, served: its description, which
// the engine is asked for again and again, and its shard workers.
#ifndef ENGINE_COLLECTION_H
#define ENGINE_COLLECTION_H

#include "engine.h"
#include "nodes.h"
#include "shard_worker.h"

typedef struct engine_collection engine_collection_t;

typedef struct engine_collection_settings {
    const engine_t *engine;
    nodes_t *nodes; // outlives the collection
    engine_settings_t place;
    const bool *kinds; // to serve, SOURCE_KINDS of them
    bool hybrid;       // dense is the engine's own mixture of vectors and words
    size_t in_flight, room;
} engine_collection_settings_t;

// Starts asking the engine; workers are made once it has answered. The context outlives it. NULL
// and `why` on failure.
engine_collection_t *engine_collection_new(shard_context_t *context,
                                           const engine_collection_settings_t *settings, char *why,
                                           size_t why_size);
void engine_collection_destroy(engine_collection_t **self_p);

// Every announce period.
void engine_collection_tick(engine_collection_t *self);

// As an item of a dump's list; false when there is no more room.
bool engine_collection_dump(const engine_collection_t *self, rl_dump_t *dump);

#endif
