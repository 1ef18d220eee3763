// task: the life of one answer, and the messages to its gateway.
#include "task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json_write.h"
#include "log.h"
#include "mem.h"
#include "prefill.h"
#include "probes.h"
#include "task_private.h"
#include "tasks.h"

enum {
    NO_DEADLINE_MS = 600000,
};

static const char *const state_names[TASK_STATES] = {
    "received", "waiting", "prompted", "asking", "streaming", "done", "failed", "cancelled"};

const char *task_state_name(task_state_t state)
{
    return state_names[state];
}

// ---- making, ending ---------------------------------------------------------------------

void task_set_state(task_t *self, task_state_t state)
{
    if (rl_log_enabled(RL_LOG_DEBUG))
        rl_log(RL_LOG_DEBUG, self->request, "%s -> %s", state_names[self->state],
               state_names[state]);
    task_state_t before = self->state;
    self->state = state;
    self->at_us[state] = rl_now_us();
    if (state >= TASK_DONE && before < TASK_DONE)
        RL_PROBE_GENERATE_DONE(self->request, self->id,
                               self->at_us[state] - self->at_us[TASK_RECEIVED], self->tokens,
                               state_names[state]);
    tasks_state_changed(self->generator->tasks, self, before);
}

void task_release(task_t *self)
{
    task_leave_upstream(self);
    if (self->prefill)
        prefill_wake_waiting(self);
    self->waits_for = NULL;
    rl_msg_free(&self->generate);
    cite_destroy(&self->cite);
    evtimer_del(&self->deadline);
    evtimer_del(&self->retry);
    self->paused = false;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    task_t *self = arg;
    (void)fd;
    (void)what;
    self->overdue = true;
    task_fail(self, 504, "deadline",
              self->state == TASK_STREAMING
                  ? "the time for this answer ran out while it was being written"
                  : "the time for this answer ran out before its first word",
              false, -1);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    task_t *self = arg;
    (void)fd;
    (void)what;
    self->waits_for = NULL;
    task_ask_upstream(self);
}

task_t *task_new(generator_t *generator, gateway_link_t *gateway, rl_msg_t *generate)
{
    const rl_generate_t *task = &generate->generate;
    task_t *self = rl_new(*self);
    struct event_base *base = rl_proc_base(generator->proc);
    self->request = rl_strdup(task->request);
    self->generator = generator;
    self->gateway = gateway;
    self->route = task->route;
    self->id = task->task;
    self->prefill = task->prefill;
    self->generate = generate;
    self->at_us[TASK_RECEIVED] = rl_now_us();
    outbox_init(&self->outbox, task->task, task->window);
    evtimer_assign(&self->deadline, base, on_deadline, self);
    evtimer_assign(&self->retry, base, on_retry, self);
    uint64_t ms =
        task->deadline_ms && task->deadline_ms < 86400000 ? task->deadline_ms : NO_DEADLINE_MS;
    struct timeval time = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    self->deadline_us = self->at_us[TASK_RECEIVED] + ms * 1000;
    evtimer_add(&self->deadline, &time);
    return self;
}

void task_destroy(task_t **self_p)
{
    task_t *self = *self_p;
    if (!self)
        return;
    task_release(self);
    outbox_free(&self->outbox);
    free(self->prompt);
    free(self->request);
    free(self);
    *self_p = NULL;
}

void task_cancel(task_t *self)
{
    task_release(self);
    task_set_state(self, TASK_CANCELLED);
}

// ---- what goes to the gateway -----------------------------------------------------------

void task_send(task_t *self, rl_msg_t *msg)
{
    char why[256], text[320];
    int rc = outbox_send(&self->outbox, gateway_link_wire(self->gateway), msg, why, sizeof why);
    if (rc == 0 || msg->type == RL_FAILED)
        return;
    if (rc == RL_WIRE_NO_ROOM) {
        task_fail(self, 502, "answer_too_fast",
                  "more of the answer came at once than the gateway had room for", false, -1);
        return;
    }
    snprintf(text, sizeof text, "a part of the answer cannot be sent: %s", why);
    task_fail(self, 502, "message_refused", text, false, -1);
}

void task_fail(task_t *self, int status, const char *code, const char *message, bool retry,
               long retry_after_s)
{
    if (self->state >= TASK_DONE)
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
    task_send(self, &msg);
    // `message` may belong to the call: it goes last
    task_release(self);
    task_set_state(self, TASK_FAILED);
}

void task_report_data(task_t *self, const char *stage, rl_buf_t *data)
{
    rl_msg_t msg = {.type = RL_PROGRESS,
                    .progress = {.task = self->id, .stage = stage, .data = data->data}};
    if (!data->full)
        task_send(self, &msg);
    rl_buf_free(data);
}

void task_report(task_t *self, const char *stage, const char *message)
{
    rl_buf_t data = rl_buf_make(8192);
    rl_json_open(&data, NULL, '{');
    rl_json_text(&data, "message", message);
    rl_json_close(&data, '}');
    task_report_data(self, stage, &data);
}

// ---- credit -----------------------------------------------------------------------------

void task_resume(task_t *self)
{
    if (!self->paused || outbox_is_blocked(&self->outbox) || gateway_link_is_behind(self->gateway))
        return;
    self->paused = false;
    if (self->call)
        self->upstream->backend->type->resume(self->call);
}

void task_resend(task_t *self)
{
    outbox_resend(&self->outbox, gateway_link_wire(self->gateway));
}

void task_credit(task_t *self, const rl_credit_t *credit)
{
    outbox_credit(&self->outbox, gateway_link_wire(self->gateway), credit);
    if (task_is_over(self))
        task_cancel(self);
    else
        task_resume(self);
}
