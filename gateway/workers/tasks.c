// tasks: a table of slots; an id is a serial number and its slot, so that finding is one look.
#include "tasks.h"

#include <stdlib.h>

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
    tasks_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    return self;
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

static task_t *make_slot(tasks_t *self)
{
    if (self->size == SLOTS)
        return NULL;
    size_t room = self->size + 1;
    if ((self->size & (self->size - 1)) == 0) { // grow by doubling
        room = self->size ? self->size * 2 : 64;
        self->slots = realloc(self->slots, room * sizeof *self->slots);
        self->free = realloc(self->free, room * sizeof *self->free);
    }
    task_t *task = calloc(1, sizeof *task);
    if (!task || !self->slots || !self->free)
        abort();
    task->id = self->size; // its slot, until it gets a serial number
    self->slots[self->size++] = task;
    return task;
}

task_t *tasks_begin(tasks_t *self, struct worker *worker, struct request *request, unsigned source)
{
    task_t *task =
        self->free_size > 0 ? self->slots[self->free[--self->free_size]] : make_slot(self);
    if (!task)
        return NULL;
    uint64_t slot = task->id & (SLOTS - 1);
    *task = (task_t){.id = ++self->serial << SLOT_BITS | slot,
                     .worker = worker,
                     .request = request,
                     .source = source};
    LIST_INSERT_HEAD(&worker->tasks, task, of_worker);
    worker->outstanding++;
    self->in_use++;
    return task;
}

task_t *tasks_begin_light(tasks_t *self, struct worker *worker, struct request *request)
{
    task_t *task = tasks_begin(self, worker, request, 0);
    if (task) {
        task->light = true;
        worker->outstanding--;
    }
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
    task->worker->outstanding -= !task->light;
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
