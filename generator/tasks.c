// tasks: slots, queue, and the table of all answers.
#include "tasks.h"

#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "probes.h"

enum {
    BUCKETS = 1 << 12,
    ENDED_MAX = 8192,        // ends that wait to be acknowledged
    ENDED_US = 30 * 1000000, // and how long
};

TAILQ_HEAD(task_list, gen_task);
SLIST_HEAD(task_bucket, gen_task);

struct gen_tasks {
    generator_t *generator;
    struct task_bucket buckets[BUCKETS];
    struct task_list waiting, running, ended;
    struct task_list prefilling; // at work, but only to have a prompt read
    struct task_list gone;       // freed when the turn ends: they may be on the stack
    size_t waiting_size, running_size, prefilling_size, ended_size;
    uint64_t taken, served, failed, cancelled, service_us;
};

gen_tasks_t *gen_tasks_new(generator_t *generator)
{
    gen_tasks_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->generator = generator;
    TAILQ_INIT(&self->waiting);
    TAILQ_INIT(&self->running);
    TAILQ_INIT(&self->prefilling);
    TAILQ_INIT(&self->ended);
    TAILQ_INIT(&self->gone);
    return self;
}

static struct task_bucket *bucket_of(gen_tasks_t *self, uint64_t route, uint64_t id)
{
    // gateways count their tasks up: a multiplication spreads them (Knuth, 6.4)
    return &self->buckets[(id + (route << 48)) * 0x9e3779b97f4a7c15u >> 52];
}

gen_task_t *gen_tasks_find(gen_tasks_t *self, uint64_t route, uint64_t id)
{
    gen_task_t *task = SLIST_FIRST(bucket_of(self, route, id));
    while (task && (task->id != id || task->route != route))
        task = SLIST_NEXT(task, bucket);
    return task;
}

static struct task_list *list_of(gen_tasks_t *self, gen_state_t state, bool prefill, size_t **size)
{
    switch (state) {
    case GEN_WAITING:
        *size = &self->waiting_size;
        return &self->waiting;
    case GEN_PROMPTED:
    case GEN_ASKING:
    case GEN_STREAMING:
        if (prefill) {
            *size = &self->prefilling_size;
            return &self->prefilling;
        }
        *size = &self->running_size;
        return &self->running;
    case GEN_DONE:
    case GEN_FAILED:
        *size = &self->ended_size;
        return &self->ended;
    default:
        *size = NULL;
        return NULL;
    }
}

static void count_served(gen_tasks_t *self, const gen_task_t *task)
{
    uint64_t took = task->at_us[GEN_DONE] - task->at_us[GEN_PROMPTED];
    self->served++;
    self->service_us = self->service_us ? (self->service_us * 7 + took) / 8 : took;
}

static void let_go(gen_tasks_t *self, gen_task_t *task)
{
    SLIST_REMOVE(bucket_of(self, task->route, task->id), task, gen_task, bucket);
    TAILQ_INSERT_TAIL(&self->gone, task, list);
    rl_proc_again(self->generator->proc);
}

void gen_tasks_moved(gen_tasks_t *self, gen_task_t *task, gen_state_t before)
{
    size_t *from_size, *to_size;
    struct task_list *from = list_of(self, before, task->prefill, &from_size);
    struct task_list *to = list_of(self, task->state, task->prefill, &to_size);
    if (task->state == GEN_DONE && !task->prefill)
        count_served(self, task);
    self->failed += task->state == GEN_FAILED;
    self->cancelled += task->state == GEN_CANCELLED && before < GEN_DONE && !task->prefill;
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
        rl_proc_again(self->generator->proc); // a slot is free: seen when the turn ends
}

void gen_tasks_take(gen_tasks_t *self, gen_gateway_t *gateway, rl_msg_t *generate)
{
    const generator_t *generator = self->generator;
    gen_task_t *task = gen_task_new(self->generator, gateway, generate);
    SLIST_INSERT_HEAD(bucket_of(self, task->route, task->id), task, bucket);
    self->taken += !task->prefill;
    RL_PROBE_GENERATE_TAKEN(task->request, task->id, self->running_size, self->waiting_size);
    if (generator->leaving) {
        gen_task_fail(task, 503, "leaving", "this generator is stopping", true, -1);
    } else if (task->prefill) {
        gen_task_start(task);
    } else if (self->running_size < generator->slots && self->waiting_size == 0) {
        gen_task_start(task);
    } else if (self->waiting_size < generator->queue_max) {
        gen_task_enter(task, GEN_WAITING);
        gen_task_tell(task, "waiting", "Waiting for the language model…");
    } else {
        gen_task_fail(task, 503, "generator_busy",
                      "all slots of this generator are taken and its queue is full", true, 1);
    }
}

