// gateways: those that a worker works for.
#include "gateways.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "endpoint.h"
#include "fail.h"
#include "log.h"
#include "lookup.h"
#include "mem.h"

// A name of cluster.gateways.
typedef struct name {
    rl_gateways_t *all;
    rl_lookup_t *lookup;
    char host[RL_ENDPOINT], port[RL_ENDPOINT];
    bool failing; // logged once
} name_t;

typedef struct slot {
    rl_wire_t *hub;     // NULL: the slot is free
    uint64_t route;     // of the gateway that has the slot, or that will be next
    name_t *name;       // that it was found by; NULL: by its address
    uint64_t missed_us; // since when the name does not have the address, 0: it has
    uint64_t muted_us;  // since when the hub takes no more, or it was last connected anew
    bool muted;         // logged once
    char *id;           // of the gateway, once it is known
    uint64_t made_us;   // when the hub's socket was made
} slot_t;

enum {
    ANEW_US = 1000000, // a hub that takes no more is connected to anew after this time
    FIRST_US = 500000, // so long after a socket was made announcements wait for its connection
};

struct rl_gateways {
    rl_proc_t *proc;
    rl_gateways_gone_fn *gone;
    void *arg;
    slot_t slots[RL_GATEWAYS_MAX];
    name_t names[RL_GATEWAYS_MAX];
    size_t names_size;
    rl_buf_t known; // "ID ENDPOINT" of all whose ids are known, a line each
};

// ----------------------------------------------------------------------------- gateways that come
// and go

static void list_known(rl_gateways_t *self)
{
    rl_buf_clear(&self->known);
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        if (self->slots[at].hub && self->slots[at].id)
            rl_buf_addf(&self->known, "%s %s\n", self->slots[at].id,
                        rl_wire_endpoint(self->slots[at].hub));
}

void rl_gateways_set_id(rl_gateways_t *self, uint64_t route, const char *id)
{
    int at = rl_gateways_slot(self, route);
    if (at < 0 || (self->slots[at].id && strcmp(self->slots[at].id, id) == 0))
        return;
    free(self->slots[at].id);
    self->slots[at].id = rl_strdup(id);
    list_known(self);
}

static int add_gateway(rl_gateways_t *self, const char *endpoint, name_t *name, char *why,
                       size_t why_size)
{
    size_t at = 0;
    while (at < RL_GATEWAYS_MAX && self->slots[at].hub)
        at++;
    if (at == RL_GATEWAYS_MAX)
        return rl_fail(why, why_size, "%s: more than %d gateways", endpoint, RL_GATEWAYS_MAX);
    slot_t *slot = &self->slots[at];
    slot->hub = rl_wire_push(self->proc, endpoint, why, why_size);
    slot->name = name;
    slot->made_us = rl_now_us();
    slot->missed_us = 0;
    slot->muted = false;
    return slot->hub ? 0 : -1;
}

static slot_t *find_slot(rl_gateways_t *self, const char *endpoint)
{
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        if (self->slots[at].hub && strcmp(rl_wire_endpoint(self->slots[at].hub), endpoint) == 0)
            return &self->slots[at];
    return NULL;
}

static void drop_gateway(rl_gateways_t *self, slot_t *slot)
{
    rl_info("gateway hub %s is none of %s any more: forgotten", rl_wire_endpoint(slot->hub),
            slot->name->host);
    if (self->gone)
        self->gone(self->arg, (size_t)(slot - self->slots));
    rl_wire_destroy(&slot->hub);
    free(slot->id);
    slot->id = NULL;
    slot->route += RL_GATEWAYS_MAX;
    list_known(self);
}

// Those that the name stood for and does not any more: a gateway that is about to end leaves the
// name first and finishes its answers after that, so they stay for a while.
static void drop_missed(name_t *name, uint64_t now)
{
    rl_gateways_t *self = name->all;
    uint64_t forget_us =
        (uint64_t)rl_conf_int(rl_proc_conf(self->proc), "cluster.forget_ms") * 1000;
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++) {
        slot_t *slot = &self->slots[at];
        if (slot->hub && slot->name == name && slot->missed_us && now - slot->missed_us > forget_us)
            drop_gateway(self, slot);
    }
}

