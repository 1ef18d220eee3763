// request_check: before passages that were found for another question are used, the sources whose
// indexes take changes are asked for the last change that is in force. The answer is known by the
// registry then, and with it the key under which the passages would have to be kept: what was found
// before a change is not found any more. Announcements alone tell of changes too late for that: a
// passage is not to be shown once its deletion was acknowledged.
#include "request_private.h"

#include "clock.h"

enum {
    CHECK_MS = 100, // who has not answered by then is searched
};

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    request_t *self = arg;
    (void)fd;
    (void)what;
    for (size_t at = 0; at < self->searches_size; at++)
        tasks_end(self->pipeline->tasks, &self->searches[at].check);
    self->share.checks = 0;
    self->share.checking = false;
    self->share.unchecked = true;
    request_phase_timer(self, -1, NULL);
    request_checked_go_on(self);
}

// Whether the source is asked.
static bool ask(request_t *self, search_t *search)
{
    pipeline_t *pipeline = self->pipeline;
    worker_t *worker = registry_pick(pipeline->registry, &search->source, NULL, SIZE_MAX);
    search->check = worker ? tasks_begin(pipeline->tasks, TASK_REVALIDATION, worker, self,
                                         (unsigned)(search - self->searches))
                           : NULL;
    if (!search->check)
        return false;
    rl_msg_t msg = {.type = RL_SEARCH,
                    .search = {.gateway = rl_proc_id(pipeline->proc),
                               .route = worker->route,
                               .task = search->check->id,
                               .request = self->id,
                               .deadline_ms = CHECK_MS}};
    if (rl_wire_send(worker->push, &msg) == 0)
        return true;
    tasks_end(pipeline->tasks, &search->check);
    return false;
}

bool request_check(request_t *self)
{
    for (size_t at = 0; at < self->searches_size; at++) {
        search_t *search = &self->searches[at];
        if (!registry_takes_changes(self->pipeline->registry, &search->source))
            continue;
        if (ask(self, search))
            self->share.checks++;
        else
            self->share.unchecked = true; // by whom it would be missed, too
    }
    self->share.checking = self->share.checks > 0;
    if (self->share.checking)
        request_phase_timer(self, CHECK_MS, on_late);
    return self->share.checking;
}

void request_checked(task_t *task, const rl_hits_t *hits)
{
    request_t *self = task->request;
    tasks_end(self->pipeline->tasks, &self->searches[task->source].check);
    self->share.unchecked |= !hits;
    if (--self->share.checks > 0)
        return;
    self->share.checking = false;
    self->share.checked = true;
    request_phase_timer(self, -1, NULL);
    request_checked_go_on(self);
}
