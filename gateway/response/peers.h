// peers: the other gateways that work with the same workers, known from what workers announce.
#ifndef PEERS_H
#define PEERS_H

#include "wire.h"

typedef struct peers peers_t;

peers_t *peers_new(rl_proc_t *proc);
void peers_destroy(peers_t **self_p);

// The list in an announcement (rl_announce_t.gateways).
void peers_seen(peers_t *self, const char *list);

// Sends to the hub of a gateway; -1 if it is not known (any more) or takes no more now.
int peers_send(peers_t *self, const char *gateway, const rl_msg_t *msg);

#endif
