#include "pipeline.h"

#include <czmq.h>

#include "answer_cache.h"
#include "clock.h"
#include "drafts.h"
#include "live.h"
#include "log.h"
#include "mem.h"
#include "passage_cache.h"
#include "request.h"

enum {
    LLM_IDLE_CONNECTIONS = 32, // to the embedding server, kept open
    SILENT_LOOK_MS = 250,
    CROWD = 32,    // so many questions at a time: events are handled together,
    PACE_US = 500, // in turns so far apart
};

// ---- what happens to all questions --------------------------------------------------------------

static void on_worker_lost(void *arg, worker_t *worker)
{
    (void)arg;
    while (!LIST_EMPTY(&worker->tasks))
        request_task_lost(LIST_FIRST(&worker->tasks));
}

static void on_worker_ready(void *arg)
{
    pipeline_t *self = arg;
    self->room = true;
    rl_proc_request_turn(self->proc); // those that wait are looked at when the turn ends
}

// A slot may have become free in this turn.
static void on_turn_end(void *arg)
{
    pipeline_t *self = arg;
    if (self->room) {
        self->room = false;
        request_searches_again(self);
    }
    request_orphans_search(self);
    if (self->waiting_size > 0)
        request_generators_free(self);
    rl_proc_pace(self->proc, self->in_flight >= CROWD ? PACE_US : 0);
}

static void on_silent_look(void *arg)
{
    request_look_after_silent(arg);
}

// ---- settings -----------------------------------------------------------------------------------

static void read_settings(pipeline_t *self)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    self->reloads++;
    self->settings = settings_read(conf);
    lru_resize(self->passage_cache, (size_t)rl_conf_int(conf, "cache.passages_mb") << 20,
               (uint64_t)rl_conf_int(conf, "cache.age_ms") * 1000);
    lru_clear(self->answer_cache);
    lru_resize(self->answer_cache, (size_t)rl_conf_int(conf, "cache.answers_mb") << 20,
               (uint64_t)rl_conf_int(conf, "cache.answers_age_ms") * 1000);
}

static otlp_settings_t *read_otlp(const pipeline_t *self)
{
    char why[512];
    otlp_settings_t *settings =
        otlp_settings_read(rl_proc_conf(self->proc), rl_proc_id(self->proc), why, sizeof why);
    if (!settings)
        rl_error("%s", why);
    return settings;
}

void pipeline_reload(pipeline_t *self)
{
    otlp_settings_t *otlp = read_otlp(self);
    if (otlp)
        otlp_reload(self->otlp, &otlp);
    read_settings(self);
    traces_resize(self->traces, (size_t)rl_conf_int(rl_proc_conf(self->proc), "gateway.traces"));
    embedder_reload(self->embedder);
}

// ---- birth and end ------------------------------------------------------------------------------

pipeline_t *pipeline_new(rl_proc_t *proc, peers_t *peers)
{
    pipeline_t *self = rl_new(*self);
    self->proc = proc;
    TAILQ_INIT(&self->requests);
    TAILQ_INIT(&self->waiting);
    TAILQ_INIT(&self->orphans);
    self->passage_cache = passage_cache_new();
    self->answer_cache = answer_cache_new();
    self->drafts = drafts_new();
    self->leaders = rl_must(zhashx_new());
    read_settings(self);
    self->metrics = metrics_new();
    self->live = live_new(rl_now_us());
    self->traces = traces_new((size_t)rl_conf_int(rl_proc_conf(proc), "gateway.traces"));
    self->replays = replays_new(proc, peers);
    self->tasks = tasks_new();
    self->fetcher = rl_fetcher_new(rl_proc_base(proc), LLM_IDLE_CONNECTIONS);
    self->embedder = embedder_new(proc, self->fetcher);
    self->silent_timer = rl_timer_new(rl_proc_base(proc), on_silent_look, self);
    otlp_settings_t *otlp = read_otlp(self);
    if (otlp)
        self->otlp = otlp_new(rl_proc_base(proc), self->fetcher, &otlp);
    if (!self->otlp)
        pipeline_destroy(&self);
    return self;
}

void pipeline_open(pipeline_t *self, const char *tokens)
{
    registry_events_t events = {on_worker_lost, on_worker_ready, self};
    self->registry = registry_new(self->proc, rl_proc_id(self->proc), tokens, &events);
    rl_timer_every(self->silent_timer, SILENT_LOOK_MS * 1000);
    rl_proc_on_turn(self->proc, on_turn_end, self);
    if (!embedder_configured(self->embedder))
        rl_info("embed.url is not set: retrieval is lexical only");
}

void pipeline_destroy(pipeline_t **self_p)
{
    pipeline_t *self = *self_p;
    if (!self)
        return;
    if (self->registry)
        request_stop_all(self);
    lru_destroy(&self->answer_cache);
    lru_destroy(&self->passage_cache);
    drafts_destroy(&self->drafts);
    zhashx_destroy((zhashx_t **)&self->leaders);
    registry_destroy(&self->registry);
    replays_destroy(&self->replays);
    embedder_destroy(&self->embedder);
    otlp_destroy(&self->otlp);
    rl_fetcher_destroy(&self->fetcher);
    tasks_destroy(&self->tasks);
    metrics_destroy(&self->metrics);
    live_destroy(&self->live);
    traces_destroy(&self->traces);
    rl_timer_destroy(&self->silent_timer);
    rl_proc_remove_hook(self->proc, on_turn_end, self);
    free(self);
    *self_p = NULL;
}
