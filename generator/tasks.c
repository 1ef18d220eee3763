// tasks: slots, queue, and the table of all answers.
#include "tasks.h"

#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "probes.h"

enum {
    BUCKETS = 1 << 12,
    ENDED_MAX = 8192,        // ends that wait to be acknowledged
    ENDED_US = 30 * 1000000, // and how long
};

TAILQ_HEAD(task_list, task);
SLIST_HEAD(task_bucket, task);

struct tasks {
    generator_t *generator;
    struct task_bucket buckets[BUCKETS];
    struct task_list waiting, running, ended;
    struct task_list prefilling; // running, but only to have a prompt read
    struct task_list gone;       // freed when the turn ends: they may be on the stack
    size_t waiting_size, running_size, prefilling_size, ended_size;
    uint64_t taken, served, failed, cancelled, service_us;
};

tasks_t *tasks_new(generator_t *generator)
{
    tasks_t *self = rl_new(*self);
    self->generator = generator;
    TAILQ_INIT(&self->waiting);
    TAILQ_INIT(&self->running);
    TAILQ_INIT(&self->prefilling);
    TAILQ_INIT(&self->ended);
    TAILQ_INIT(&self->gone);
    return self;
}

static struct task_bucket *bucket_of(tasks_t *self, uint64_t route, uint64_t id)
{
    // gateways count their tasks up: a multiplication spreads them (Knuth, 6.4)
    return &self->buckets[(id + (route << 48)) * 0x9e3779b97f4a7c15u >> 52];
}

task_t *tasks_find(tasks_t *self, uint64_t route, uint64_t id)
{
    task_t *task = SLIST_FIRST(bucket_of(self, route, id));
    while (task && (task->id != id || task->route != route))
        task = SLIST_NEXT(task, bucket);
    return task;
}

static struct task_list *list_of(tasks_t *self, task_state_t state, bool prefill, size_t **size)
{
    switch (state) {
    case TASK_WAITING:
        *size = &self->waiting_size;
        return &self->waiting;
    case TASK_PROMPTED:
    case TASK_ASKING:
    case TASK_STREAMING:
        if (prefill) {
            *size = &self->prefilling_size;
            return &self->prefilling;
        }
        *size = &self->running_size;
        return &self->running;
    case TASK_DONE:
    case TASK_FAILED:
        *size = &self->ended_size;
        return &self->ended;
    default:
        *size = NULL;
        return NULL;
    }
}

static void count_served(tasks_t *self, const task_t *task)
{
    uint64_t took = task->at_us[TASK_DONE] - task->at_us[TASK_PROMPTED];
    self->served++;
    self->service_us = self->service_us ? (self->service_us * 7 + took) / 8 : took;
}

static void let_go(tasks_t *self, task_t *task)
{
    SLIST_REMOVE(bucket_of(self, task->route, task->id), task, task, bucket);
    TAILQ_INSERT_TAIL(&self->gone, task, list);
    rl_proc_request_turn(self->generator->proc);
}

void tasks_state_changed(tasks_t *self, task_t *task, task_state_t before)
{
    size_t *from_size, *to_size;
    struct task_list *from = list_of(self, before, task->prefill, &from_size);
    struct task_list *to = list_of(self, task->state, task->prefill, &to_size);
    if (task->state == TASK_DONE && !task->prefill)
        count_served(self, task);
    self->failed += task->state == TASK_FAILED;
    self->cancelled += task->state == TASK_CANCELLED && before < TASK_DONE && !task->prefill;
    if (from == to)
        return;
    if (from) {
        TAILQ_REMOVE(from, task, list);
        (*from_size)--;
    }
    if (to) {
        TAILQ_INSERT_TAIL(to, task, list);
        (*to_size)++;
    } else {
        let_go(self, task);
    }
    if (from == &self->running && self->waiting_size > 0)
        rl_proc_request_turn(self->generator->proc); // a slot is free: seen when the turn ends
}

void tasks_add(tasks_t *self, gateway_link_t *gateway, rl_msg_t *generate)
{
    const generator_t *generator = self->generator;
    task_t *task = task_new(self->generator, gateway, generate);
    SLIST_INSERT_HEAD(bucket_of(self, task->route, task->id), task, bucket);
    self->taken += !task->prefill;
    RL_PROBE_GENERATE_TAKEN(task->request, task->id, self->running_size, self->waiting_size);
    if (generator->leaving) {
        task_fail(task, 503, "leaving", "this generator is stopping", true, -1);
    } else if (task->prefill) {
        task_start(task);
    } else if (self->running_size < generator->slots && self->waiting_size == 0) {
        task_start(task);
    } else if (self->waiting_size < generator->queue_max) {
        task_set_state(task, TASK_WAITING);
        task_report(task, "waiting", "Waiting for the language model…");
    } else {
        task_fail(task, 503, "generator_busy",
                  "all slots of this generator are taken and its queue is full", true, 1);
    }
}

void tasks_turn(tasks_t *self)
{
    task_t *task;
    while (self->running_size < self->generator->slots && (task = TAILQ_FIRST(&self->waiting)))
        task_start(task);
    while ((task = TAILQ_FIRST(&self->gone))) {
        TAILQ_REMOVE(&self->gone, task, list);
        task_destroy(&task);
    }
}

