// gateway_links: the way of tokens to each gateway.
//
//     silent → (WELCOME) → connected → (subscription seen) → ready → (no subscription) → connected
#include "gateway_links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "timer.h"

enum {
    BEHIND_BYTES = 1 << 20,    // waiting for one gateway: answers pause from here on,
    CAUGHT_UP_BYTES = 1 << 18, // and go on below this
    LOOK_AGAIN_US = 2000,
};

struct gateway_link {
    gateway_links_t *all;
    uint64_t route;    // that it was welcomed by
    rl_wire_t *tokens; // PUB, from WELCOME on
    char *id;          // of the gateway's instance, its topic; NULL before WELCOME
    char *endpoint;    // of its tokens
    bool ready;        // its subscription is there
    bool behind;
    uint64_t unready_us; // since when it is not ready, 0: it is, or answers were given up
};

struct gateway_links {
    rl_proc_t *proc;
    gateway_links_events_t events;
    void *arg;
    rl_gateways_t *hubs;
    gateway_link_t gateways[RL_GATEWAYS_MAX]; // by slot
    uint64_t orphan_us;
    rl_timer_t *look; // at those that are behind
    bool news;        // someone became ready: announce at once
};

static void close_tokens(gateway_link_t *gateway)
{
    rl_wire_destroy(&gateway->tokens);
    free(gateway->id);
    free(gateway->endpoint);
    gateway->id = gateway->endpoint = NULL;
    gateway->ready = gateway->behind = false;
    gateway->unready_us = 0;
}

static void drop_tokens(gateway_link_t *gateway)
{
    if (gateway->tokens)
        gateway->all->events.lost(gateway->all->arg, gateway);
    close_tokens(gateway);
}

static void check_those_behind(void *arg)
{
    gateway_links_t *self = arg;
    bool more = false;
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++) {
        gateway_link_t *gateway = &self->gateways[at];
        if (!gateway->behind)
            continue;
        if (rl_wire_waiting(gateway->tokens) < CAUGHT_UP_BYTES) {
            gateway->behind = false;
            self->events.caught_up(self->arg, gateway);
        }
        more = more || gateway->behind;
    }
    if (more)
        rl_timer_after(self->look, LOOK_AGAIN_US);
}

static void on_gone(void *arg, size_t slot)
{
    gateway_links_t *self = arg;
    drop_tokens(&self->gateways[slot]);
}

gateway_links_t *gateway_links_new(rl_proc_t *proc, const gateway_links_events_t *events, void *arg,
                                   char *why, size_t why_size)
{
    gateway_links_t *self = rl_new(*self);
    self->proc = proc;
    self->events = *events;
    self->arg = arg;
    self->orphan_us = (uint64_t)rl_conf_int(rl_proc_conf(proc), "generator.orphan_ms") * 1000;
    self->look = rl_timer_new(rl_proc_base(proc), check_those_behind, self);
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        self->gateways[at].all = self;
    self->hubs = rl_gateways_new(proc, on_gone, self, why, why_size);
    if (!self->hubs)
        gateway_links_destroy(&self);
    return self;
}

void gateway_links_destroy(gateway_links_t **self_p)
{
    gateway_links_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        close_tokens(&self->gateways[at]); // without `lost`: the tasks are freed already
    rl_gateways_destroy(&self->hubs);
    rl_timer_destroy(&self->look);
    free(self);
    *self_p = NULL;
}

static bool is_ready(void *arg, size_t slot, uint64_t route)
{
    const gateway_links_t *self = arg;
    return self->gateways[slot].ready && self->gateways[slot].route == route;
}

void gateway_links_announce(gateway_links_t *self, const rl_announce_t *announce)
{
    rl_gateways_announce(self->hubs, announce, is_ready, self);
}

void gateway_links_leave(gateway_links_t *self, const char *worker)
{
    rl_msg_t msg = {.type = RL_LEAVE, .leave = {.worker = worker}};
    rl_gateways_send_all(self->hubs, &msg);
}

