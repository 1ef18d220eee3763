// gateway_links: the gateways that this generator works for, with a PUB to each for its tokens.
// Nothing is taken from a gateway whose subscription was not seen.
#ifndef GATEWAY_LINKS_H
#define GATEWAY_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateways.h"

typedef struct gateway_links gateway_links_t;
typedef struct gateway_link gateway_link_t;

typedef struct gateway_links_events {
    // It is gone or was restarted: its answers are not wanted any more. The gateway is still valid.
    void (*lost)(void *arg, gateway_link_t *gateway);
    // It takes tokens again after it did not: what was on its way may be lost.
    void (*returned)(void *arg, gateway_link_t *gateway);
    // It has caught up with what was sent to it: paused answers may go on.
    void (*caught_up)(void *arg, gateway_link_t *gateway);
} gateway_links_events_t;

// NULL with what is wrong in `why`.
gateway_links_t *gateway_links_new(rl_proc_t *proc, const gateway_links_events_t *events, void *arg,
                                   char *why, size_t why_size);
void gateway_links_destroy(gateway_links_t **self_p);

// Announces to every gateway (see rl_gateways_announce).
void gateway_links_announce(gateway_links_t *self, const rl_announce_t *announce);
// Tells them all that no more tasks are taken.
void gateway_links_leave(gateway_links_t *self, const char *worker);
// Looks for gateways that have been without a subscription for too long.
void gateway_links_sweep(gateway_links_t *self);

// Whether one became ready, or ceased to be, since this was last asked: then announce at once.
bool gateway_links_take_change(gateway_links_t *self);

// Connects to the tokens' endpoint of a gateway that is new. Returns whether it is.
bool gateway_links_welcome(gateway_links_t *self, const rl_welcome_t *welcome);

// The gateway with this instance id; NULL if none is connected.
gateway_link_t *gateway_links_find(gateway_links_t *self, uint64_t route, const char *id);

// Where its tokens go.
rl_wire_t *gateway_link_wire(gateway_link_t *gateway);
// Whether it is so far behind that answers for it should pause; caught_up is called afterwards.
bool gateway_link_is_behind(gateway_link_t *gateway);

// The hubs, and where tokens go, as lists of a dump.
void gateway_links_dump(const gateway_links_t *self, rl_dump_t *dump);

#endif
