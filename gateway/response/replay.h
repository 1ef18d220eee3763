// replay: the events of resumable answers, kept so that a client that was cut off can come back and
// get the rest, each event once, while the answer goes on.
//
// answer → replay_add → the log (bounded) → whichever client is there now. Without a client the
// answer goes on for gateway.resume_ms and is then cancelled. A complete answer is kept as long.
#ifndef REPLAY_H
#define REPLAY_H

#include "buf.h"
#include "http.h"
#include "peers.h"

typedef struct replays replays_t; // all of a gateway
typedef struct replay replay_t;   // one answer's events

typedef struct replay_events {
    void (*abandoned)(void *arg); // nobody came back in time; not called after replay_end
    void (*drained)(void *arg);   // the client has caught up (see http_on_client)
    void *arg;
} replay_events_t;

replays_t *replays_new(rl_proc_t *proc, peers_t *peers);
void replays_destroy(replays_t **self_p);

// A new log, which `self` owns. `id` is the answer's; only `caller` may come back to it.
replay_t *replay_new(replays_t *self, const char *id, const keys_caller_t *caller,
                     const replay_events_t *events);

// The log of an answer of the caller with this name, NULL if there is none (any more).
replay_t *replays_find(replays_t *self, const char *id, const char *caller);
const char *replay_id(const replay_t *self);

// Gives the log a client that has seen the events up to number `seen`: it gets the others at once
// and then all as they come. The stream of a client that was there before ends. Takes the request;
// answers it with 410 where events after `seen` are not kept any more.
void replay_attach(replay_t *self, http_req_t **req_p, uint64_t seen);

// A client of another gateway comes back (RESUME), or has left again. What it gets is sent there.
void replays_resume(replays_t *self, const rl_resume_t *resume);

// The next event, numbered from 1 by one.
void replay_add(replay_t *self, const char *event, size_t size);
// Bytes that the client at hand has not taken; 0 without one.
size_t replay_backlog(const replay_t *self);
// No event will follow. The log is kept for clients that come back, then frees itself.
void replay_end(replay_t **self_p);
// Frees the log at once and closes the connection of a client at hand.
void replay_destroy(replay_t **self_p);

#endif
