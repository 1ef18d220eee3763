// gateway: the face of the process: its peers, and one short dispatcher for each.
#include "gateway.h"
#include "readiness.h"

#include <czmq.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer_cache.h"
#include "clock.h"
#include "drafts.h"
#include "endpoint.h"
#include "passage_set.h"
#include "live.h"
#include "live_feed.h"
#include "log.h"
#include "page.h"
#include "request.h"

enum {
    LLM_IDLE_CONNECTIONS = 32, // to the embedding server, kept open
    SILENT_LOOK_MS = 250,
    CROWD = 32,    // so many questions at a time: events are handled together,
    PACE_US = 500, // in turns so far apart
    DRAIN_LOOK_MS = 10,
    LAST_WORDS_MS = 1000, // for the last errors to reach their clients
};

// -------------------------------------------------------------------------------------- clients

static void post_ask(void *arg, http_req_t *req)
{
    request_start(arg, req, FORM_ASK);
}

static void post_search(void *arg, http_req_t *req)
{
    request_start(arg, req, FORM_SEARCH);
}

static void post_draft(void *arg, http_req_t *req)
{
    request_start(arg, req, FORM_DRAFT);
}

static void post_chat(void *arg, http_req_t *req)
{
    request_start(arg, req, FORM_CHAT);
}

static void get_page(void *arg, http_req_t *req)
{
    (void)arg;
    page_send(&req, PAGE_ASK);
}

static void get_live_page(void *arg, http_req_t *req)
{
    (void)arg;
    page_send(&req, PAGE_LIVE);
}

static void get_traces(void *arg, http_req_t *req)
{
    const gateway_t *self = arg;
    traces_get_list(self->traces, rl_proc_id(self->proc), req);
}

static void get_trace(void *arg, http_req_t *req)
{
    const gateway_t *self = arg;
    traces_get_one(self->traces, rl_proc_id(self->proc), req);
}

static const http_route_t routes[] = {
    {"GET", "/", true, get_page},
    {"GET", "/live", true, get_live_page},
    {"POST", "/v1/ask", false, post_ask},
    {"POST", "/v1/search", false, post_search},
    {"POST", "/v1/draft", false, post_draft},
    {"POST", "/v1/chat/completions", false, post_chat},
    {"GET", "/v1/answers/*", false, gateway_get_answer},
    {"DELETE", "/v1/answers/*", false, gateway_delete_answer},
    {"GET", "/v1/models", false, gateway_get_models},
    {"GET", "/v1/models/*", false, gateway_get_model},
    {"GET", "/v1/info", false, gateway_get_info},
    {"GET", "/v1/workers", false, gateway_get_workers},
    {"GET", "/v1/debug", false, gateway_get_debug},
    {"GET", "/v1/live", false, gateway_get_live},
    {"GET", "/v1/traces", false, get_traces},
    {"GET", "/v1/traces/*", false, get_trace},
    {"GET", "/healthz", true, gateway_get_health},
    {"GET", "/readyz", true, gateway_get_ready},
    {"GET", "/metrics", true, gateway_get_metrics},
    {NULL, NULL, false, NULL},
};

// ---------------------------------------------------------------------------- workers: hub, tokens

// The task that a message is about, NULL if nobody waits for it any more (or never did).
static task_t *find_task(gateway_t *self, uint64_t id)
{
    task_t *task = tasks_find(self->tasks, id);
    if (!task)
        metrics_count(self->metrics, COUNT_STRAY_MESSAGES, 1);
    return task;
}

// Work done is a sign of life as good as an announcement, which may wait behind it in the queue.
static void is_alive(worker_t *worker)
{
    worker->seen_us = rl_now_us();
}

// A retriever may speak of its own tasks only.
static task_t *find_search(gateway_t *self, uint64_t id, const char *worker)
{
    task_t *task = find_task(self, id);
    if (task && (task->worker->role == ROLE_GENERATOR || strcmp(task->worker->id, worker) != 0)) {
        metrics_count(self->metrics, COUNT_STRAY_MESSAGES, 1);
        return NULL;
    }
    if (task)
        is_alive(task->worker);
    return task;
}

static task_t *find_generation(gateway_t *self, uint64_t id)
{
    task_t *task = find_task(self, id);
    if (task && task->worker->role != ROLE_GENERATOR) {
        metrics_count(self->metrics, COUNT_STRAY_MESSAGES, 1);
        return NULL;
    }
    if (task)
        is_alive(task->worker);
    return task;
}

