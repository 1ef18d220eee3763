// load_request: a request of a load to the nodes of a distributed engine, sent as often as it
// takes.
#ifndef LOAD_REQUEST_H
#define LOAD_REQUEST_H

#include "engine.h"
#include "nodes.h"

typedef struct load_request load_request_t;

// What all requests of a load have in common; it outlives them.
typedef struct load_calls {
    nodes_t *nodes;
    const engine_t *engine;
    unsigned retries;
    long timeout_ms; // of each try
    // Says what an answer is (see nodes_calls_t).
    engine_verdict_t (*take)(void *arg, long status, const char *body, size_t size, char *why,
                             size_t why_size);
    // It is answered; or it has failed for good. From the loop.
    void (*done)(void *arg, load_request_t *request);
    void (*failed)(void *arg, const char *why);
    // It is going to be tried again.
    void (*note)(void *arg, const char *what);
    void *arg;
} load_calls_t;

struct load_request {
    engine_request_t request;
    size_t passages; // in it
    bool busy;       // sent, and not answered yet
    const load_calls_t *calls;
    nodes_call_t *call;
    struct event *retry;
    unsigned tries;
};

void load_request_init(load_request_t *self, const load_calls_t *calls, struct event_base *base);
void load_request_free(load_request_t *self);

// Sends what `request` holds, `passages` of them.
void load_request_send(load_request_t *self, size_t passages);

#endif