void tasks_sweep(tasks_t *self)
{
    uint64_t now = rl_now_us();
    task_t *task; // the first one ended first
    while ((task = TAILQ_FIRST(&self->ended)) &&
           (self->ended_size > ENDED_MAX || now - task->at_us[task->state] >= ENDED_US))
        task_cancel(task);
}

static void for_each_of(tasks_t *self, const gateway_link_t *gateway, void (*fn)(task_t *))
{
    struct task_list *lists[] = {&self->waiting, &self->prefilling, &self->running, &self->ended};
    for (size_t at = 0; at < sizeof lists / sizeof *lists; at++) {
        task_t *next;
        for (task_t *task = TAILQ_FIRST(lists[at]); task; task = next) {
            next = TAILQ_NEXT(task, list);
            if (!gateway || task->gateway == gateway)
                fn(task);
        }
    }
}

void tasks_cancel_of(tasks_t *self, const gateway_link_t *gateway)
{
    for_each_of(self, gateway, task_cancel);
}

void tasks_resend_to(tasks_t *self, const gateway_link_t *gateway)
{
    for_each_of(self, gateway, task_resend);
}

void tasks_resume_of(tasks_t *self, const gateway_link_t *gateway)
{
    for_each_of(self, gateway, task_resume);
}

static void for_each_in(struct task_list *list, void (*fn)(void *arg, task_t *task), void *arg)
{
    task_t *next;
    for (task_t *task = TAILQ_FIRST(list); task; task = next) {
        next = TAILQ_NEXT(task, list);
        fn(arg, task);
    }
}

void tasks_each_prefill(tasks_t *self, void (*fn)(void *arg, task_t *task), void *arg)
{
    for_each_in(&self->prefilling, fn, arg);
}

void tasks_each_running(tasks_t *self, void (*fn)(void *arg, task_t *task), void *arg)
{
    for_each_in(&self->running, fn, arg);
}

void tasks_fail_all(tasks_t *self, const char *code, const char *message)
{
    task_t *task;
    while ((task = TAILQ_FIRST(&self->waiting)) || (task = TAILQ_FIRST(&self->prefilling)) ||
           (task = TAILQ_FIRST(&self->running)))
        task_fail(task, 503, code, message, true, -1);
}

void tasks_destroy(tasks_t **self_p)
{
    tasks_t *self = *self_p;
    if (!self)
        return;
    for_each_of(self, NULL, task_cancel);
    self->generator->slots = 0;
    tasks_turn(self);
    free(self);
    *self_p = NULL;
}

// ---- dumps ------------------------------------------------------------------------------

static bool dump_task(const task_t *task, uint64_t now, rl_dump_t *dump)
{
    if (!rl_dump_item(dump, task->request))
        return false;
    rl_dump_number(dump, "task", task->id);
    rl_dump_number(dump, "route", task->route);
    rl_dump_text(dump, "state", task_state_name(task->state));
    rl_dump_ms(dump, "for_ms", now - task->at_us[TASK_RECEIVED]);
    rl_dump_ms(dump, "in_state_ms", now - task->at_us[task->state]);
    rl_dump_ms(dump, "left_ms", task->deadline_us > now ? task->deadline_us - now : 0);
    rl_dump_text(dump, "upstream", task->upstream ? task->upstream->name : NULL);
    rl_dump_number(dump, "prompt_tokens", task->prompt_tokens);
    rl_dump_number(dump, "tokens", task->tokens);
    rl_dump_number(dump, "retries", task->retries);
    rl_dump_number(dump, "unacknowledged", task->outbox.last - task->outbox.acked);
    rl_dump_flag(dump, "paused", task->paused);
    rl_dump_flag(dump, "out_of_credit", outbox_is_blocked(&task->outbox));
    rl_dump_end(dump);
    return true;
}

void tasks_dump(const tasks_t *self, rl_dump_t *dump)
{
    const struct task_list *lists[] = {&self->running, &self->waiting};
    uint64_t now = rl_now_us();
    bool room = true;
    rl_dump_begin(dump, "counters");
    rl_dump_number(dump, "taken", self->taken);
    rl_dump_number(dump, "served", self->served);
    rl_dump_number(dump, "failed", self->failed);
    rl_dump_number(dump, "cancelled", self->cancelled);
    rl_dump_ms(dump, "service_ms", self->service_us);
    rl_dump_end(dump);
    rl_dump_begin(dump, "queues");
    rl_dump_number(dump, "running", self->running_size);
    rl_dump_number(dump, "slots", self->generator->slots);
    rl_dump_number(dump, "waiting", self->waiting_size);
    rl_dump_number(dump, "waiting_most", self->generator->queue_max);
    rl_dump_number(dump, "unacknowledged", self->ended_size);
    rl_dump_end(dump);
    rl_dump_list(dump, "tasks", self->running_size + self->waiting_size);
    for (size_t at = 0; at < sizeof lists / sizeof *lists; at++)
        for (const task_t *task = TAILQ_FIRST(lists[at]); task && room;
             task = TAILQ_NEXT(task, list))
            room = dump_task(task, now, dump);
    rl_dump_list_end(dump);
}

size_t tasks_waiting(const tasks_t *self)
{
    return self->waiting_size;
}

size_t tasks_running(const tasks_t *self)
{
    return self->running_size;
}

uint64_t tasks_served(const tasks_t *self)
{
    return self->served;
}

uint64_t tasks_service_us(const tasks_t *self)
{
    return self->service_us;
}
