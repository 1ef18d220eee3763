// shard_worker_private: a shard worker as its parts share it: what it announces (shard_worker.c)
// and its tasks (shard_task.c).
#ifndef SHARD_WORKER_PRIVATE_H
#define SHARD_WORKER_PRIVATE_H

#include "endpoint.h"
#include "shard_worker.h"

enum {
    WORKER_ID = 256, // bytes of a worker's id, as in the protocol
};

// A task with what only this side needs to know of it.
typedef struct shard_task {
    task_t task; // first: the pool gives this back
    struct shard_task *before, *after;
    float vector[]; // normalised
} shard_task_t;

struct shard_worker {
    shard_context_t *context;
    shard_worker_t *next; // in the context's list
    rl_wire_t *pull;
    task_queue_t *queue;     // before the pool's threads, or
    source_engine_t *engine; // a source that waits for others
    source_kind_t kind;
    char id[WORKER_ID], collection[80], advertised[RL_ENDPOINT];
    uint64_t welcome[RL_GATEWAYS_MAX]; // by slot: the route of the gateway that has answered, + 1
    bool left;
    rl_announce_t announce; // but for what changes; its strings are the worker's own
    char generation[SNAPSHOT_MAX_VERSION], model[WORKER_ID], language[64];
    char *fields;
    uint64_t fields_version; // of what changes have added to them, 0: nothing
    shard_task_t *tasks;     // open ones, the newest first
    size_t tasks_size;
    uint64_t served, failed, service_us;
    uint64_t complained_us;
};

// A SEARCH and a CANCEL of a gateway.
void shard_task_take(shard_worker_t *self, rl_msg_t *msg);
void shard_task_cancel(shard_worker_t *self, const rl_cancel_t *cancel);

// Answers every task still in the queue with FAILED "leaving".
void shard_task_give_up_all(shard_worker_t *self);
// Forgets all tasks; the pool is stopped.
void shard_task_free_all(shard_worker_t *self);

// Tasks in the queue, and being searched.
void shard_task_load(const shard_worker_t *self, size_t *waiting, size_t *running);

// The open tasks as items of a dump's list, oldest first; false when it has no more room.
bool shard_task_dump_all(const shard_worker_t *self, rl_dump_t *dump);

#endif
