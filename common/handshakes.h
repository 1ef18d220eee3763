// handshakes: logs why a CURVE handshake failed, on the side that learns the reason, and keeps
// whether a connection is up.
#ifndef RL_HANDSHAKES_H
#define RL_HANDSHAKES_H

#include "proc.h"

typedef struct rl_handshakes rl_handshakes_t;

// Watches a socket that will bind or connect to `endpoint`. NULL if it cannot be watched.
rl_handshakes_t *rl_handshakes_new(rl_proc_t *proc, void *socket, const char *endpoint, bool bound);
// Before its socket is closed.
void rl_handshakes_destroy(rl_handshakes_t **self_p);

// Of a socket that connects: what became of it. Without a watch it is taken for connected.
typedef enum rl_link {
    RL_LINK_NONE, // not connected (yet, or any more); ZeroMQ goes on trying
    RL_LINK_UP,
    RL_LINK_REFUSED, // a handshake has failed: ZeroMQ does not try again
} rl_link_t;
rl_link_t rl_handshakes_link(const rl_handshakes_t *self);

#endif
