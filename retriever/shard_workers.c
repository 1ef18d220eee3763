// shard_workers: all shard workers of a process.
#include "shard_workers.h"

#include "shard_worker_private.h"

void shard_workers_announce(const shard_context_t *context)
{
    for (shard_worker_t *each = context->workers; each; each = each->next)
        shard_worker_announce(each);
}

void shard_workers_leave(shard_context_t *context)
{
    context->leaving = true;
    for (shard_worker_t *each = context->workers; each; each = each->next)
        shard_worker_leave(each);
}

void shard_workers_give_up(const shard_context_t *context)
{
    for (shard_worker_t *each = context->workers; each; each = each->next)
        shard_task_give_up_all(each);
}

size_t shard_workers_size(const shard_context_t *context)
{
    size_t size = 0;
    for (const shard_worker_t *each = context->workers; each; each = each->next)
        size++;
    return size;
}

size_t shard_workers_tasks(const shard_context_t *context)
{
    size_t tasks = 0;
    for (const shard_worker_t *each = context->workers; each; each = each->next)
        tasks += each->tasks_size;
    return tasks;
}

static bool dump_worker(const shard_worker_t *self, rl_dump_t *dump)
{
    size_t waiting = 0, running = 0;
    if (!rl_dump_item(dump, NULL))
        return false;
    shard_task_load(self, &waiting, &running);
    rl_dump_text(dump, "worker", self->id);
    rl_dump_text(dump, "generation", self->generation);
    rl_dump_text(dump, "tasks_at", self->advertised);
    rl_dump_number(dump, "waiting", waiting);
    rl_dump_number(dump, "running", running);
    rl_dump_number(dump, "open", self->tasks_size);
    rl_dump_number(dump, "served", self->served);
    rl_dump_number(dump, "failed", self->failed);
    rl_dump_ms(dump, "service_ms", self->service_us);
    rl_dump_flag(dump, "left", self->left);
    rl_dump_end(dump);
    return true;
}

void shard_workers_dump(const shard_context_t *context, rl_dump_t *dump)
{
    const shard_worker_t *each = context->workers;
    while (each && dump_worker(each, dump))
        each = each->next;
}

void shard_workers_dump_tasks(const shard_context_t *context, rl_dump_t *dump)
{
    const shard_worker_t *each = context->workers;
    while (each && shard_task_dump_all(each, dump))
        each = each->next;
}