void gen_tasks_turn(gen_tasks_t *self)
{
    gen_task_t *task;
    while (self->running_size < self->generator->slots && (task = TAILQ_FIRST(&self->waiting)))
        gen_task_start(task);
    while ((task = TAILQ_FIRST(&self->gone))) {
        TAILQ_REMOVE(&self->gone, task, list);
        gen_task_destroy(&task);
    }
}

void gen_tasks_sweep(gen_tasks_t *self)
{
    uint64_t now = rl_now_us();
    gen_task_t *task; // the first one ended first
    while ((task = TAILQ_FIRST(&self->ended)) &&
           (self->ended_size > ENDED_MAX || now - task->at_us[task->state] >= ENDED_US))
        gen_task_cancel(task);
}

static void for_each(gen_tasks_t *self, const gen_gateway_t *gateway, void (*fn)(gen_task_t *))
{
    struct task_list *lists[] = {&self->waiting, &self->prefilling, &self->running, &self->ended};
    for (size_t at = 0; at < sizeof lists / sizeof *lists; at++) {
        gen_task_t *next;
        for (gen_task_t *task = TAILQ_FIRST(lists[at]); task; task = next) {
            next = TAILQ_NEXT(task, list);
            if (!gateway || task->gateway == gateway)
                fn(task);
        }
    }
}

void gen_tasks_cancel_of(gen_tasks_t *self, const gen_gateway_t *gateway)
{
    for_each(self, gateway, gen_task_cancel);
}

void gen_tasks_again_of(gen_tasks_t *self, const gen_gateway_t *gateway)
{
    for_each(self, gateway, gen_task_again);
}

void gen_tasks_resume_of(gen_tasks_t *self, const gen_gateway_t *gateway)
{
    for_each(self, gateway, gen_task_resume);
}

static void each(struct task_list *list, void (*fn)(void *arg, gen_task_t *task), void *arg)
{
    gen_task_t *next;
    for (gen_task_t *task = TAILQ_FIRST(list); task; task = next) {
        next = TAILQ_NEXT(task, list);
        fn(arg, task);
    }
}

void gen_tasks_each_prefill(gen_tasks_t *self, void (*fn)(void *arg, gen_task_t *task), void *arg)
{
    each(&self->prefilling, fn, arg);
}

void gen_tasks_each_running(gen_tasks_t *self, void (*fn)(void *arg, gen_task_t *task), void *arg)
{
    each(&self->running, fn, arg);
}

void gen_tasks_fail_all(gen_tasks_t *self, const char *code, const char *message)
{
    gen_task_t *task;
    while ((task = TAILQ_FIRST(&self->waiting)) || (task = TAILQ_FIRST(&self->prefilling)) ||
           (task = TAILQ_FIRST(&self->running)))
        gen_task_fail(task, 503, code, message, true, -1);
}

void gen_tasks_destroy(gen_tasks_t **self_p)
{
    gen_tasks_t *self = *self_p;
    if (!self)
        return;
    for_each(self, NULL, gen_task_cancel);
    self->generator->slots = 0;
    gen_tasks_turn(self);
    free(self);
    *self_p = NULL;
}

// ---- dumps ------------------------------------------------------------------------------

static bool dump_task(const gen_task_t *task, uint64_t now, rl_dump_t *dump)
{
    if (!rl_dump_item(dump, task->request))
        return false;
    rl_dump_number(dump, "task", task->id);
    rl_dump_number(dump, "route", task->route);
    rl_dump_text(dump, "state", gen_state_name(task->state));
    rl_dump_ms(dump, "for_ms", now - task->at_us[GEN_RECEIVED]);
    rl_dump_ms(dump, "in_state_ms", now - task->at_us[task->state]);
    rl_dump_ms(dump, "left_ms", task->deadline_us > now ? task->deadline_us - now : 0);
    rl_dump_text(dump, "upstream", task->upstream ? task->upstream->name : NULL);
    rl_dump_number(dump, "prompt_tokens", task->prompt_tokens);
    rl_dump_number(dump, "tokens", task->tokens);
    rl_dump_number(dump, "retries", task->retries);
    rl_dump_number(dump, "unacknowledged", task->outbox.last - task->outbox.acked);
    rl_dump_flag(dump, "paused", task->paused);
    rl_dump_flag(dump, "out_of_credit", outbox_blocked(&task->outbox));
    rl_dump_end(dump);
    return true;
}

void gen_tasks_dump(const gen_tasks_t *self, rl_dump_t *dump)
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
        for (const gen_task_t *task = TAILQ_FIRST(lists[at]); task && room;
             task = TAILQ_NEXT(task, list))
            room = dump_task(task, now, dump);
    rl_dump_list_end(dump);
}

size_t gen_tasks_waiting(const gen_tasks_t *self)
{
    return self->waiting_size;
}

size_t gen_tasks_running(const gen_tasks_t *self)
{
    return self->running_size;
}

uint64_t gen_tasks_served(const gen_tasks_t *self)
{
    return self->served;
}

uint64_t gen_tasks_service_us(const gen_tasks_t *self)
{
    return self->service_us;
}
