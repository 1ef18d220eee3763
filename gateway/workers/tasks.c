// tasks: a table of slots; an id is made of a serial number and the slot, so that finding needs
// no search.
#include "tasks.h"

#include <stdlib.h>

#include "mem.h"
#include "registry.h"

enum {
    SLOT_BITS = 20,
    SLOTS = 1 << SLOT_BITS
};

struct tasks {
    task_t **slots; // allocated one by one: pointers stay valid while the table grows
    size_t size;    // slots made so far
    uint32_t *free; // slots not in use
    size_t free_size;
    size_t in_use;
    uint64_t serial;
};

tasks_t *tasks_new(void)
{
    return rl_new(tasks_t);
}

void tasks_destroy(tasks_t **self_p)
{
    tasks_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->size; at++)
        free(self->slots[at]);
    free(self->slots);
    free(self->free);
    free(self);
    *self_p = NULL;
}

static task_t *add_slot(tasks_t *self)
{
    if (self->size == SLOTS)
        return NULL;
    size_t room = self->size + 1;
    if ((self->size & (self->size - 1)) == 0) { // grow by doubling
        room = self->size ? self->size * 2 : 64;
        self->slots = rl_realloc(self->slots, room, sizeof *self->slots);
        self->free = rl_realloc(self->free, room, sizeof *self->free);
    }
    task_t *task = rl_new(*task);
    task->id = self->size; // its slot, until it gets a serial number
    self->slots[self->size++] = task;
    return task;
}

static bool is_outstanding(task_kind_t kind)
{
    return kind != TASK_REVALIDATION && kind != TASK_PREFILL;
}

task_t *tasks_begin(tasks_t *self, task_kind_t kind, struct worker *worker, struct request *request,
                    unsigned source)
{
    task_t *task =
        self->free_size > 0 ? self->slots[self->free[--self->free_size]] : add_slot(self);
    if (!task)
        return NULL;
    uint64_t slot = task->id & (SLOTS - 1);
    *task = (task_t){.id = ++self->serial << SLOT_BITS | slot,
                     .worker = worker,
                     .request = request,
                     .kind = kind,
                     .source = source};
    LIST_INSERT_HEAD(&worker->tasks, task, of_worker);
    worker->outstanding += is_outstanding(kind);
    self->in_use++;
    return task;
}

task_t *tasks_find(tasks_t *self, uint64_t id)
{
    uint64_t slot = id & (SLOTS - 1);
    if (slot >= self->size || self->slots[slot]->id != id || !self->slots[slot]->worker)
        return NULL;
    return self->slots[slot];
}

void tasks_end(tasks_t *self, task_t **task_p)
{
    task_t *task = *task_p;
    if (!task)
        return;
    LIST_REMOVE(task, of_worker);
    task->worker->outstanding -= is_outstanding(task->kind);
    task->worker = NULL;
    task->request = NULL;
    self->free[self->free_size++] = (uint32_t)(task->id & (SLOTS - 1));
    self->in_use--;
    *task_p = NULL;
}

size_t tasks_size(const tasks_t *self)
{
    return self->in_use;
}
