// peers: the other gateways.
#include "peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

enum {
    MAX_PEERS = 256,
    FORGET_US = 60000000, // a gateway that no worker has named for so long
};

typedef struct peer {
    char id[64];
    char endpoint[512];
    rl_wire_t *push; // made when it is first needed
    uint64_t seen_us;
    TAILQ_ENTRY(peer) all;
} peer_t;

struct peers {
    rl_proc_t *proc;
    TAILQ_HEAD(, peer) all;
    size_t size;
};

peers_t *peers_new(rl_proc_t *proc)
{
    peers_t *self = rl_new(*self);
    self->proc = proc;
    TAILQ_INIT(&self->all);
    return self;
}

static void drop_peer(peers_t *self, peer_t *peer)
{
    TAILQ_REMOVE(&self->all, peer, all);
    self->size--;
    rl_wire_destroy(&peer->push);
    free(peer);
}

void peers_destroy(peers_t **self_p)
{
    peers_t *self = *self_p;
    if (!self)
        return;
    while (!TAILQ_EMPTY(&self->all))
        drop_peer(self, TAILQ_FIRST(&self->all));
    free(self);
    *self_p = NULL;
}

static peer_t *find_peer(peers_t *self, const char *id, size_t size)
{
    peer_t *peer;
    TAILQ_FOREACH(peer, &self->all, all)
    {
        if (strlen(peer->id) == size && memcmp(peer->id, id, size) == 0)
            return peer;
    }
    return NULL;
}

// One line: "ID ENDPOINT".
static void take_line(peers_t *self, const char *line, size_t size, uint64_t now)
{
    const char *space = memchr(line, ' ', size);
    size_t id_size = space ? (size_t)(space - line) : 0;
    size_t endpoint_size = space ? size - id_size - 1 : 0;
    const char *own = rl_proc_id(self->proc);
    if (id_size == 0 || id_size >= sizeof(((peer_t *)0)->id) || endpoint_size == 0 ||
        endpoint_size >= sizeof(((peer_t *)0)->endpoint) ||
        (strlen(own) == id_size && memcmp(own, line, id_size) == 0))
        return;
    peer_t *peer = find_peer(self, line, id_size);
    if (!peer) {
        if (self->size >= MAX_PEERS)
            return;
        peer = rl_new(*peer);
        memcpy(peer->id, line, id_size);
        memcpy(peer->endpoint, space + 1, endpoint_size);
        TAILQ_INSERT_TAIL(&self->all, peer, all);
        self->size++;
    }
    peer->seen_us = now;
}

void peers_seen(peers_t *self, const char *list)
{
    uint64_t now = rl_now_us();
    while (*list) {
        size_t size = strcspn(list, "\n");
        take_line(self, list, size, now);
        list += size + (list[size] != '\0');
    }
    for (peer_t *peer = TAILQ_FIRST(&self->all), *next; peer; peer = next) {
        next = TAILQ_NEXT(peer, all);
        if (now - peer->seen_us > FORGET_US)
            drop_peer(self, peer);
    }
}

int peers_send(peers_t *self, const char *gateway, const rl_msg_t *msg)
{
    char why[512];
    peer_t *peer = find_peer(self, gateway, strlen(gateway));
    if (!peer)
        return -1;
    if (!peer->push)
        peer->push = rl_wire_push(self->proc, peer->endpoint, why, sizeof why);
    if (!peer->push) {
        rl_warn("gateway %s cannot be reached: %s", peer->id, why);
        return -1;
    }
    return rl_wire_send(peer->push, msg);
}
