// gateway: the process's peers, and one short dispatcher for each.
#include "gateway.h"

#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "endpoint.h"
#include "live_feed.h"
#include "log.h"
#include "mem.h"
#include "readiness.h"
#include "request.h"

enum {
    DRAIN_LOOK_MS = 10,
    LAST_WORDS_MS = 1000, // for the last errors to reach their clients
};

// ---- workers ------------------------------------------------------------------------------------

// Every retriever, every generator's announcements, and the other gateways.
static void from_hub(void *arg, rl_msg_t *msg)
{
    gateway_t *self = arg;
    switch (msg->type) {
    case RL_ANNOUNCE:
        registry_announced(self->pipeline->registry, &msg->announce);
        peers_seen(self->peers, msg->announce.gateways);
        break;
    case RL_LEAVE:
        registry_left(self->pipeline->registry, &msg->leave);
        break;
    case RL_RESUME:
        gateway_resume(self, &msg->resume);
        break;
    case RL_EVENTS:
        relays_events(self->relays, &msg->events);
        break;
    case RL_HITS:
        request_found(self->pipeline, msg, msg->hits.task, msg->hits.worker);
        break;
    case RL_FAILED:
        request_found(self->pipeline, msg, msg->failed.task, msg->failed.worker);
        break;
    default:
        metrics_count(self->pipeline->metrics, COUNT_STRAYS, 1);
        break;
    }
}

static void from_generators(void *arg, rl_msg_t *msg)
{
    gateway_t *self = arg;
    switch (msg->type) {
    case RL_PROGRESS:
        request_generated(self->pipeline, msg, msg->progress.task);
        break;
    case RL_TOKEN:
        request_generated(self->pipeline, msg, msg->token.task);
        break;
    case RL_DONE:
        request_generated(self->pipeline, msg, msg->done.task);
        break;
    case RL_FAILED:
        request_generated(self->pipeline, msg, msg->failed.task);
        break;
    default:
        metrics_count(self->pipeline->metrics, COUNT_STRAYS, 1);
        break;
    }
}

// ---- stop and reload ----------------------------------------------------------------------------

static void on_drain_look(void *arg)
{
    gateway_t *self = arg;
    pipeline_t *pipeline = self->pipeline;
    uint64_t now = rl_now_us();
    const http_counts_t *counts = http_server_counts(self->http);
    if (pipeline->in_flight > 0 && now > self->drain_until_us)
        request_stop_all(pipeline);
    bool replied = counts->unfinished == 0 || now > self->drain_until_us + LAST_WORDS_MS * 1000;
    if (pipeline->in_flight == 0 && replied && otlp_finish(pipeline->otlp))
        rl_proc_end(self->proc, 0);
}

static void on_stop(void *arg)
{
    gateway_t *self = arg;
    long grace_ms = self->pipeline->settings.grace_ms;
    rl_info("%zu questions are at work; they have %ld ms", self->pipeline->in_flight, grace_ms);
    self->draining = true;
    self->drain_until_us = rl_now_us() + (uint64_t)grace_ms * 1000;
    readiness_stopping(self->readiness);
    live_feed_stop(self->live_feed);
    http_server_drain(self->http);
    rl_timer_every(self->drain_timer, DRAIN_LOOK_MS * 1000);
}

static void on_reload(void *arg)
{
    gateway_t *self = arg;
    pipeline_reload(self->pipeline);
    http_server_reload(self->http);
}

// ---- making -------------------------------------------------------------------------------------

static bool open_sockets(gateway_t *self, char tokens[RL_ENDPOINT])
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    char why[2 * RL_ENDPOINT];
    self->hub =
        rl_wire_pull(self->proc, rl_conf_str(conf, "gateway.hub"), from_hub, self, why, sizeof why);
    if (!self->hub) {
        rl_error("gateway.hub: %s", why);
        return false;
    }
    self->tokens = rl_wire_sub(self->proc, rl_conf_str(conf, "gateway.tokens"),
                               rl_proc_id(self->proc), from_generators, self, why, sizeof why);
    if (!self->tokens) {
        rl_error("gateway.tokens: %s", why);
        return false;
    }
    if (rl_endpoint_advertised(rl_wire_endpoint(self->tokens),
                               rl_conf_str(conf, "gateway.tokens_advertise"),
                               "gateway.tokens_advertise", tokens, why, sizeof why) != 0) {
        rl_error("gateway.tokens: %s", why);
        return false;
    }
    self->http = http_server_new(self->proc, gateway_routes, self, why, sizeof why);
    if (!self->http) {
        rl_error("%s", why);
        return false;
    }
    return true;
}

gateway_t *gateway_new(rl_proc_t *proc)
{
    gateway_t *self = rl_new(*self);
    char tokens[RL_ENDPOINT]; // as generators reach it
    self->proc = proc;
    self->started = (int64_t)time(NULL);
    self->peers = peers_new(proc);
    self->relays = relays_new(proc, self->peers);
    self->pipeline = pipeline_new(proc, self->peers);
    if (!self->pipeline || !open_sockets(self, tokens)) {
        gateway_destroy(&self);
        return NULL;
    }
    pipeline_open(self->pipeline, tokens);
    self->drain_timer = rl_timer_new(rl_proc_base(proc), on_drain_look, self);
    rl_proc_on_stop(proc, on_stop, self);
    rl_proc_on_reload(proc, on_reload, self);
    rl_proc_on_dump(proc, gateway_dump, self);
    self->live_feed = live_feed_new(self);
    self->readiness = readiness_new(proc, self->http, self->pipeline->registry);
    rl_info("ready at %s; workers announce themselves at %s", http_server_url(self->http),
            rl_wire_endpoint(self->hub));
    return self;
}

void gateway_destroy(gateway_t **self_p)
{
    gateway_t *self = *self_p;
    if (!self)
        return;
    if (self->pipeline && self->pipeline->registry)
        request_stop_all(self->pipeline);
    readiness_destroy(&self->readiness);
    live_feed_destroy(&self->live_feed);
    pipeline_destroy(&self->pipeline);
    relays_destroy(&self->relays);
    http_server_destroy(&self->http);
    rl_wire_destroy(&self->hub);
    rl_wire_destroy(&self->tokens);
    peers_destroy(&self->peers);
    rl_timer_destroy(&self->drain_timer);
    free(self);
    *self_p = NULL;
}
