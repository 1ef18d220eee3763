// gateways: announcements to every gateway, and the way of tokens to each.
//
//     silent → (WELCOME) → connected → (subscription seen) → ready → (no subscription) → connected
#include "gateways.h"

#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

enum {
    BEHIND_BYTES = 1 << 20,    // waiting for one gateway: answers pause from here on,
    CAUGHT_UP_BYTES = 1 << 18, // and go on below this
    LOOK_AGAIN_US = 2000,
};

struct gen_gateway {
    gen_gateways_t *all;
    uint64_t route;
    rl_wire_t *hub;    // PUSH
    rl_wire_t *tokens; // PUB, from WELCOME on
    char *id;          // of the gateway's instance, its topic; NULL before WELCOME
    char *endpoint;    // of its tokens
    bool ready;        // its subscription is there
    bool behind;
    uint64_t unready_us; // since when it is not ready, 0: it is, or answers were given up
    bool muted;          // the hub takes no more: said once
};

struct gen_gateways {
    rl_proc_t *proc;
    gen_gateways_events_t events;
    void *arg;
    gen_gateway_t *gateways;
    size_t size;
    uint64_t orphan_us;
    struct event look; // at those that are behind
    bool news;         // someone became ready: announce at once
};

static void close_tokens(gen_gateway_t *gateway)
{
    rl_wire_destroy(&gateway->tokens);
    free(gateway->id);
    free(gateway->endpoint);
    gateway->id = gateway->endpoint = NULL;
    gateway->ready = gateway->behind = false;
    gateway->unready_us = 0;
}

static void drop_tokens(gen_gateway_t *gateway)
{
    if (gateway->tokens)
        gateway->all->events.lost(gateway->all->arg, gateway);
    close_tokens(gateway);
}

static void look_at_those_behind(evutil_socket_t fd, short what, void *arg)
{
    gen_gateways_t *self = arg;
    bool more = false;
    (void)fd;
    (void)what;
    for (size_t at = 0; at < self->size; at++) {
        gen_gateway_t *gateway = &self->gateways[at];
        if (!gateway->behind)
            continue;
        if (rl_wire_waiting(gateway->tokens) < CAUGHT_UP_BYTES) {
            gateway->behind = false;
            self->events.caught_up(self->arg, gateway);
        }
        more = more || gateway->behind;
    }
    struct timeval time = {0, LOOK_AGAIN_US};
    if (more)
        evtimer_add(&self->look, &time);
}

gen_gateways_t *gen_gateways_new(rl_proc_t *proc, const gen_gateways_events_t *events, void *arg,
                                 char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(proc);
    gen_gateways_t *self = calloc(1, sizeof *self);
    size_t size = rl_conf_list_size(conf, "cluster.gateways");
    if (!self)
        abort();
    self->proc = proc;
    self->events = *events;
    self->arg = arg;
    self->orphan_us = (uint64_t)rl_conf_int(conf, "generator.orphan_ms") * 1000;
    evtimer_assign(&self->look, rl_proc_base(proc), look_at_those_behind, self);
    self->gateways = calloc(size + 1, sizeof *self->gateways);
    if (!self->gateways)
        abort();
    for (; self->size < size; self->size++) {
        gen_gateway_t *gateway = &self->gateways[self->size];
        gateway->all = self;
        gateway->route = self->size;
        gateway->hub = rl_wire_push(proc, rl_conf_list_at(conf, "cluster.gateways", self->size),
                                    why, why_size);
        if (!gateway->hub) {
            gen_gateways_destroy(&self);
            return NULL;
        }
    }
    return self;
}

void gen_gateways_destroy(gen_gateways_t **self_p)
{
    gen_gateways_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->size; at++) {
        close_tokens(&self->gateways[at]); // at the end nobody is told: the tasks are gone already
        rl_wire_destroy(&self->gateways[at].hub);
    }
    evtimer_del(&self->look);
    free(self->gateways);
    free(self);
    *self_p = NULL;
}

static void tell(gen_gateway_t *gateway, const rl_msg_t *msg)
{
    bool muted = rl_wire_send(gateway->hub, msg) != 0;
    if (muted && !gateway->muted)
        rl_warn("gateway hub %s takes no announcements; going on trying",
                rl_wire_endpoint(gateway->hub));
    gateway->muted = muted;
}

