#include "revalidate.h"

#include <stdlib.h>

#include "mem.h"
#include "request_private.h"
#include "search.h"

enum {
    CHECK_MS = 100, // who has not answered by then is searched
};

struct revalidation {
    size_t asking;
    bool done, failed;
    size_t size;
    task_t *tasks[]; // by source
};

revalidate_state_t revalidate_state(const request_t *self)
{
    const struct revalidation *own = self->revalidation;
    if (!own)
        return REVALIDATE_NONE;
    if (own->asking > 0)
        return REVALIDATE_ASKING;
    return own->failed ? REVALIDATE_FAILED : own->done ? REVALIDATE_CURRENT : REVALIDATE_NONE;
}

static void end_tasks(request_t *self)
{
    struct revalidation *own = self->revalidation;
    for (size_t at = 0; at < own->size; at++)
        tasks_end(self->pipeline->tasks, &own->tasks[at]);
    own->asking = 0;
}

static void on_late(void *arg)
{
    request_t *self = arg;
    end_tasks(self);
    self->revalidation->failed = true;
    request_wake(self);
}

// Whether the source is asked.
static bool ask_source(request_t *self, size_t at)
{
    pipeline_t *pipeline = self->pipeline;
    worker_t *worker = registry_pick(pipeline->registry, search_source(self, at), NULL, SIZE_MAX);
    task_t **task = &self->revalidation->tasks[at];
    *task =
        worker ? tasks_begin(pipeline->tasks, TASK_REVALIDATION, worker, self, (unsigned)at) : NULL;
    if (!*task)
        return false;
    rl_msg_t msg = {.type = RL_SEARCH,
                    .search = {.gateway = rl_proc_id(pipeline->proc),
                               .route = worker->route,
                               .task = (*task)->id,
                               .request = self->id,
                               .deadline_ms = CHECK_MS}};
    if (rl_wire_send(worker->push, &msg) == 0)
        return true;
    tasks_end(pipeline->tasks, task);
    return false;
}

bool revalidate_begin(request_t *self)
{
    size_t size = search_count(self);
    struct revalidation *own = self->revalidation;
    if (!own) {
        own = self->revalidation = rl_alloc(sizeof *own + size * sizeof *own->tasks);
        own->size = size;
    }
    for (size_t at = 0; at < size; at++) {
        if (!registry_takes_changes(self->pipeline->registry, search_source(self, at)))
            continue;
        if (ask_source(self, at))
            own->asking++;
        else
            own->failed = true; // a search would miss this source as well
    }
    if (own->asking > 0)
        request_set_phase(self, CHECK_MS, on_late);
    return own->asking > 0 || !own->failed;
}

void revalidate_take(task_t *task, bool known)
{
    request_t *self = task->request;
    struct revalidation *own = self->revalidation;
    tasks_end(self->pipeline->tasks, &own->tasks[task->source]);
    own->failed |= !known;
    if (--own->asking > 0)
        return;
    own->done = true;
    request_set_phase(self, -1, NULL);
}

void revalidate_end(request_t *self)
{
    if (!self->revalidation)
        return;
    end_tasks(self);
    free(self->revalidation);
    self->revalidation = NULL;
}
