// nodes: the servers of a distributed engine, of which any can take any request: which of them
// answer, and requests that go to another one when the first is gone, refuses or is slow.
//
// A node that cannot be reached or fails STRIKES times in a row is down: it gets no requests, but
// is asked every PROBE_MS whether it is ready, and is up again when it says so.
#ifndef NODES_H
#define NODES_H

#include <event2/event.h>

#include "engine.h"
#include "fetch.h"

typedef struct nodes nodes_t;
typedef struct nodes_call nodes_call_t;

enum {
    NODES_MAX = 32,
};

typedef struct nodes_settings {
    const char *const *urls; // "http://10.0.0.1:8080", 1..NODES_MAX of them
    size_t size;
    const char *key;        // sent as bearer, "" for none
    const char *ready_path; // answers 200 when a node takes requests
    long connect_ms;
} nodes_settings_t;

// What became of a call. Valid during on_done.
typedef struct nodes_reply {
    engine_verdict_t verdict; // of the last answer; ELSEWHERE: no node could
    bool timed_out;           // the time was over
    char why[400];            // what was wrong with the last try, "" if nothing
} nodes_reply_t;

typedef struct nodes_calls {
    // Says what an answer is; ELSEWHERE has another node asked (what was taken from this answer is
    // then to be forgotten). `why` says what is wrong.
    engine_verdict_t (*take)(void *arg, long status, const char *body, size_t size, char *why,
                             size_t why_size);
    // The end, once, from the loop, never from within nodes_send; the call is gone afterwards.
    void (*done)(void *arg, const nodes_reply_t *reply);
    void *arg;
} nodes_calls_t;

// NULL and `why` for URLs that are none.
nodes_t *nodes_new(struct event_base *base, const nodes_settings_t *settings, char *why,
                   size_t why_size);
// Its calls must have ended or been cancelled.
void nodes_destroy(nodes_t **self_p);

// Asks the node with the least under way; another one when it fails, or when it has not answered
// after `hedge_us` (0: never). Never NULL. The request is copied.
nodes_call_t *nodes_send(nodes_t *self, const engine_request_t *request, uint64_t deadline_us,
                         uint64_t hedge_us, const nodes_calls_t *calls);
// Ends the call: neither of its functions is called any more.
void nodes_cancel(nodes_call_t **call_p);

size_t nodes_up(const nodes_t *self);
size_t nodes_size(const nodes_t *self);

#endif