void gen_gateways_announce(gen_gateways_t *self, const rl_announce_t *announce)
{
    rl_msg_t msg = {.type = RL_ANNOUNCE, .announce = *announce};
    for (size_t at = 0; at < self->size; at++) {
        msg.announce.route = self->gateways[at].route;
        msg.announce.ready = self->gateways[at].ready;
        tell(&self->gateways[at], &msg);
    }
}

void gen_gateways_leave(gen_gateways_t *self, const char *worker)
{
    rl_msg_t msg = {.type = RL_LEAVE, .leave = {.worker = worker}};
    for (size_t at = 0; at < self->size; at++)
        tell(&self->gateways[at], &msg);
}

void gen_gateways_sweep(gen_gateways_t *self)
{
    uint64_t now = rl_now_us();
    for (size_t at = 0; at < self->size; at++) {
        gen_gateway_t *gateway = &self->gateways[at];
        if (!gateway->unready_us || now - gateway->unready_us < self->orphan_us)
            continue;
        rl_warn("gateway %s has been gone for %llu ms: its answers are given up", gateway->id,
                (unsigned long long)self->orphan_us / 1000);
        gateway->unready_us = 0;
        self->events.lost(self->arg, gateway);
    }
}

static void on_subscribed(void *arg, const char *topic, bool subscribed)
{
    gen_gateway_t *gateway = arg;
    (void)topic;
    if (subscribed == gateway->ready)
        return;
    gateway->ready = subscribed;
    gateway->unready_us = subscribed ? 0 : rl_now_us();
    rl_info("gateway %s %s", gateway->id,
            subscribed ? "takes tokens: ready" : "takes no tokens any more");
    gateway->all->news = true;
    if (subscribed)
        gateway->all->events.returned(gateway->all->arg, gateway);
}

bool gen_gateways_welcome(gen_gateways_t *self, const rl_welcome_t *welcome)
{
    char why[256];
    if (welcome->route >= self->size || !*welcome->gateway || !*welcome->tokens) {
        rl_warn("a welcome for route %llu, which is none of ours",
                (unsigned long long)welcome->route);
        return false;
    }
    gen_gateway_t *gateway = &self->gateways[welcome->route];
    if (gateway->tokens && strcmp(gateway->id, welcome->gateway) == 0 &&
        strcmp(gateway->endpoint, welcome->tokens) == 0)
        return false;
    drop_tokens(gateway); // a gateway started anew knows nothing of the old one's questions
    gateway->id = strdup(welcome->gateway);
    gateway->endpoint = strdup(welcome->tokens);
    if (!gateway->id || !gateway->endpoint)
        abort();
    gateway->tokens = rl_wire_pub(self->proc, gateway->endpoint, gateway->id, on_subscribed,
                                  gateway, why, sizeof why);
    if (!gateway->tokens) {
        rl_warn("gateway %s wants tokens at a place that is none: %s", gateway->id, why);
        drop_tokens(gateway);
        return false;
    }
    gateway->unready_us = rl_now_us();
    rl_info("gateway %s welcomes us; its tokens go to %s", gateway->id, gateway->endpoint);
    return true;
}

bool gen_gateways_news(gen_gateways_t *self)
{
    bool news = self->news;
    self->news = false;
    return news;
}

gen_gateway_t *gen_gateways_find(gen_gateways_t *self, uint64_t route, const char *id)
{
    if (route >= self->size)
        return NULL;
    gen_gateway_t *gateway = &self->gateways[route];
    return gateway->tokens && strcmp(gateway->id, id) == 0 ? gateway : NULL;
}

rl_wire_t *gen_gateway_wire(gen_gateway_t *gateway)
{
    return gateway->tokens;
}

uint64_t gen_gateway_route(const gen_gateway_t *gateway)
{
    return gateway->route;
}

bool gen_gateway_behind(gen_gateway_t *gateway)
{
    if (!gateway->behind && rl_wire_waiting(gateway->tokens) > BEHIND_BYTES) {
        struct timeval time = {0, LOOK_AGAIN_US};
        gateway->behind = true;
        evtimer_add(&gateway->all->look, &time);
    }
    return gateway->behind;
}
