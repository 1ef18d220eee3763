// curve: encryption and mutual authentication of the ZeroMQ sockets (CURVE, ZeroMQ RFC 26), by the
// [curve] options. Sockets that bind are servers and let in whom this process allows: a gateway the
// workers of curve.allowed, a worker its gateways (curve.gateway_key). Sockets that connect are
// clients and name the key that the other side must have.
#ifndef RL_CURVE_H
#define RL_CURVE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf.h"

typedef struct rl_curve rl_curve_t;

// Reads and checks the keys. *self_p is NULL where none are configured. Returns 0, or -1 with what
// is wrong in `why`.
int rl_curve_new(rl_curve_t **self_p, unsigned program, const rl_conf_t *conf, char *why,
                 size_t why_size);
// After the last socket of the process.
void rl_curve_destroy(rl_curve_t **self_p);

// Starts to decide who is let in: a ZAP handler (RFC 27) in this loop. `context` is that of the
// sockets. Before the first of them is made.
int rl_curve_start(rl_curve_t *self, struct event_base *base, void *context, char *why,
                   size_t why_size);
// Answers requests that ZMQ_FD gave no event for; called at the end of a turn.
void rl_curve_turn(rl_curve_t *self);

// SIGHUP: reads the folder of those allowed again (it is also looked at every second). Keys
// of this process itself change with its next start.
void rl_curve_reload(rl_curve_t *self, const rl_conf_t *conf);

// This process's public key.
const char *rl_curve_public(const rl_curve_t *self);

// Makes a socket that will bind a server.
int rl_curve_serve(rl_curve_t *self, void *socket);
// Makes a socket that will connect a client of the server with this public key; NULL: the
// gateways'. Returns -1 when it is no key.
int rl_curve_connect(rl_curve_t *self, void *socket, const char *server_key);

// Whether the peer with this key may (still) talk to us: a key that was taken from the allowed ones
// counts for nothing at once, also on a connection that stands.
bool rl_curve_allows(rl_curve_t *self, const char *key);

#endif
