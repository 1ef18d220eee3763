// shard_workers: all shard workers of a process, of all its collections.
#ifndef SHARD_WORKERS_H
#define SHARD_WORKERS_H

#include "shard_worker.h"

// Announces each to every gateway, but for those that have left.
void shard_workers_announce(const shard_context_t *context);

// Tells every gateway that they go. Tasks that still come are served.
void shard_workers_leave(shard_context_t *context);

// Answers every task still in a queue with FAILED "leaving", so that gateways ask elsewhere at
// once.
void shard_workers_give_up(const shard_context_t *context);

size_t shard_workers_size(const shard_context_t *context);
// Open tasks of all.
size_t shard_workers_tasks(const shard_context_t *context);

// They, and their open tasks, as items of a dump's lists, as many as there is room for.
void shard_workers_dump(const shard_context_t *context, rl_dump_t *dump);
void shard_workers_dump_tasks(const shard_context_t *context, rl_dump_t *dump);

#endif
