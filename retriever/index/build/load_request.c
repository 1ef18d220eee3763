// load_request: tries of a request, with a wait between two of them.
#include "load_request.h"

#include <stdio.h>

#include "clock.h"
#include "mem.h"

enum {
    LEAST_WAIT_MS = 200, // before the second try; doubled each time
    MOST_WAIT_MS = 5000,
};

static engine_verdict_t on_answer(void *arg, long status, const char *body, size_t size, char *why,
                                  size_t why_size)
{
    const load_request_t *self = arg;
    return self->calls->take(self->calls->arg, status, body, size, why, why_size);
}

static void schedule_retry(load_request_t *self, const char *why)
{
    long ms = LEAST_WAIT_MS << (self->tries < 8 ? self->tries : 8);
    ms = ms < MOST_WAIT_MS ? ms : MOST_WAIT_MS;
    struct timeval wait = {ms / 1000, ms % 1000 * 1000};
    char what[500];
    self->tries++;
    self->calls->engine->relax(&self->request);
    snprintf(what, sizeof what, "%s; again in %.1f s", why, (double)ms / 1000);
    self->calls->note(self->calls->arg, what);
    event_add(self->retry, &wait);
}

static void on_end(void *arg, const nodes_reply_t *reply)
{
    load_request_t *self = arg;
    self->call = NULL;
    if (reply->verdict == ENGINE_OK) {
        self->busy = false;
        self->calls->done(self->calls->arg, self);
    } else if (reply->verdict == ENGINE_ELSEWHERE && self->tries < self->calls->retries) {
        schedule_retry(self, reply->why);
    } else {
        self->calls->failed(self->calls->arg, reply->why);
    }
}

static void send_try(load_request_t *self)
{
    nodes_calls_t calls = {.take = on_answer, .done = on_end, .arg = self};
    uint64_t limit = (uint64_t)self->calls->timeout_ms * 1000;
    self->call =
        rl_must(nodes_send(self->calls->nodes, &self->request, rl_now_us() + limit, 0, &calls));
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    send_try(arg);
}

void load_request_init(load_request_t *self, const load_calls_t *calls, struct event_base *base)
{
    *self = (load_request_t){.request = engine_request_make(), .calls = calls};
    self->retry = rl_must(event_new(base, -1, 0, on_retry, self));
}

void load_request_free(load_request_t *self)
{
    nodes_cancel(&self->call);
    engine_request_free(&self->request);
    event_free(self->retry);
}

void load_request_send(load_request_t *self, size_t passages)
{
    self->tries = 0;
    self->passages = passages;
    self->busy = true;
    send_try(self);
}