static void on_lookup(void *arg, const char *const *addresses, size_t size, const char *why)
{
    name_t *name = arg;
    rl_gateways_t *self = name->all;
    uint64_t now = rl_now_us();
    if (size == 0) { // a name server that fails removes no gateway
        if (!name->failing)
            rl_warn("cluster.gateways: %s: %s; looking again", name->host, why);
        name->failing = true;
        return;
    }
    name->failing = false;
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        if (self->slots[at].name == name && !self->slots[at].missed_us)
            self->slots[at].missed_us = now;
    for (size_t at = 0; at < size; at++) {
        char endpoint[2 * RL_ENDPOINT], inner[3 * RL_ENDPOINT];
        snprintf(endpoint, sizeof endpoint, "tcp://%s:%s", addresses[at], name->port);
        slot_t *slot = find_slot(self, endpoint);
        if (slot)
            slot->missed_us = 0;
        else if (add_gateway(self, endpoint, name, inner, sizeof inner) == 0)
            rl_info("gateway hub %s found by %s", endpoint, name->host);
        else
            rl_warn("cluster.gateways: %s: %s", name->host, inner);
    }
    drop_missed(name, now);
}

static int watch_name(rl_gateways_t *self, const char *endpoint, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    name_t *name = &self->names[self->names_size++];
    name->all = self;
    rl_endpoint_split(endpoint, name->host, name->port);
    name->lookup = rl_lookup_new(rl_proc_base(self->proc), name->host,
                                 rl_conf_int(conf, "cluster.lookup_ms"), on_lookup, name);
    if (!name->lookup)
        snprintf(why, why_size, "%s: no thread to look it up in", endpoint);
    return name->lookup ? 0 : -1;
}

rl_gateways_t *rl_gateways_new(rl_proc_t *proc, rl_gateways_gone_fn *gone, void *arg, char *why,
                               size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(proc);
    size_t size = rl_conf_list_size(conf, "cluster.gateways");
    if (size < 1 || size > RL_GATEWAYS_MAX) {
        snprintf(why, why_size, "cluster.gateways: names %zu gateways; it takes 1 to %d", size,
                 RL_GATEWAYS_MAX);
        return NULL;
    }
    rl_gateways_t *self = rl_new(*self);
    self->proc = proc;
    self->known = rl_buf_make(RL_GATEWAYS_MAX * 1024);
    self->gone = gone;
    self->arg = arg;
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        self->slots[at].route = at;
    for (size_t at = 0; self && at < size; at++) {
        const char *endpoint = rl_conf_list_at(conf, "cluster.gateways", at);
        char inner[3 * RL_ENDPOINT];
        int rc = rl_endpoint_is_name(endpoint)
                     ? watch_name(self, endpoint, inner, sizeof inner)
                     : add_gateway(self, endpoint, NULL, inner, sizeof inner);
        if (rc != 0) {
            snprintf(why, why_size, "cluster.gateways: %s", inner);
            rl_gateways_destroy(&self);
        }
    }
    return self;
}

void rl_gateways_destroy(rl_gateways_t **self_p)
{
    rl_gateways_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->names_size; at++)
        rl_lookup_destroy(&self->names[at].lookup);
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++) {
        rl_wire_destroy(&self->slots[at].hub);
        free(self->slots[at].id);
    }
    rl_buf_free(&self->known);
    free(self);
    *self_p = NULL;
}

int rl_gateways_slot(const rl_gateways_t *self, uint64_t route)
{
    size_t at = route % RL_GATEWAYS_MAX; // as drop_gateway gives them out
    return self->slots[at].hub && self->slots[at].route == route ? (int)at : -1;
}

