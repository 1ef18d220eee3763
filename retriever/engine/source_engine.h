// source_engine: one kind of retrieval of a collection that a distributed engine holds. It waits
// for others instead of working, so it has no threads: tasks are taken and come back in the loop,
// many of them under way at a time.
#ifndef SOURCE_ENGINE_H
#define SOURCE_ENGINE_H

#include "engine.h"
#include "nodes.h"
#include "pool.h"

typedef struct source_engine source_engine_t;

typedef struct source_engine_settings {
    struct event_base *base;
    const engine_t *engine;
    engine_place_t *place; // these three outlive the source
    nodes_t *nodes;
    const engine_catalog_t *catalog; // whose generation tasks are answered with
    engine_mode_t mode;
    size_t in_flight, room;        // tasks under way, and waiting for that, at most
    void (*on_done)(task_t *task); // a task that was put has ended; may be called by the put
} source_engine_settings_t;

// Never NULL.
source_engine_t *source_engine_new(const source_engine_settings_t *settings);
// Its tasks must have ended or been dropped.
void source_engine_destroy(source_engine_t **self_p);

// Takes a task; -1 when there is no room for it.
int source_engine_put(source_engine_t *self, task_t *task);
// Ends the task without a result: it is the caller's again, at once.
void source_engine_drop(source_engine_t *self, task_t *task);
void source_engine_load(const source_engine_t *self, size_t *waiting, size_t *running);
// How many tasks it has under way at most.
size_t source_engine_slots(const source_engine_t *self);

#endif
