// gen_gateways: the gateways that this generator works for, with a PUB to each for its tokens.
// Nothing is taken from a gateway whose subscription was not seen.
#ifndef GEN_GATEWAYS_H
#define GEN_GATEWAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateways.h"

typedef struct gen_gateways gen_gateways_t;
typedef struct gen_gateway gen_gateway_t;

typedef struct gen_gateways_events {
    // It is gone, or was started anew: nobody waits for its answers. The gateway is still valid.
    void (*lost)(void *arg, gen_gateway_t *gateway);
    // It takes tokens again after it did not: what was on its way may be lost.
    void (*returned)(void *arg, gen_gateway_t *gateway);
    // It has caught up with what was sent to it: paused answers may go on.
    void (*caught_up)(void *arg, gen_gateway_t *gateway);
} gen_gateways_events_t;

// NULL with what is wrong in `why`.
gen_gateways_t *gen_gateways_new(rl_proc_t *proc, const gen_gateways_events_t *events, void *arg,
                                 char *why, size_t why_size);
void gen_gateways_destroy(gen_gateways_t **self_p);

// Announces to every gateway (see rl_gateways_announce).
void gen_gateways_announce(gen_gateways_t *self, const rl_announce_t *announce);
// Tells them all that no more tasks are taken.
void gen_gateways_leave(gen_gateways_t *self, const char *worker);
// Looks for gateways that have been without a subscription for too long.
void gen_gateways_sweep(gen_gateways_t *self);

// Whether one became ready, or ceased to be, since this was last asked: then announce at once.
bool gen_gateways_news(gen_gateways_t *self);

// Connects to the tokens' endpoint of a gateway that is new. Returns whether it is.
bool gen_gateways_welcome(gen_gateways_t *self, const rl_welcome_t *welcome);

// The gateway with this instance id; NULL if none is connected.
gen_gateway_t *gen_gateways_find(gen_gateways_t *self, uint64_t route, const char *id);

// Where its tokens go.
rl_wire_t *gen_gateway_wire(gen_gateway_t *gateway);
uint64_t gen_gateway_route(const gen_gateway_t *gateway);
// Whether it is so far behind that answers for it should pause; caught_up is called afterwards.
bool gen_gateway_behind(gen_gateway_t *gateway);

// The hubs, and where tokens go, as lists of a dump.
void gen_gateways_dump(const gen_gateways_t *self, rl_dump_t *dump);

#endif