void gateway_links_sweep(gateway_links_t *self)
{
    uint64_t now = rl_now_us();
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++) {
        gateway_link_t *gateway = &self->gateways[at];
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
    gateway_link_t *gateway = arg;
    (void)topic;
    if (subscribed == gateway->ready)
        return;
    gateway->ready = subscribed;
    gateway->unready_us = subscribed ? 0 : rl_now_us();
    rl_info("gateway %s %s", gateway->id,
            subscribed ? "takes tokens: ready" : "takes no tokens any more");
    gateway->all->news = true;
    rl_proc_request_turn(gateway->all->proc); // this turn may have looked for news already
    if (subscribed)
        gateway->all->events.returned(gateway->all->arg, gateway);
}

bool gateway_links_welcome(gateway_links_t *self, const rl_welcome_t *welcome)
{
    char why[256];
    int slot = rl_gateways_slot(self->hubs, welcome->route);
    if (slot < 0 || !*welcome->gateway || !*welcome->tokens) {
        rl_warn("a welcome for route %llu, which is none of ours",
                (unsigned long long)welcome->route);
        return false;
    }
    gateway_link_t *gateway = &self->gateways[slot];
    if (gateway->tokens && gateway->route == welcome->route &&
        strcmp(gateway->id, welcome->gateway) == 0 &&
        strcmp(gateway->endpoint, welcome->tokens) == 0)
        return false;
    drop_tokens(gateway); // a restarted gateway does not know the questions of the old one
    gateway->route = welcome->route;
    gateway->id = rl_strdup(welcome->gateway);
    gateway->endpoint = rl_strdup(welcome->tokens);
    rl_gateways_set_id(self->hubs, welcome->route, welcome->gateway);
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

bool gateway_links_take_change(gateway_links_t *self)
{
    bool news = self->news;
    self->news = false;
    return news;
}

gateway_link_t *gateway_links_find(gateway_links_t *self, uint64_t route, const char *id)
{
    int slot = rl_gateways_slot(self->hubs, route);
    if (slot < 0)
        return NULL;
    gateway_link_t *gateway = &self->gateways[slot];
    return gateway->tokens && gateway->route == route && strcmp(gateway->id, id) == 0 ? gateway
                                                                                      : NULL;
}

rl_wire_t *gateway_link_wire(gateway_link_t *gateway)
{
    return gateway->tokens;
}

bool gateway_link_is_behind(gateway_link_t *gateway)
{
    if (!gateway->behind && rl_wire_waiting(gateway->tokens) > BEHIND_BYTES) {
        gateway->behind = true;
        rl_timer_after(gateway->all->look, LOOK_AGAIN_US);
    }
    return gateway->behind;
}

void gateway_links_dump(const gateway_links_t *self, rl_dump_t *dump)
{
    uint64_t now = rl_now_us();
    size_t size = 0;
    rl_gateways_dump(self->hubs, dump);
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        size += self->gateways[at].tokens != NULL;
    rl_dump_list(dump, "token_streams", size);
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++) {
        const gateway_link_t *gateway = &self->gateways[at];
        if (!gateway->tokens)
            continue;
        if (!rl_dump_item(dump, NULL))
            break;
        rl_dump_text(dump, "gateway", gateway->id);
        rl_dump_text(dump, "endpoint", gateway->endpoint);
        rl_dump_number(dump, "route", gateway->route);
        rl_dump_number(dump, "waiting_bytes", rl_wire_waiting(gateway->tokens));
        rl_dump_flag(dump, "ready", gateway->ready);
        rl_dump_flag(dump, "behind", gateway->behind);
        if (gateway->unready_us)
            rl_dump_ms(dump, "unready_ms", now - gateway->unready_us);
        rl_dump_end(dump);
    }
    rl_dump_list_end(dump);
}
