// shard_worker: one shard and kind as the gateways see it: a worker with an id, a socket for its
// tasks and a queue of them before the pool.
#ifndef SHARD_WORKER_H
#define SHARD_WORKER_H

#include "gateways.h"
#include "pool.h"
#include "source_engine.h"
#include "wire.h"

typedef struct shard_worker shard_worker_t;

// What all shard workers of a process share.
typedef struct shard_context {
    rl_proc_t *proc;
    pool_t *pool;
    rl_gateways_t *gateways;
    const char *bind, *advertise; // retriever.bind, retriever.advertise
    uint64_t threads;
    uint64_t sockets_made; // for names of ipc sockets
    uint64_t last_task_us; // when the last task came
    bool leaving;          // no more workers are made
    shard_worker_t *workers;
} shard_context_t;

// Binds the socket. The context outlives the worker. NULL and `why` on failure.
shard_worker_t *shard_worker_new(shard_context_t *context, snapshot_t *served,
                                 const snapshot_source_t *source, char *why, size_t why_size);
// The same of an engine's source, which outlives the worker; `manifest` is read by the call.
shard_worker_t *shard_worker_new_engine(shard_context_t *context, const manifest_t *manifest,
                                        source_kind_t kind, source_engine_t *engine, char *why,
                                        size_t why_size);
// Takes from the manifest what it announces from now on.
void shard_worker_describe(shard_worker_t *self, const manifest_t *manifest);
// Its tasks must have ended (shard_worker_tasks is 0), or the pool must have been stopped.
void shard_worker_destroy(shard_worker_t **self_p);

// Serves this source from now on, and announces it at once.
void shard_worker_serve(shard_worker_t *self, snapshot_t *served, const snapshot_source_t *source);

// Whether the worker stands for this collection, shard and kind.
bool shard_worker_is(const shard_worker_t *self, const char *collection, uint64_t shard,
                     source_kind_t kind);

// Announces itself to every gateway; nothing after shard_worker_leave.
void shard_worker_announce(shard_worker_t *self);

// Tells every gateway that it goes. Tasks that still come are served.
void shard_worker_leave(shard_worker_t *self);

// Tasks that wait, are searched or not yet answered.
size_t shard_worker_tasks(const shard_worker_t *self);

// A task has come back from the pool: answers and frees it.
void shard_worker_done(task_t *task);

#endif
