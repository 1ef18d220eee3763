// unit: one shard and kind as the gateways see it: a worker with an id, a socket for its tasks and
// a line of them before the pool.
#ifndef RL_UNIT_H
#define RL_UNIT_H

#include "gateways.h"
#include "pool.h"
#include "source_engine.h"
#include "wire.h"

typedef struct rl_unit rl_unit_t;

// What all units of a process share.
typedef struct rl_unit_context {
    rl_proc_t *proc;
    rl_pool_t *pool;
    rl_gateways_t *gateways;
    const char *bind, *advertise; // retriever.bind, retriever.advertise
    uint64_t threads;
    uint64_t units_made;   // for names of ipc sockets
    uint64_t last_task_us; // when the last task came
} rl_unit_context_t;

// Binds the socket. The context outlives the unit. NULL and `why` on failure.
rl_unit_t *rl_unit_new(rl_unit_context_t *context, rl_served_t *served,
                       const rl_served_source_t *source, char *why, size_t why_size);
// The same of a source that waits for others, which outlives the unit; `said` is read by the call.
rl_unit_t *rl_unit_new_remote(rl_unit_context_t *context, const rl_manifest_t *said,
                              const char *kind, rl_remote_t *remote, char *why, size_t why_size);
// What it announces from now on.
void rl_unit_describe(rl_unit_t *self, const rl_manifest_t *said);
// Its tasks must have ended (rl_unit_tasks is 0), or the pool must have been stopped.
void rl_unit_destroy(rl_unit_t **self_p);

// Serves this source from now on, and announces it at once.
void rl_unit_serve(rl_unit_t *self, rl_served_t *served, const rl_served_source_t *source);

// Whether the unit stands for this collection, shard and kind.
bool rl_unit_is(const rl_unit_t *self, const char *collection, uint64_t shard, const char *kind);

// Announces itself to every gateway; nothing after rl_unit_leave.
void rl_unit_announce(rl_unit_t *self);

// Tells every gateway that it goes. Tasks that still come are served.
void rl_unit_leave(rl_unit_t *self);
bool rl_unit_has_left(const rl_unit_t *self);

// Tasks in line, at work or not yet answered.
size_t rl_unit_tasks(const rl_unit_t *self);

// Answers every task still in line with FAILED "leaving", so that gateways ask elsewhere at once.
void rl_unit_give_up(rl_unit_t *self);

// The unit, its open tasks, as items of a dump's list; false when it has no more room.
bool rl_unit_dump(const rl_unit_t *self, rl_dump_t *dump);
bool rl_unit_dump_tasks(const rl_unit_t *self, rl_dump_t *dump);

// A task of a unit has come back from the pool: answers and frees it.
void rl_unit_done(rl_task_t *task);

#endif
