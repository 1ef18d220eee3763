// source_engine: one kind of retrieval of a collection that a distributed engine holds. It waits
// for others instead of working, so it has no threads: tasks are taken and come back in the loop,
// many of them under way at a time.
#ifndef RL_SOURCE_ENGINE_H
#define RL_SOURCE_ENGINE_H

#include "engine.h"
#include "nodes.h"
#include "pool.h"

typedef struct rl_remote rl_remote_t;

typedef struct rl_remote_settings {
    struct event_base *base;
    const rl_engine_t *engine;
    rl_engine_place_t *place; // these three outlive the source
    rl_nodes_t *nodes;
    const rl_engine_catalog_t *catalog; // whose generation tasks are answered with
    rl_engine_mode_t mode;
    size_t in_flight, room;           // tasks under way, and waiting for that, at most
    void (*on_done)(rl_task_t *task); // a task that was put has ended; may be called by the put
} rl_remote_settings_t;

// NULL if memory runs out.
rl_remote_t *rl_remote_new(const rl_remote_settings_t *settings);
// Its tasks must have ended or been dropped.
void rl_remote_destroy(rl_remote_t **self_p);

// Takes a task; -1 when there is no room for it.
int rl_remote_put(rl_remote_t *self, rl_task_t *task);
// Nobody waits for the task any more: it is the caller's again, at once.
void rl_remote_drop(rl_remote_t *self, rl_task_t *task);
void rl_remote_load(const rl_remote_t *self, size_t *waiting, size_t *running);
// How many tasks it has under way at most.
size_t rl_remote_slots(const rl_remote_t *self);

#endif
