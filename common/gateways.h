// gateways: those that a worker works for: a PUSH to the hub of each of cluster.gateways, and the
// routes by which tasks name them. An address stands for one gateway; a name for as many as it has
// addresses, which come and go (a headless service).
//
// A gateway has a slot as long as it is there, and a route, the number that travels: a slot is
// taken again by another gateway, a route is not.
#ifndef RL_GATEWAYS_H
#define RL_GATEWAYS_H

#include "wire.h"

enum {
    RL_GATEWAYS_MAX = 256, // slots
};

typedef struct rl_gateways rl_gateways_t;

// The name that this gateway was found by has not had its address for cluster.forget_ms; what is
// kept for the slot is of no more use.
typedef void(rl_gateways_gone_fn)(void *arg, size_t slot);
// Whether the worker takes tasks from this gateway.
typedef bool(rl_gateways_ready_fn)(void *arg, size_t slot, uint64_t route);

// `gone` may be NULL. NULL with what is wrong in `why`.
rl_gateways_t *rl_gateways_new(rl_proc_t *proc, rl_gateways_gone_fn *gone, void *arg, char *why,
                               size_t why_size);
void rl_gateways_destroy(rl_gateways_t **self_p);

// The slot of the gateway that has this route now; -1: none has.
int rl_gateways_slot(const rl_gateways_t *self, uint64_t route);

// Where the hub of the slot's gateway is.
const char *rl_gateways_endpoint(const rl_gateways_t *self, size_t slot);

// Those that are there, as a list of a dump.
void rl_gateways_dump(const rl_gateways_t *self, rl_dump_t *dump);

// Sets the id of the gateway that has this route; announcements pass it on to the others, so that
// gateways know each other.
void rl_gateways_set_id(rl_gateways_t *self, uint64_t route, const char *id);

// Sends to one gateway's hub; -1 when it takes no more.
int rl_gateways_send(rl_gateways_t *self, size_t slot, const rl_msg_t *msg);
// Sends to all.
void rl_gateways_send_all(rl_gateways_t *self, const rl_msg_t *msg);

// Announces the worker to one gateway, to all; route, ready, key and period are filled in here. A
// hub that takes no more is logged once.
void rl_gateways_announce_to(rl_gateways_t *self, size_t slot, const rl_announce_t *announce,
                             rl_gateways_ready_fn *ready, void *arg);
void rl_gateways_announce(rl_gateways_t *self, const rl_announce_t *announce,
                          rl_gateways_ready_fn *ready, void *arg);

#endif
