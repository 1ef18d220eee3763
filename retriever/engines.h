// engines: the collections that this process serves from a distributed engine (retriever.engine),
// as the worker sees them. Each function takes NULL for a process without an engine.
#ifndef ENGINES_H
#define ENGINES_H

#include "engine_collection.h"

typedef struct engines engines_t;

// The nodes that the list `urls` of the configuration names (with engine.key, engine.connect_ms).
nodes_t *engines_nodes(const rl_conf_t *conf, const char *urls, const engine_t *engine,
                       struct event_base *base, char *why, size_t why_size);

// Serves these kinds (SOURCE_KINDS of them, which outlive it). *self_p stays NULL where
// retriever.engine is none. Returns 0, or -1 with `why`.
int engines_new(engines_t **self_p, shard_context_t *context, const bool *kinds, char *why,
                size_t why_size);
void engines_destroy(engines_t **self_p);

size_t engines_size(const engines_t *self); // collections
void engines_tick(engines_t *self);
void engines_dump(const engines_t *self, rl_dump_t *dump);

#endif
