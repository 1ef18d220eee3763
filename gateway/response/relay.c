// relay: clients whose answer another gateway holds.
#include "relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "timer.h"

enum {
    CHECK_MS = 100,
    ANSWER_US = 2000000, // a gateway that says nothing to RESUME for so long is gone
};

typedef struct relay {
    relays_t *all;
    uint64_t client; // on the wire
    char gateway[64];
    char answer[64];
    http_req_t *req;
    uint64_t begun_us;
    TAILQ_ENTRY(relay) list;
} relay_t;

struct relays {
    rl_proc_t *proc;
    peers_t *peers;
    TAILQ_HEAD(, relay) list;
    size_t size;
    uint64_t serial;
    rl_timer_t *timer;
};

static void drop_relay(relay_t *self)
{
    TAILQ_REMOVE(&self->all->list, self, list);
    self->all->size--;
    if (self->req)
        http_drop(&self->req);
    free(self);
}

static int send_resume(relay_t *self, uint64_t seen, bool gone)
{
    rl_msg_t msg = {.type = RL_RESUME,
                    .resume = {.answer = self->answer,
                               .gateway = rl_proc_id(self->all->proc),
                               .client = self->client,
                               .caller = self->req ? keys_name(http_caller(self->req)) : "",
                               .seen = seen,
                               .gone = gone}};
    return peers_send(self->all->peers, self->gateway, &msg);
}

static void reply_gone(relay_t *self)
{
    http_reply_error(&self->req, 410, "answer_gone", NULL, 0,
                     "answer %s was held by gateway %s, which is gone", self->answer,
                     self->gateway);
}

// A gateway that does not answer in time counts as gone.
static void on_check(void *arg)
{
    relays_t *self = arg;
    uint64_t now = rl_now_us();
    for (relay_t *each = TAILQ_FIRST(&self->list), *next; each; each = next) {
        next = TAILQ_NEXT(each, list);
        if (http_stream_begun(each->req) || now - each->begun_us < ANSWER_US)
            continue;
        reply_gone(each);
        drop_relay(each);
    }
}

relays_t *relays_new(rl_proc_t *proc, peers_t *peers)
{
    relays_t *self = rl_new(*self);
    *self = (relays_t){.proc = proc, .peers = peers};
    TAILQ_INIT(&self->list);
    self->timer = rl_timer_new(rl_proc_base(proc), on_check, self);
    rl_timer_every(self->timer, CHECK_MS * 1000);
    return self;
}

void relays_destroy(relays_t **self_p)
{
    relays_t *self = *self_p;
    if (!self)
        return;
    while (!TAILQ_EMPTY(&self->list))
        drop_relay(TAILQ_FIRST(&self->list));
    rl_timer_destroy(&self->timer);
    free(self);
    *self_p = NULL;
}

// "req_" and the eight digits of the gateway's id.
static bool holder_of(const char *answer, char *gateway, size_t size)
{
    if (strncmp(answer, "req_", 4) != 0 || strlen(answer) < 12)
        return false;
    snprintf(gateway, size, "gateway-%.8s", answer + 4);
    return true;
}

bool relays_may_have(relays_t *self, const char *answer)
{
    char gateway[64];
    return holder_of(answer, gateway, sizeof gateway) &&
           strcmp(gateway, rl_proc_id(self->proc)) != 0;
}

static void on_gone(void *arg)
{
    relay_t *self = arg;
    send_resume(self, 0, true);
    drop_relay(self);
}

void relays_begin(relays_t *self, const char *answer, uint64_t seen, http_req_t **req_p)
{
    relay_t *relay = rl_new(*relay);
    *relay =
        (relay_t){.all = self, .client = ++self->serial, .req = *req_p, .begun_us = rl_now_us()};
    *req_p = NULL;
    snprintf(relay->answer, sizeof relay->answer, "%s", answer);
    holder_of(answer, relay->gateway, sizeof relay->gateway);
    TAILQ_INSERT_TAIL(&self->list, relay, list);
    self->size++;
    http_on_client(relay->req, on_gone, NULL, relay);
    if (send_resume(relay, seen, false) == 0)
        return;
    reply_gone(relay);
    drop_relay(relay);
}

bool relays_stop(relays_t *self, const char *answer, const char *caller)
{
    char gateway[64];
    rl_msg_t msg = {
        .type = RL_RESUME,
        .resume = {
            .answer = answer, .gateway = rl_proc_id(self->proc), .caller = caller, .stop = true}};
    return holder_of(answer, gateway, sizeof gateway) &&
           peers_send(self->peers, gateway, &msg) == 0;
}

void relays_events(relays_t *self, const rl_events_t *events)
{
    relay_t *relay;
    TAILQ_FOREACH(relay, &self->list, list)
    {
        if (relay->client == events->client)
            break;
    }
    if (!relay)
        return; // its client has left
    if (events->status != 0 && !http_stream_begun(relay->req)) {
        int status = events->status >= 400 && events->status < 600 ? (int)events->status : 502;
        http_reply_error(&relay->req, status, events->code, NULL, 0, "%s", events->message);
        drop_relay(relay);
        return;
    }
    if (!http_stream_begun(relay->req))
        http_stream_begin(relay->req);
    http_stream_send(relay->req, events->events, strlen(events->events));
    if (!events->ended)
        return;
    http_stream_end(&relay->req);
    drop_relay(relay);
}

size_t relays_size(const relays_t *self)
{
    return self->size;
}
