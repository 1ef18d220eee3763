// pipeline: what all questions of a gateway share: settings, workers, caches, and who looks at how
// they went; and the lists in which they stand.
#ifndef PIPELINE_H
#define PIPELINE_H

#include "embed.h"
#include "http.h"
#include "metrics.h"
#include "otlp.h"
#include "registry.h"
#include "replay.h"
#include "settings.h"
#include "tasks.h"
#include "timer.h"
#include "traces.h"

struct request;
struct coalesce;
struct generation;
TAILQ_HEAD(request_queue, request);
TAILQ_HEAD(coalesce_queue, coalesce);
TAILQ_HEAD(generation_queue, generation);

typedef struct pipeline {
    rl_proc_t *proc;
    settings_t settings;
    uint64_t reloads; // times that they were read
    registry_t *registry;
    tasks_t *tasks;
    rl_fetcher_t *fetcher;
    embedder_t *embedder;
    metrics_t *metrics;
    otlp_t *otlp;
    struct live *live;             // the last minute
    struct lru *passage_cache;     // passages found a while ago
    struct lru *answer_cache;      // answers given a while ago
    struct drafts *drafts;         // questions that are being typed
    traces_t *traces;              // timelines of the answers that ended last
    replays_t *replays;            // events of resumable answers
    void *leaders;                 // zhashx_t of the requests that search, by what they search for
    struct request_queue requests; // all at work
    struct generation_queue waiting; // those that wait for a generator's slot, oldest first
    struct coalesce_queue orphans;   // who waited for another's search, and go on at the turn's end
    size_t in_flight, waiting_size;
    double provisional_budget; // answers that may be begun before their time
    double hedge_budget;       // hedges that may be sent now
    bool room; // a retriever that was full has room: searches that wait are asked at the turn's end
    rl_timer_t *silent_timer;
} pipeline_t;

// NULL after having logged what is wrong. `peers` must outlive it.
pipeline_t *pipeline_new(rl_proc_t *proc, peers_t *peers);
// Ends the requests that are left, with an error to their clients.
void pipeline_destroy(pipeline_t **self_p);
// Begins to take in workers; `tokens` is where generators send to.
void pipeline_open(pipeline_t *self, const char *tokens);
// The configuration was read again.
void pipeline_reload(pipeline_t *self);

#endif
