// handshakes: says why a connection with CURVE did not come about, on the side that learns of it.
#ifndef RL_HANDSHAKES_H
#define RL_HANDSHAKES_H

#include "proc.h"

typedef struct rl_handshakes rl_handshakes_t;

// Watches a socket that will bind or connect to `endpoint`. NULL if it cannot be watched; nothing
// but log lines depends on it.
rl_handshakes_t *rl_handshakes_new(rl_proc_t *proc, void *socket, const char *endpoint, bool bound);
// Before its socket is closed.
void rl_handshakes_destroy(rl_handshakes_t **self_p);

#endif
