// request_base: what the parts of a request may call: its state, its timers, how it ends.
#include "request_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "probes.h"

struct request_failure {
    int status;
    char code[64], message[2048];
    long retry_after_s;
};

void request_enter(request_t *self, request_state_t state)
{
    uint64_t now = rl_now_us();
    if (rl_log_enabled(RL_LOG_DEBUG))
        rl_log(RL_LOG_DEBUG, self->id, "%s → %s after %.3f ms", request_state_names[self->state],
               request_state_names[state], (double)(now - self->received_us) / 1000);
    RL_PROBE_REQUEST_STATE(self->id, request_state_names[self->state], request_state_names[state],
                           now - self->received_us);
    self->state = state;
    timeline_enter(self->timeline, state, now);
}

request_state_t request_fail(request_t *self, int status, const char *code, long retry_after_s,
                             const char *format, ...)
{
    if (self->end)
        return self->end; // what ended it first counts
    request_failure_t *failure = self->failure = rl_new(*failure);
    va_list args;
    va_start(args, format);
    vsnprintf(failure->message, sizeof failure->message, format, args);
    va_end(args);
    failure->status = status;
    failure->retry_after_s = retry_after_s;
    snprintf(failure->code, sizeof failure->code, "%s", code);
    self->timeline->error = timeline_text(self->timeline, code);
    rl_log(RL_LOG_WARN, self->id, "failed while %s: %s: %s", request_state_names[self->state], code,
           failure->message);
    return self->end = REQUEST_FAILED;
}

void request_cancel_with(request_t *self, const char *code, const char *message)
{
    if (self->end)
        return;
    request_failure_t *failure = self->failure = rl_new(*failure);
    failure->status = 409;
    snprintf(failure->code, sizeof failure->code, "%s", code);
    snprintf(failure->message, sizeof failure->message, "%s", message);
    self->end = REQUEST_CANCELLED;
}

answer_error_t request_error(const request_t *self)
{
    const request_failure_t *failure = self->failure;
    return (answer_error_t){.status = failure->status,
                            .code = failure->code,
                            .message = failure->message,
                            .retry_after_s = failure->retry_after_s};
}

void request_forget_failure(request_t *self)
{
    free(self->failure);
    self->failure = NULL;
}

void request_wake(request_t *self)
{
    self->run(self);
}

void request_status(request_t *self, const char *state, const char *message, const json_t *detail)
{
    timeline_t *timeline = self->timeline;
    self->response->ops->status(self->response, state, message, detail);
    if (!timeline->first_status_us)
        timeline->first_status_us = timeline_at(timeline, rl_now_us());
}

void request_note_left_out(request_t *self, size_t passages, const char *message)
{
    json_t *detail = json_pack("{s:i}", "passages_left_out", (int)passages);
    self->timeline->passages_left_out += passages;
    metrics_count(self->pipeline->metrics, COUNT_PASSAGES_LEFT_OUT, passages);
    request_status(self, "passages_left_out", message, detail);
    json_decref(detail);
}

uint64_t request_limit_ms(const request_t *self)
{
    return (uint64_t)(self->question->timeout_ms ? self->question->timeout_ms
                                                 : self->pipeline->settings.timeout_ms);
}

uint64_t request_time_left_ms(const request_t *self)
{
    uint64_t limit = request_limit_ms(self), used = (rl_now_us() - self->received_us) / 1000;
    return used < limit ? limit - used : 1;
}

void request_set_timer(request_t *self, rl_timer_t **timer, int64_t us, rl_timer_fn *fn, void *arg)
{
    if (us < 0) {
        rl_timer_destroy(timer);
        return;
    }
    if (!*timer)
        *timer = rl_timer_new(rl_proc_base(self->pipeline->proc), fn, arg);
    rl_timer_after(*timer, (uint64_t)us);
}

void request_set_phase(request_t *self, long ms, rl_timer_fn *fn)
{
    request_set_timer(self, &self->phase, -1, NULL, NULL);
    if (ms >= 0)
        request_set_timer(self, &self->phase, (int64_t)ms * 1000, fn, self);
}