static void from_hub(void *arg, rl_msg_t *msg)
{
    gateway_t *self = arg;
    task_t *task;
    switch (msg->type) {
    case RL_ANNOUNCE:
        registry_announced(self->registry, &msg->announce);
        peers_seen(self->peers, msg->announce.gateways);
        break;
    case RL_LEAVE:
        registry_left(self->registry, &msg->leave);
        break;
    case RL_RESUME:
        gateway_resume(self, &msg->resume);
        break;
    case RL_EVENTS:
        relays_events(self->relays, &msg->events);
        break;
    case RL_HITS:
        if ((task = find_search(self, msg->hits.task, msg->hits.worker)))
            request_hits(task, msg);
        break;
    case RL_FAILED:
        if ((task = find_search(self, msg->failed.task, msg->failed.worker)))
            request_search_failed(task, &msg->failed);
        break;
    default:
        metrics_count(self->metrics, COUNT_STRAY_MESSAGES, 1);
        break;
    }
}

void gateway_take_generated(gateway_t *self, rl_msg_t *msg)
{
    task_t *task;
    switch (msg->type) {
    case RL_PROGRESS:
        if ((task = find_generation(self, msg->progress.task)) && !request_hold(task, msg))
            request_progress(task, &msg->progress);
        break;
    case RL_TOKEN:
        if ((task = find_generation(self, msg->token.task)) && !request_hold(task, msg))
            request_token(task, &msg->token);
        break;
    case RL_DONE:
        if ((task = find_generation(self, msg->done.task)) && !request_hold(task, msg))
            request_done(task, &msg->done);
        break;
    case RL_FAILED:
        if ((task = find_generation(self, msg->failed.task)) && !request_hold(task, msg))
            request_generate_failed(task, &msg->failed);
        break;
    default:
        metrics_count(self->metrics, COUNT_STRAY_MESSAGES, 1);
        break;
    }
}

static void from_generators(void *arg, rl_msg_t *msg)
{
    gateway_take_generated(arg, msg);
}

static void on_worker_lost(void *arg, worker_t *worker)
{
    (void)arg;
    while (!LIST_EMPTY(&worker->tasks))
        request_task_lost(LIST_FIRST(&worker->tasks));
}

static void on_worker_ready(void *arg)
{
    gateway_t *self = arg;
    self->room = true;
    rl_proc_request_turn(self->proc); // those that wait are looked at when the turn ends
}

// A slot may have become free in this turn.
static void on_turn_end(void *arg)
{
    gateway_t *self = arg;
    if (self->room) {
        self->room = false;
        request_searches_again(self);
    }
    request_orphans_search(self);
    if (self->waiting_size > 0 && !TAILQ_EMPTY(&self->waiting))
        request_generators_free(self);
    rl_proc_pace(self->proc, self->in_flight >= CROWD ? PACE_US : 0);
}

static void on_silent_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    request_look_after_silent(arg);
}

// --------------------------------------------------------------------------------- stop and reload

static void on_drain_look(evutil_socket_t fd, short what, void *arg)
{
    gateway_t *self = arg;
    (void)fd;
    (void)what;
    uint64_t now = rl_now_us();
    const http_counts_t *counts = http_server_counts(self->http);
    if (self->in_flight > 0 && now > self->drain_until_us)
        request_stop_all(self);
    bool said = counts->unfinished == 0 || now > self->drain_until_us + LAST_WORDS_MS * 1000;
    if (self->in_flight == 0 && said && otlp_finish(self->otlp))
        rl_proc_end(self->proc, 0);
}

static void on_stop(void *arg)
{
    gateway_t *self = arg;
    rl_info("%zu questions are at work; they have %ld ms", self->in_flight,
            self->settings.grace_ms);
    self->draining = true;
    self->drain_until_us = rl_now_us() + (uint64_t)self->settings.grace_ms * 1000;
    readiness_stopping(self->readiness);
    live_feed_stop(self->live_feed);
    http_server_drain(self->http);
    struct timeval every = {0, DRAIN_LOOK_MS * 1000};
    event_add(self->drain_timer, &every);
}

