// gateway: the process between the clients and the workers. Questions come in over HTTP, go out to
// retrievers and generators over PUSH, come back over PULL and SUB, and leave as event streams.
#ifndef GATEWAY_H
#define GATEWAY_H

#include "embed.h"
#include "http.h"
#include "merge.h"
#include "metrics.h"
#include "otlp.h"
#include "registry.h"
#include "relay.h"
#include "replay.h"
#include "tasks.h"
#include "traces.h"

struct request;
TAILQ_HEAD(request_queue, request);

// What the configuration says, read once a (re)load.
typedef struct settings {
    unsigned k, candidates, quorum;
    fusion_t fusion;
    double weights[KINDS];
    long soft_ms, hard_ms, timeout_ms, grace_ms;
    size_t max_in_flight, max_outstanding, client_buffer;
    unsigned window;
    bool rewrite;
    bool share;      // what others have found, or look for now, is used
    double semantic; // least cosine of two questions that may share passages; 0: off
    bool prefill;    // what drafts find is read ahead
    bool part_prefixes;
    size_t drafts; // at work at a time
    long
        provisional_ms; // sources later than this are not awaited before an answer is begun; 0: off
    double provisional_quorum, provisional_share;
    bool quick_answer;   // where a question does not say
    long progressive_ms; // passages are shown without the sources later than this; 0: off
    double hedge_share;  // hedges per search task, at most
} settings_t;

typedef struct gateway {
    rl_proc_t *proc;
    settings_t settings;
    uint64_t reloads; // times that they were read
    http_server_t *http;
    rl_wire_t *hub;    // PULL: announcements, hits
    rl_wire_t *tokens; // SUB: tokens
    registry_t *registry;
    tasks_t *tasks;
    rl_fetcher_t *fetcher;
    embedder_t *embedder;
    metrics_t *metrics;
    otlp_t *otlp;
    struct live *live;             // the last minute
    struct live_feed *live_feed;   // those who watch it
    struct passage_cache *hits;    // passages found a while ago
    struct answer_cache *answers;  // answers given a while ago
    struct drafts *drafts;         // questions that are being typed
    void *leaders;                 // zhashx_t of the requests that search, by what they search for
    struct request_queue orphans;  // who waited for one of them, and go on at the turn's end
    traces_t *traces;              // timelines of the answers that ended last
    peers_t *peers;                // the other gateways
    relays_t *relays;              // clients whose answer one of them holds
    replays_t *replays;            // events of resumable answers
    struct request_queue requests; // all at work
    struct request_queue waiting;  // those that wait for a generator's slot, oldest first
    size_t in_flight, waiting_size;
    double provisional_budget; // answers that may be begun before their time
    double hedge_budget;       // hedges that may be sent now
    bool room; // a retriever that was full has room: searches that wait are asked at the turn's end
    bool draining;
    uint64_t drain_until_us;
    struct event *drain_timer, *silent_timer;
    struct readiness *readiness;
    int64_t started; // Unix time in seconds
} gateway_t;

// Starts everything; NULL after having logged what is wrong.
gateway_t *gateway_new(rl_proc_t *proc);
void gateway_destroy(gateway_t **self_p);

// A message of a generator.
void gateway_take_generated(gateway_t *self, rl_msg_t *msg);
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
