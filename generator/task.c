// task: one answer's life, and what its gateway is told of it.
#include "task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "prefill.h"
#include "probes.h"
#include "task_parts.h"
#include "tasks.h"

enum {
    NO_DEADLINE_MS = 600000,
};

static const char *const state_names[GEN_STATES] = {
    "received", "waiting", "prompted", "asking", "streaming", "done", "failed", "cancelled"};

const char *gen_state_name(gen_state_t state)
{
    return state_names[state];
}

// ---- making, ending ---------------------------------------------------------------------

void gen_task_enter(gen_task_t *self, gen_state_t state)
{
    if (rl_log_enabled(RL_LOG_DEBUG))
        rl_log(RL_LOG_DEBUG, self->request, "%s -> %s", state_names[self->state],
               state_names[state]);
    gen_state_t before = self->state;
    self->state = state;
    self->at_us[state] = rl_now_us();
    if (state >= GEN_DONE && before < GEN_DONE)
        RL_PROBE_GENERATE_DONE(self->request, self->id,
                               self->at_us[state] - self->at_us[GEN_RECEIVED], self->tokens,
                               state_names[state]);
    gen_tasks_moved(self->generator->tasks, self, before);
}

void gen_task_stop(gen_task_t *self)
{
    gen_task_leave(self);
    if (self->prefill)
        prefill_wake(self);
    self->waits_for = NULL;
    rl_msg_free(&self->generate);
    cite_destroy(&self->cite);
    evtimer_del(&self->deadline);
    evtimer_del(&self->retry);
    self->paused = false;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    gen_task_t *self = arg;
    (void)fd;
    (void)what;
    self->overdue = true;
    gen_task_fail(self, 504, "deadline",
                  self->state == GEN_STREAMING
                      ? "the time for this answer ran out while it was being written"
                      : "the time for this answer ran out before its first word",
                  false, -1);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    gen_task_t *self = arg;
    (void)fd;
    (void)what;
    self->waits_for = NULL;
    gen_task_ask(self);
}

gen_task_t *gen_task_new(generator_t *generator, gen_gateway_t *gateway, rl_msg_t *generate)
{
    const rl_generate_t *task = &generate->generate;
    gen_task_t *self = calloc(1, sizeof *self);
    struct event_base *base = rl_proc_base(generator->proc);
    if (!self || !(self->request = strdup(task->request)))
        abort();
    self->generator = generator;
    self->gateway = gateway;
    self->route = task->route;
    self->id = task->task;
    self->prefill = task->prefill;
    self->generate = generate;
    self->at_us[GEN_RECEIVED] = rl_now_us();
    outbox_init(&self->outbox, task->task, task->window);
    evtimer_assign(&self->deadline, base, on_deadline, self);
    evtimer_assign(&self->retry, base, on_retry, self);
    uint64_t ms =
        task->deadline_ms && task->deadline_ms < 86400000 ? task->deadline_ms : NO_DEADLINE_MS;
    struct timeval time = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    self->deadline_us = self->at_us[GEN_RECEIVED] + ms * 1000;
    evtimer_add(&self->deadline, &time);
    return self;
}

void gen_task_destroy(gen_task_t **self_p)
{
    gen_task_t *self = *self_p;
    if (!self)
        return;
    gen_task_stop(self);
    outbox_free(&self->outbox);
    free(self->prompt);
    free(self->request);
    free(self);
    *self_p = NULL;
}

void gen_task_cancel(gen_task_t *self)
{
    gen_task_stop(self);
    gen_task_enter(self, GEN_CANCELLED);
}

// ---- what goes to the gateway -----------------------------------------------------------

void gen_task_emit(gen_task_t *self, rl_msg_t *msg)
{
    if (outbox_add(&self->outbox, gen_gateway_wire(self->gateway), msg) != 0 &&
        msg->type != RL_FAILED)
        gen_task_fail(self, 502, "answer_too_fast",
                      "more of the answer came at once than the gateway had room for", false, -1);
}

void gen_task_fail(gen_task_t *self, int status, const char *code, const char *message, bool retry,
                   long retry_after_s)
{
    if (self->state >= GEN_DONE)
        return;
    if (self->prefill) {
        prefill_end(self, "skipped", code);
        return;
    }
    rl_log(RL_LOG_WARN, self->request, "no answer: %s: %s", code, message);
    rl_msg_t msg = {.type = RL_FAILED,
                    .failed = {.worker = rl_proc_id(self->generator->proc),
                               .task = self->id,
                               .status = (uint64_t)status,
                               .code = code,
                               .message = message,
                               .retry_after_s = retry_after_s > 0 ? (uint64_t)retry_after_s : 0,
                               .retry = retry && self->tokens == 0}};
    gen_task_emit(self, &msg);
    // `message` may belong to the call: it goes last
    gen_task_stop(self);
    gen_task_enter(self, GEN_FAILED);
}

void gen_task_tell_data(gen_task_t *self, const char *stage, rl_buf_t *data)
{
    rl_msg_t msg = {.type = RL_PROGRESS,
                    .progress = {.task = self->id, .stage = stage, .data = data->data}};
    if (!data->full)
        gen_task_emit(self, &msg);
    rl_buf_free(data);
}

void gen_task_tell(gen_task_t *self, const char *stage, const char *message)
{
    rl_buf_t data = rl_buf_make(8192);
    rl_buf_adds(&data, "{\"message\":");
    rl_buf_add_json(&data, message, strlen(message));
    rl_buf_adds(&data, "}");
    gen_task_tell_data(self, stage, &data);
}

// ---- credit -----------------------------------------------------------------------------

void gen_task_resume(gen_task_t *self)
{
    if (!self->paused || outbox_blocked(&self->outbox) || gen_gateway_behind(self->gateway))
        return;
    self->paused = false;
    if (self->call)
        self->upstream->backend->type->resume(self->call);
}

void gen_task_again(gen_task_t *self)
{
    outbox_again(&self->outbox, gen_gateway_wire(self->gateway));
}

void gen_task_credit(gen_task_t *self, const rl_credit_t *credit)
{
    outbox_credit(&self->outbox, gen_gateway_wire(self->gateway), credit);
    if (gen_task_over(self))
        gen_task_cancel(self);
    else
        gen_task_resume(self);
}
