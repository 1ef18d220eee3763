// relay: clients of this gateway that came back to an answer which another gateway holds: it is
// asked for the events (RESUME), which are passed on to the client as they come (EVENTS).
#ifndef RELAY_H
#define RELAY_H

#include "http.h"
#include "peers.h"

typedef struct relays relays_t;

relays_t *relays_new(rl_proc_t *proc, peers_t *peers);
void relays_destroy(relays_t **self_p);

// Whether `answer` is one that another gateway holds which is known here.
bool relays_may_have(relays_t *self, const char *answer);

// Takes the request: its client gets the events of `answer` after number `seen` from the gateway
// that holds it; 410 where that one is gone or says that the answer is.
void relays_begin(relays_t *self, const char *answer, uint64_t seen, http_req_t **req_p);

// Has the gateway that holds it stop an answer of this caller; false if it is not known.
bool relays_stop(relays_t *self, const char *answer, const char *caller);

// What the other gateway sends.
void relays_events(relays_t *self, const rl_events_t *events);

size_t relays_size(const relays_t *self);

#endif