const char *rl_gateways_endpoint(const rl_gateways_t *self, size_t slot)
{
    return self->slots[slot].hub ? rl_wire_endpoint(self->slots[slot].hub) : "";
}

void rl_gateways_dump(const rl_gateways_t *self, rl_dump_t *dump)
{
    size_t size = 0;
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        size += self->slots[at].hub != NULL;
    rl_dump_list(dump, "gateways", size);
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++) {
        const slot_t *slot = &self->slots[at];
        if (!slot->hub)
            continue;
        if (!rl_dump_item(dump, NULL))
            break;
        rl_dump_text(dump, "gateway", slot->id);
        rl_dump_text(dump, "hub", rl_wire_endpoint(slot->hub));
        rl_dump_number(dump, "route", slot->route);
        rl_dump_flag(dump, "takes_nothing", slot->muted);
        rl_dump_end(dump);
    }
    rl_dump_list_end(dump);
}

// ---------------------------------------------------------------------------- what they are told

int rl_gateways_send(rl_gateways_t *self, size_t slot, const rl_msg_t *msg)
{
    return self->slots[slot].hub ? rl_wire_send(self->slots[slot].hub, msg) : -1;
}

void rl_gateways_send_all(rl_gateways_t *self, const rl_msg_t *msg)
{
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        if (self->slots[at].hub)
            rl_wire_send(self->slots[at].hub, msg);
}

// ZeroMQ never tries again after a handshake that has failed, as with a gateway that has not heard
// of this worker's key yet; and what waits for one that was away so long that its pipe is full is
// of no use to it.
static void connect_anew(rl_gateways_t *self, slot_t *slot)
{
    char why[3 * RL_ENDPOINT];
    rl_wire_t *hub = rl_wire_push(self->proc, rl_wire_endpoint(slot->hub), why, sizeof why);
    slot->muted_us = rl_now_us();
    if (!hub) {
        rl_warn("cluster.gateways: %s", why);
        return;
    }
    rl_wire_destroy(&slot->hub);
    slot->hub = hub;
    slot->made_us = rl_now_us();
}

void rl_gateways_announce_to(rl_gateways_t *self, size_t at, const rl_announce_t *announce,
                             rl_gateways_ready_fn *ready, void *arg)
{
    slot_t *slot = &self->slots[at];
    rl_curve_t *curve = rl_proc_curve(self->proc);
    rl_msg_t msg = {.type = RL_ANNOUNCE, .announce = *announce};
    if (!slot->hub)
        return;
    msg.announce.route = slot->route;
    msg.announce.ready = ready(arg, at, slot->route);
    msg.announce.gateways = self->known.data;
    msg.announce.key = curve ? rl_curve_public(curve) : "";
    msg.announce.period_ms = (uint64_t)rl_conf_int(rl_proc_conf(self->proc), "cluster.announce_ms");
    rl_link_t link = rl_wire_link(slot->hub);
    // While there is no connection announcements would wait, and a gateway that comes up after an
    // hour would hear them all. The first ones may: they are heard as soon as it is there.
    if (link == RL_LINK_NONE && rl_now_us() - slot->made_us > FIRST_US)
        return;
    // a lost one is made up for by the next
    bool muted = link == RL_LINK_REFUSED || rl_wire_send(slot->hub, &msg) != 0;
    if (muted && !slot->muted)
        rl_warn("gateway hub %s takes no announcements; going on trying",
                rl_wire_endpoint(slot->hub));
    if (muted && !slot->muted)
        slot->muted_us = rl_now_us();
    slot->muted = muted;
    if (muted && rl_now_us() - slot->muted_us > ANEW_US)
        connect_anew(self, slot);
}

void rl_gateways_announce(rl_gateways_t *self, const rl_announce_t *announce,
                          rl_gateways_ready_fn *ready, void *arg)
{
    for (size_t at = 0; at < RL_GATEWAYS_MAX; at++)
        rl_gateways_announce_to(self, at, announce, ready, arg);
}