static void read_settings(gateway_t *self)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    self->reloads++;
    self->settings = (settings_t){
        .k = (unsigned)rl_conf_int(conf, "gateway.k"),
        .candidates = (unsigned)rl_conf_int(conf, "gateway.candidates"),
        .quorum = (unsigned)rl_conf_int(conf, "gateway.quorum"),
        .fusion =
            strcmp(rl_conf_str(conf, "gateway.fusion"), "rrf") == 0 ? FUSION_RRF : FUSION_CONVEX,
        .weights = {[KIND_DENSE] = rl_conf_num(conf, "gateway.weight_dense"),
                    [KIND_LEXICAL] = rl_conf_num(conf, "gateway.weight_lexical")},
        .soft_ms = rl_conf_int(conf, "gateway.soft_ms"),
        .hard_ms = rl_conf_int(conf, "gateway.hard_ms"),
        .timeout_ms = rl_conf_int(conf, "gateway.timeout_ms"),
        .grace_ms = rl_conf_int(conf, "gateway.grace_ms"),
        .max_in_flight = (size_t)rl_conf_int(conf, "gateway.max_in_flight"),
        .max_outstanding = (size_t)rl_conf_int(conf, "gateway.max_outstanding"),
        .client_buffer = (size_t)rl_conf_int(conf, "gateway.client_buffer"),
        .window = (unsigned)rl_conf_int(conf, "gateway.window"),
        .share = rl_conf_bool(conf, "cache.share"),
        .semantic = rl_conf_num(conf, "cache.semantic"),
        .prefill = rl_conf_bool(conf, "gateway.prefill"),
        .part_prefixes = rl_conf_bool(conf, "gateway.part_prefixes"),
        .drafts = (size_t)rl_conf_int(conf, "gateway.drafts"),
        .provisional_ms = rl_conf_int(conf, "gateway.provisional_ms"),
        .provisional_quorum = rl_conf_num(conf, "gateway.provisional_quorum"),
        .quick_answer = rl_conf_bool(conf, "gateway.quick_answer"),
        .progressive_ms = rl_conf_int(conf, "gateway.progressive_ms"),
        .provisional_share = rl_conf_num(conf, "gateway.provisional_share"),
        .hedge_share = rl_conf_num(conf, "gateway.hedge_share"),
        .rewrite = strcmp(rl_conf_str(conf, "gateway.rewrite"), "llm") == 0,
    };
    passage_cache_resize(self->hits, (size_t)rl_conf_int(conf, "cache.passages_mb") << 20,
                         (uint64_t)rl_conf_int(conf, "cache.age_ms") * 1000);
    answer_cache_clear(self->answers);
    answer_cache_resize(self->answers, (size_t)rl_conf_int(conf, "cache.answers_mb") << 20,
                        (uint64_t)rl_conf_int(conf, "cache.answers_age_ms") * 1000);
}

static otlp_settings_t *read_otlp(const gateway_t *self)
{
    char why[512];
    otlp_settings_t *settings =
        otlp_settings_read(rl_proc_conf(self->proc), rl_proc_id(self->proc), why, sizeof why);
    if (!settings)
        rl_error("%s", why);
    return settings;
}

static void on_reload(void *arg)
{
    gateway_t *self = arg;
    otlp_settings_t *otlp = read_otlp(self);
    if (otlp)
        otlp_reload(self->otlp, &otlp);
    read_settings(self);
    traces_resize(self->traces, (size_t)rl_conf_int(rl_proc_conf(self->proc), "gateway.traces"));
    embedder_reload(self->embedder);
    http_server_reload(self->http);
}

// ----------------------------------------------------------------------------------------- making

static bool open_sockets(gateway_t *self, char tokens[RL_ENDPOINT])
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    char why[2 * RL_ENDPOINT];
    self->hub =
        rl_wire_pull(self->proc, rl_conf_str(conf, "gateway.hub"), from_hub, self, why, sizeof why);
    if (!self->hub) {
        rl_error("gateway.hub: %s", why);
        return false;
    }
    self->tokens = rl_wire_sub(self->proc, rl_conf_str(conf, "gateway.tokens"),
                               rl_proc_id(self->proc), from_generators, self, why, sizeof why);
    if (!self->tokens) {
        rl_error("gateway.tokens: %s", why);
        return false;
    }
    if (rl_endpoint_advertised(rl_wire_endpoint(self->tokens),
                               rl_conf_str(conf, "gateway.tokens_advertise"),
                               "gateway.tokens_advertise", tokens, why, sizeof why) != 0) {
        rl_error("gateway.tokens: %s", why);
        return false;
    }
    self->http = http_server_new(self->proc, routes, self, why, sizeof why);
    if (!self->http) {
        rl_error("%s", why);
        return false;
    }
    return true;
}

