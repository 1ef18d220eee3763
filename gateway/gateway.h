// gateway: the process between the clients and the workers. Questions come in over HTTP, go out to
// retrievers and generators over PUSH, come back over PULL and SUB, and leave as event streams.
#ifndef GATEWAY_H
#define GATEWAY_H

#include "pipeline.h"
#include "relay.h"

typedef struct gateway {
    rl_proc_t *proc;
    pipeline_t *pipeline; // the questions
    http_server_t *http;
    rl_wire_t *hub;              // PULL: announcements, hits
    rl_wire_t *tokens;           // SUB: tokens
    peers_t *peers;              // the other gateways
    relays_t *relays;            // clients whose answer one of them holds
    struct live_feed *live_feed; // those who watch
    struct readiness *readiness;
    bool draining;
    uint64_t drain_until_us;
    rl_timer_t *drain_timer;
    int64_t started; // Unix time in seconds
} gateway_t;

// Starts everything; NULL after having logged what is wrong.
gateway_t *gateway_new(rl_proc_t *proc);
void gateway_destroy(gateway_t **self_p);

// What the gateway answers over HTTP (routes.c); `arg` of the handlers is the gateway.
extern const http_route_t gateway_routes[];

void gateway_get_answer(void *arg, http_req_t *req);
void gateway_delete_answer(void *arg, http_req_t *req);
// Another gateway's client comes back to an answer of this one, leaves it, or stops it.
void gateway_resume(gateway_t *self, const rl_resume_t *resume);
void gateway_get_health(void *arg, http_req_t *req);
void gateway_get_ready(void *arg, http_req_t *req);
void gateway_get_metrics(void *arg, http_req_t *req);
void gateway_get_workers(void *arg, http_req_t *req);
void gateway_get_debug(void *arg, http_req_t *req);
void gateway_get_live(void *arg, http_req_t *req);
// What the gateway has in hand (SIGUSR1, GET /v1/debug).
void gateway_dump(void *arg, rl_dump_t *dump);
void gateway_get_info(void *arg, http_req_t *req);
void gateway_get_models(void *arg, http_req_t *req);
void gateway_get_model(void *arg, http_req_t *req);

#endif
