// source_engine: one kind of retrieval of a collection that a distributed engine holds.
#include "source_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "probes.h"

enum {
    HEDGE_SHARE = 3, // another node is asked when this part of the time has gone
    HEDGE_LEAST_US = 50000,
};

// A task under way.
typedef struct ask {
    source_engine_t *source;
    task_t *task;
    nodes_call_t *call;
    uint64_t began;
    bool taken; // an answer was read into the result
} ask_t;

struct source_engine {
    source_engine_settings_t settings;
    task_t *first, *last; // that wait
    size_t waiting, running;
    engine_request_t request; // used for one after the other
    struct event *room;       // there is room for what waits
};

static engine_verdict_t on_answer(void *arg, long status, const char *body, size_t size, char *why,
                                  size_t why_size)
{
    ask_t *ask = arg;
    source_engine_t *self = ask->source;
    result_t *result = &ask->task->result;
    result_clear(result);
    engine_verdict_t verdict = self->settings.engine->take_hits(
        self->settings.place, self->settings.mode, &ask->task->query, status, body, size, result);
    ask->taken = true;
    if (result->code)
        snprintf(why, why_size, "%s", result->message);
    return verdict;
}

// Waiting tasks are started from the loop: a task can end at once, and the caller that drops tasks
// walks through a list of them.
static void make_room(source_engine_t *self)
{
    self->running--;
    if (self->first)
        event_active(self->room, EV_TIMEOUT, 1);
}

static void finish_task(source_engine_t *self, task_t *task)
{
    task->state = TASK_DONE;
    task->next = NULL;
    self->settings.on_done(task);
}

static void on_end(void *arg, const nodes_reply_t *reply)
{
    ask_t *ask = arg;
    source_engine_t *self = ask->source;
    task_t *task = ask->task;
    const rl_search_t *search = task->msg ? &task->msg->search : NULL;
    if (reply->timed_out)
        result_fail(&task->result, "deadline", false,
                    "the engine has not answered within the deadline (%s)", reply->why);
    else if (reply->verdict != ENGINE_OK && !ask->taken)
        result_fail(&task->result, "engine_gone", true, "the engine cannot be reached: %s",
                    reply->why);
    task->work_us = task->share_us = rl_now_us() - ask->began;
    if (search)
        RL_PROBE_TASK_SEARCHED(search->request, search->task, task->queue_us, task->work_us, 1);
    task->remote = NULL;
    make_room(self);
    free(ask);
    finish_task(self, task);
}

// Sends the task's request, or ends the task when there is nothing to ask.
static void start_task(source_engine_t *self, task_t *task)
{
    const source_engine_settings_t *with = &self->settings;
    uint64_t now = rl_now_us();
    task->queue_us = now - task->arrived_us;
    snprintf(task->generation, sizeof task->generation, "%s", with->catalog->manifest.generation);
    if (now >= task->deadline_us) {
        result_fail(&task->result, "deadline", false,
                    "the deadline passed while the question waited for %llu ms in line",
                    (unsigned long long)task->queue_us / 1000);
        finish_task(self, task);
        return;
    }
    if (with->engine->search(with->place, with->mode, &task->query, &self->request,
                             &task->result) != 1) {
        finish_task(self, task);
        return;
    }
    ask_t *ask = rl_new(*ask);
    uint64_t left = task->deadline_us - now, hedge = left / HEDGE_SHARE;
    nodes_calls_t calls = {.take = on_answer, .done = on_end, .arg = ask};
    *ask = (ask_t){.source = self, .task = task, .began = now};
    ask->call = nodes_send(with->nodes, &self->request, task->deadline_us,
                           hedge > HEDGE_LEAST_US ? hedge : HEDGE_LEAST_US, &calls);
    task->state = TASK_RUNNING;
    task->remote = ask;
    self->running++;
}

static void start_waiting(source_engine_t *self)
{
    while (self->first && self->running < self->settings.in_flight) {
        task_t *task = self->first;
        self->first = task->next;
        if (!self->first)
            self->last = NULL;
        self->waiting--;
        start_task(self, task);
    }
}

static void on_room(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    start_waiting(arg);
}

source_engine_t *source_engine_new(const source_engine_settings_t *settings)
{
    source_engine_t *self = rl_new(*self);
    self->settings = *settings;
    self->request = engine_request_make();
    self->room = rl_must(event_new(settings->base, -1, 0, on_room, self));
    return self;
}

void source_engine_destroy(source_engine_t **self_p)
{
    source_engine_t *self = *self_p;
    if (!self)
        return;
    engine_request_free(&self->request);
    event_free(self->room);
    free(self);
    *self_p = NULL;
}

int source_engine_put(source_engine_t *self, task_t *task)
{
    if (self->waiting >= self->settings.room)
        return -1;
    task->state = TASK_WAITING;
    task->next = NULL;
    if (self->last)
        self->last->next = task;
    else
        self->first = task;
    self->last = task;
    self->waiting++;
    start_waiting(self);
    return 0;
}

void source_engine_drop(source_engine_t *self, task_t *task)
{
    ask_t *ask = task->remote;
    if (ask) {
        nodes_cancel(&ask->call);
        free(ask);
        task->remote = NULL;
        make_room(self);
        return;
    }
    task_t **at = &self->first, *before = NULL;
    while (*at != task) {
        before = *at;
        at = &before->next;
    }
    *at = task->next;
    if (self->last == task)
        self->last = before;
    self->waiting--;
}

void source_engine_load(const source_engine_t *self, size_t *waiting, size_t *running)
{
    *waiting = self->waiting;
    *running = self->running;
}

size_t source_engine_slots(const source_engine_t *self)
{
    return self->settings.in_flight;
}