gateway_t *gateway_new(rl_proc_t *proc)
{
    gateway_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->proc = proc;
    self->started = (int64_t)time(NULL);
    TAILQ_INIT(&self->requests);
    TAILQ_INIT(&self->waiting);
    TAILQ_INIT(&self->orphans);
    self->hits = passage_cache_new();
    self->answers = answer_cache_new();
    self->drafts = drafts_new();
    self->leaders = zhashx_new();
    if (!self->leaders)
        abort();
    read_settings(self);
    self->metrics = metrics_new();
    self->live = live_new(rl_now_us());
    self->traces = traces_new((size_t)rl_conf_int(rl_proc_conf(proc), "gateway.traces"));
    self->peers = peers_new(proc);
    self->relays = relays_new(proc, self->peers);
    self->replays = replays_new(proc, self->peers);
    self->tasks = tasks_new();
    self->fetcher = rl_fetcher_new(rl_proc_base(proc), LLM_IDLE_CONNECTIONS);
    self->embedder = embedder_new(proc, self->fetcher);
    otlp_settings_t *otlp = read_otlp(self);
    if (otlp)
        self->otlp = otlp_new(rl_proc_base(proc), self->fetcher, &otlp);
    char tokens[RL_ENDPOINT]; // as generators reach it
    if (!self->otlp || !open_sockets(self, tokens)) {
        gateway_destroy(&self);
        return NULL;
    }
    registry_events_t events = {on_worker_lost, on_worker_ready, self};
    self->registry = registry_new(proc, rl_proc_id(proc), tokens, &events);
    self->drain_timer = event_new(rl_proc_base(proc), -1, EV_PERSIST, on_drain_look, self);
    self->silent_timer = event_new(rl_proc_base(proc), -1, EV_PERSIST, on_silent_look, self);
    struct timeval every = {0, SILENT_LOOK_MS * 1000};
    if (!self->drain_timer || !self->silent_timer || event_add(self->silent_timer, &every) != 0)
        abort();
    rl_proc_on_turn(proc, on_turn_end, self);
    rl_proc_on_stop(proc, on_stop, self);
    rl_proc_on_reload(proc, on_reload, self);
    rl_proc_on_dump(proc, gateway_dump, self);
    if (!embedder_configured(self->embedder))
        rl_info("embed.url is not set: retrieval is lexical only");
    self->live_feed = live_feed_new(self);
    self->readiness = readiness_new(proc, self->http, self->registry);
    rl_info("ready at %s; workers announce themselves at %s", http_server_url(self->http),
            rl_wire_endpoint(self->hub));
    return self;
}

void gateway_destroy(gateway_t **self_p)
{
    gateway_t *self = *self_p;
    if (!self)
        return;
    if (self->registry)
        request_stop_all(self);
    readiness_destroy(&self->readiness);
    live_feed_destroy(&self->live_feed);
    answer_cache_destroy(&self->answers);
    passage_cache_destroy(&self->hits);
    drafts_destroy(&self->drafts);
    zhashx_destroy((zhashx_t **)&self->leaders);
    registry_destroy(&self->registry);
    relays_destroy(&self->relays);
    replays_destroy(&self->replays);
    http_server_destroy(&self->http);
    rl_wire_destroy(&self->hub);
    rl_wire_destroy(&self->tokens);
    embedder_destroy(&self->embedder);
    otlp_destroy(&self->otlp);
    rl_fetcher_destroy(&self->fetcher);
    peers_destroy(&self->peers);
    tasks_destroy(&self->tasks);
    metrics_destroy(&self->metrics);
    live_destroy(&self->live);
    traces_destroy(&self->traces);
    if (self->drain_timer)
        event_free(self->drain_timer);
    if (self->silent_timer)
        event_free(self->silent_timer);
    rl_proc_remove_hook(self->proc, on_turn_end, self);
    free(self);
    *self_p = NULL;
}
