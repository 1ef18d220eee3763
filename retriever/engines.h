// engines: the collections that this process serves from a distributed engine (retriever.engine),
// as the worker sees them. Each function takes NULL for a process without an engine.
#ifndef RL_ENGINES_H
#define RL_ENGINES_H

#include "engine_collection.h"

typedef struct rl_engines rl_engines_t;

// The nodes that the list `urls` of the configuration names (with engine.key, engine.connect_ms).
rl_nodes_t *rl_engines_nodes(const rl_conf_t *conf, const char *urls, const rl_engine_t *engine,
                             struct event_base *base, char *why, size_t why_size);

// *self_p stays NULL where retriever.engine is none. Returns 0, or -1 with `why`.
int rl_engines_new(rl_engines_t **self_p, rl_unit_context_t *context, char *why, size_t why_size);
void rl_engines_destroy(rl_engines_t **self_p);

size_t rl_engines_size(const rl_engines_t *self); // collections
void rl_engines_tick(rl_engines_t *self);
void rl_engines_dump(const rl_engines_t *self, rl_dump_t *dump);
size_t rl_engines_units(const rl_engines_t *self);
void rl_engines_dump_units(const rl_engines_t *self, rl_dump_t *dump);
void rl_engines_dump_tasks(const rl_engines_t *self, rl_dump_t *dump);
void rl_engines_leave(rl_engines_t *self);
size_t rl_engines_tasks(const rl_engines_t *self);
void rl_engines_give_up(rl_engines_t *self);

#endif
