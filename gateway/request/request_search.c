// request_search: the retrieval half of a request: every source is asked as soon as its input is
// there, and what has come by the deadline is merged.
#include "request_private.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "probes.h"

enum {
    MAX_TRIES = 3,         // workers asked for one source, one after the other
    BUSY_AGAIN_US = 20000, // all of them are busy: asked again after this, until the deadline
};

static void ask(request_t *self, search_t *search, const worker_t *except);
static void settle(request_t *self);

static void set_text(char **text, const char *with)
{
    free(*text);
    *text = strdup(with);
    if (!*text)
        abort();
}

// The source will not answer; the question goes on without it and says so.
void request_miss(request_t *self, search_t *search, const char *format, ...)
{
    char reason[sizeof self->missing->reason];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    set_text(&search->reason, reason);
    if (search->state != SEARCH_MISSING && search->state != SEARCH_ANSWERED)
        self->pending--;
    search->state = SEARCH_MISSING;
    search->done_us = rl_now_us();
}

// The task is over; if its worker was full until now, searches that wait for room are asked when
// the turn ends.
static void end_task(pipeline_t *pipeline, task_t **task)
{
    if ((*task)->worker->outstanding >= pipeline->settings.max_outstanding) {
        pipeline->room = true;
        rl_proc_request_turn(pipeline->proc);
    }
    tasks_end(pipeline->tasks, task);
}

static void cancel_task(pipeline_t *pipeline, task_t **task)
{
    if (!*task)
        return;
    rl_msg_t msg = {.type = RL_CANCEL,
                    .cancel = {.task = (*task)->id, .route = (*task)->worker->route}};
    rl_wire_send((*task)->worker->push, &msg);
    latency_at_least(&(*task)->worker->latency, rl_now_us() - (*task)->sent_us);
    end_task(pipeline, task);
}

static void cancel_tasks(request_t *self, search_t *search)
{
    cancel_task(self->pipeline, &search->task);
    cancel_task(self->pipeline, &search->hedge);
    tasks_end(self->pipeline->tasks, &search->check);
}

void request_cancel_searches(request_t *self)
{
    embed_cancel(&self->embed);
    for (size_t at = 0; at < self->searches_size; at++)
        cancel_tasks(self, &self->searches[at]);
}

void request_forget_searches(request_t *self)
{
    for (size_t at = 0; at < self->searches_size; at++) {
        rl_msg_free(&self->searches[at].hits);
        free(self->searches[at].worker);
        free(self->searches[at].reason);
    }
    free(self->searches);
    self->searches = NULL;
    self->searches_size = 0;
}

// ------------------------------------------------------------------------------------------ asking

unsigned request_passages_wanted(const request_t *self)
{
    return self->question->k ? self->question->k : self->pipeline->settings.k;
}

// With one kind of retrieval the k best are the k best; fusion needs to see further down.
unsigned request_candidates_wanted(const request_t *self)
{
    unsigned k = request_passages_wanted(self), candidates = self->pipeline->settings.candidates;
    bool there[KINDS] = {false};
    for (size_t at = 0; at < self->searches_size; at++)
        there[self->searches[at].source.kind] = true;
    return there[KIND_DENSE] && there[KIND_LEXICAL] && candidates > k ? candidates : k;
}

// How many hits to ask of one of `shards` so that the n best of all are hardly ever missed: each is
// in a given shard with 1/shards, so a shard has n/shards of them, give or take (binomial; three
// standard deviations), and the k best of every shard in any case.
static unsigned hits_of_shard(unsigned n, unsigned k, uint64_t shards)
{
    double mean = (double)n / (double)shards;
    unsigned share = (unsigned)ceil(mean + 3 * sqrt(mean * (1 - 1 / (double)shards)));
    unsigned most = n < RL_MAX_HITS ? n : RL_MAX_HITS;
    share = share < most ? share : most;
    return share > k ? share : k;
}

// A limit of the question, else the largest of its collections, else the gateway's.
static long limit_of(const request_t *self, const char *key, long asked, long usual)
{
    const rl_conf_t *conf = rl_proc_conf(self->pipeline->proc);
    long most = 0;
    for (size_t at = 0; at < self->question->collections_size; at++) {
        const char *name = self->question->collections[at];
        long own = rl_conf_given_in(conf, "collection", name, key)
                       ? strtol(rl_conf_in(conf, "collection", name, key), NULL, 10)
                       : usual;
        most = own > most ? own : most;
    }
    return asked ? asked : most;
}

static void read_limits(request_t *self)
{
    const question_t *question = self->question;
    const settings_t *usual = &self->pipeline->settings;
    self->hard_ms = limit_of(self, "hard_ms", question->hard_ms, usual->hard_ms);
    self->soft_ms = limit_of(self, "soft_ms", question->soft_ms, usual->soft_ms);
    self->soft_ms = self->soft_ms < self->hard_ms ? self->soft_ms : self->hard_ms;
    self->quorum = (size_t)limit_of(self, "quorum", question->quorum, usual->quorum);
}

static uint64_t hard_time_left_ms(const request_t *self)
{
    long used = (long)((rl_now_us() - self->retrieval_us) / 1000), left = self->hard_ms - used;
    return left > 0 ? (uint64_t)left : 1;
}

// 0: it is over, and everything that is awaited is.
static uint64_t soft_time_left_ms(const request_t *self)
{
    long used = (long)((rl_now_us() - self->retrieval_us) / 1000);
    return used < self->soft_ms && !self->question->require_all ? (uint64_t)(self->soft_ms - used)
                                                                : 0;
}

bool request_send_search(request_t *self, search_t *search, worker_t *worker, task_t **task_p)
{
    pipeline_t *pipeline = self->pipeline;
    task_t *task = *task_p =
        tasks_begin(pipeline->tasks, task_p == &search->hedge ? TASK_HEDGE : TASK_SEARCH, worker,
                    self, (unsigned)(search - self->searches));
    if (!task)
        return false;
    bool dense = search->source.kind == KIND_DENSE;
    rl_msg_t msg = {.type = RL_SEARCH,
                    .search = {.gateway = rl_proc_id(pipeline->proc),
                               .route = worker->route,
                               .task = task->id,
                               .request = self->id,
                               .text = self->search_text, // dense: for engines that mix both
                               .vector = dense ? self->vector : NULL,
                               .vector_size = dense ? self->dimension : 0,
                               .k = hits_of_shard(request_candidates_wanted(self),
                                                  request_passages_wanted(self), worker->shards),
                               .deadline_ms = hard_time_left_ms(self),
                               .soft_ms = soft_time_left_ms(self),
                               .nprobe = self->question->nprobe,
                               .ef_search = self->question->ef_search,
                               .filter = self->question->filter}};
    RL_PROBE_SEARCH_SENT(self->id, task->id, worker->id, task_p == &search->hedge);
    uint64_t now = rl_now_us(); // before: the worker may be done before the call returns
    if (rl_wire_send(worker->push, &msg) != 0) {
        tasks_end(pipeline->tasks, task_p);
        return false;
    }
    task->sent_us = now;
    return true;
}

static bool send_search(request_t *self, search_t *search, worker_t *worker)
{
    pipeline_t *pipeline = self->pipeline;
    if (!request_send_search(self, search, worker, &search->task))
        return false;
    metrics_count(pipeline->metrics, COUNT_SEARCHES, 1);
    pipeline->hedge_budget += pipeline->settings.hedge_share;
    if (pipeline->hedge_budget > REQUEST_HEDGES_SAVED)
        pipeline->hedge_budget = REQUEST_HEDGES_SAVED;
    search->sent_us = search->task->sent_us;
    search->state = SEARCH_ASKED;
    search->again_us = 0;
    search->tries++;
    set_text(&search->worker, worker->id);
    return true;
}

// Whether an index can be searched with the vector at hand; if not, the source is missed.
static bool fits(request_t *self, search_t *search, const worker_t *worker)
{
    if (search->source.kind != KIND_DENSE)
        return true;
    const char *space = embedder_model(self->pipeline->embedder);
    if (*worker->embedding_model && strcmp(worker->embedding_model, space) != 0)
        request_miss(self, search,
                     "its index was built with the embedding model %.48s, the gateway's is %.48s",
                     worker->embedding_model, space);
    else if (self->vector && worker->dimension != self->dimension)
        request_miss(self, search, "its index has %llu dimensions, the embedding server gave %zu",
                     (unsigned long long)worker->dimension, self->dimension);
    else
        return true;
    return false;
}

static void ask(request_t *self, search_t *search, const worker_t *except)
{
    pipeline_t *pipeline = self->pipeline;
    worker_t *worker = registry_pick(pipeline->registry, &search->source, except,
                                     pipeline->settings.max_outstanding);
    bool full = !worker && registry_pick(pipeline->registry, &search->source, except, SIZE_MAX);
    if (!search->asked_us)
        search->asked_us = rl_now_us();
    if (full)
        search->state = SEARCH_WAITING; // all are full: asked again when one answers
    else if (!worker)
        request_miss(self, search,
                     search->tries > 0 ? "its worker was lost and there is no other" : "no worker");
    else if (fits(self, search, worker) && !send_search(self, search, worker))
        request_miss(self, search, "its worker takes no more tasks");
}

static void note_embedding(request_t *self, const char *how)
{
    span_t *span = timeline_add(self->timeline, STAGE_EMBED, self->embed_start_us, rl_now_us());
    if (span)
        span->detail = how;
}

static void give_up_embedding(request_t *self)
{
    if (self->embed)
        note_embedding(self, "server");
    embed_cancel(&self->embed);
}

static void take_vector(request_t *self, const float *vector, size_t dimension)
{
    self->dimension = dimension;
    self->vector = malloc(dimension * sizeof *self->vector);
    if (!self->vector)
        abort();
    memcpy(self->vector, vector, dimension * sizeof *self->vector);
}

// The vector is there, or will not come (`why`).
static void ask_dense(request_t *self, const char *why)
{
    for (size_t at = 0; at < self->searches_size; at++) {
        search_t *search = &self->searches[at];
        if (search->state != SEARCH_EMBEDDING)
            continue;
        if (self->vector)
            ask(self, search, NULL);
        else
            request_miss(self, search, "%s", why);
    }
    request_hedge_later(self);
    settle(self);
}

static void on_embedded(void *arg, const embed_result_t *result)
{
    request_t *self = arg;
    self->embed = NULL;
    note_embedding(self, result->shared ? "shared" : "server");
    if (result->vector) {
        take_vector(self, result->vector, result->dimension);
    } else {
        rl_log(RL_LOG_WARN, self->id, "%s", result->why);
        metrics_count(self->pipeline->metrics, COUNT_EMBED_ERRORS, 1);
        request_status(self, "embedding_failed",
                       "The question could not be embedded: searching by words only.", NULL);
    }
    if (!request_share_near(self))
        ask_dense(self, result->why);
}

// The request may be over when this returns.
static void start_embedding(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    const char *why = "", *rights = keys_rights(self->caller);
    size_t dimension;
    self->embed_start_us = rl_now_us();
    const float *vector = embedder_find(pipeline->embedder, self->search_text, rights, &dimension);
    if (vector) {
        note_embedding(self, "cache");
        take_vector(self, vector, dimension);
        if (!request_share_near(self))
            ask_dense(self, "");
        return;
    }
    trace_headers_t trace = otlp_headers(pipeline->otlp, self->timeline, TRACE_EMBED, 0);
    self->embed = embedder_ask(pipeline->embedder, self->search_text, rights, &trace, on_embedded,
                               self, &why);
    if (self->embed)
        return;
    for (size_t at = 0; at < self->searches_size; at++)
        if (self->searches[at].state == SEARCH_EMBEDDING)
            request_miss(self, &self->searches[at], "%s", why);
    settle(self);
}

// --------------------------------------------------------------------------------------- the plan

static bool plan_sources(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    const question_t *question = self->question;
    source_t *sources = calloc(MAX_SOURCES, sizeof *sources);
    bool kinds[KINDS];
    memcpy(kinds, question->kinds, sizeof kinds);
    // Without an embedding server there is no dense retrieval to miss, unless it is asked for
    // alone.
    if (!embedder_configured(pipeline->embedder) && kinds[KIND_LEXICAL])
        kinds[KIND_DENSE] = false;
    size_t size = 0;
    for (size_t at = 0; sources && at < question->collections_size; at++)
        size += registry_sources(pipeline->registry, question->collections[at], kinds,
                                 sources + size, MAX_SOURCES - size);
    self->searches = calloc(size + 1, sizeof *self->searches);
    if (!sources || !self->searches)
        abort();
    for (size_t at = 0; at < size; at++)
        self->searches[at].source = sources[at];
    self->searches_size = self->pending = size;
    free(sources);
    return size > 0;
}

static void on_retrieval_deadline(evutil_socket_t fd, short what, void *arg)
{
    request_t *self = arg;
    (void)fd;
    (void)what;
    if (self->soft_over) {
        for (size_t at = 0; at < self->searches_size; at++) {
            search_t *search = &self->searches[at];
            if (search->state == SEARCH_MISSING || search->state == SEARCH_ANSWERED)
                continue;
            cancel_tasks(self, search);
            request_miss(self, search, "no answer within %ld ms", self->hard_ms);
        }
        give_up_embedding(self);
    }
    if (!self->soft_over) {
        self->soft_over = true;
        request_phase_timer(self, (long)hard_time_left_ms(self), on_retrieval_deadline);
    }
    settle(self);
}

static void ask_all(request_t *self)
{
    bool dense = false;
    for (size_t at = 0; at < self->searches_size; at++) {
        search_t *search = &self->searches[at];
        const worker_t *any = registry_find_replica(self->pipeline->registry, &search->source);
        if (search->source.kind == KIND_LEXICAL) {
            ask(self, search, NULL);
        } else if (!any) {
            request_miss(self, search, "no worker");
        } else if (fits(self, search, any)) {
            search->state = SEARCH_EMBEDDING;
            dense = true;
        }
    }
    request_phase_timer(self, self->soft_ms, on_retrieval_deadline);
    request_hedge_later(self);
    request_provisional_later(self);
    request_progressive_later(self);
    if (dense)
        start_embedding(self);
    else
        settle(self);
}

static void search_now(request_t *self)
{
    request_enter(self, REQUEST_SEARCHING);
    read_limits(self);
    if (!plan_sources(self)) {
        request_fail(
            self, 503, "no_retriever", 1,
            "no retriever serves what was asked for; start ragline-retriever and check its "
            "cluster.gateways, or look at kinds and collections (GET /v1/workers)");
        return;
    }
    json_t *detail = self->question->resumable ? json_pack("{s:s}", "id", self->id) : NULL;
    request_status(self, "searching", "Searching…", detail);
    json_decref(detail);
    if (!request_share(self))
        ask_all(self);
}

void request_checked_go_on(request_t *self)
{
    if (!request_share(self))
        ask_all(self);
}

void request_search_again(request_t *self)
{
    self->retrieval_us = rl_now_us(); // the retrievers' time was the other's
    if (!request_share(self))
        ask_all(self);
}

static void on_rewritten(void *arg, const char *text)
{
    request_t *self = arg;
    self->rewrite = NULL;
    if (text)
        set_text(&self->search_text, text);
    self->retrieval_us = rl_now_us(); // the LLM's time is not the retrievers'
    search_now(self);
}

// White space makes no difference to what is found.
static void squeeze(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++)
        if (!strchr(" \t\r\n", *at))
            *to++ = *at;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    if (to > text && to[-1] == ' ')
        to--;
    *to = '\0';
}

void request_search(request_t *self)
{
    self->search_text = followup_text(self->question);
    squeeze(self->search_text);
    self->retrieval_us = self->received_us;
    if (self->pipeline->settings.rewrite && self->question->form != FORM_DRAFT &&
        followup_is(self->question)) {
        request_enter(self, REQUEST_REWRITING);
        request_status(self, "rewriting", "Putting the question in context…", NULL);
        trace_headers_t trace =
            otlp_headers(self->pipeline->otlp, self->timeline, TRACE_REWRITE, 0);
        self->rewrite =
            followup_rewrite(rl_proc_conf(self->pipeline->proc), self->pipeline->fetcher, self->id,
                             self->question, &trace, on_rewritten, self);
        if (self->rewrite)
            return;
    }
    search_now(self);
}

// ----------------------------------------------------------------------------------------- answers

void request_searches_again(pipeline_t *pipeline)
{
    for (request_t *request = TAILQ_FIRST(&pipeline->requests), *next; request; request = next) {
        next = TAILQ_NEXT(request, all);
        if (request->state != REQUEST_SEARCHING)
            continue;
        for (size_t at = 0; at < request->searches_size; at++)
            if (request->searches[at].state == SEARCH_WAITING)
                ask(request, &request->searches[at], NULL);
        settle(request);
    }
}

static void note_effort(request_t *self, search_t *search, const rl_hits_t *hits)
{
    snprintf(search->effort_kind, sizeof search->effort_kind, "%s", hits->effort_kind);
    search->effort = hits->effort;
    search->effort_wanted = hits->effort_wanted;
    if (search->effort >= search->effort_wanted)
        return;
    self->share.lowered = true;
    metrics_count(self->pipeline->metrics, COUNT_EFFORT_LOWERED, 1);
}

void request_hits(task_t *task, rl_msg_t *msg)
{
    request_t *self = task->request;
    search_t *search = &self->searches[task->source];
    uint64_t now = rl_now_us();
    registry_note_generation(self->pipeline->registry, task->worker, msg->hits.generation);
    if (task->kind == TASK_REVALIDATION) {
        request_checked(task, &msg->hits);
        return;
    }
    latency_add(&task->worker->latency, now - task->sent_us);
    RL_PROBE_SEARCH_ANSWERED(self->id, task->id, task->worker->id, now - task->sent_us,
                             msg->hits.hits_size);
    if (task->kind == TASK_HEDGE) {
        metrics_count(self->pipeline->metrics, COUNT_HEDGES_WON, 1);
        search->hedge_won = true;
        search->sent_us = task->sent_us; // the span is that of the task that answered
        set_text(&search->worker, task->worker->id);
    }
    end_task(self->pipeline, task->kind == TASK_HEDGE ? &search->hedge : &search->task);
    cancel_tasks(self, search); // the loser
    search->hits = rl_msg_move(msg);
    search->state = SEARCH_ANSWERED;
    search->done_us = now;
    search->queue_us = search->hits->hits.queue_us;
    search->work_us = search->hits->hits.work_us;
    note_effort(self, search, &search->hits->hits);
    self->pending--;
    settle(self);
}

// Whether no other worker is left to be asked at once.
static bool is_last_choice(const request_t *self, const search_t *search, const worker_t *worker)
{
    return search->tries >= MAX_TRIES ||
           !registry_pick(self->pipeline->registry, &search->source, worker, SIZE_MAX);
}

void request_ask_busy_again(request_t *self)
{
    uint64_t now = rl_now_us();
    for (size_t at = 0; at < self->searches_size; at++) {
        search_t *search = &self->searches[at];
        if (search->state != SEARCH_WAITING || !search->again_us || search->again_us > now)
            continue;
        search->again_us = 0;
        metrics_count(self->pipeline->metrics, COUNT_RETRIES, 1);
        self->timeline->retries++;
        ask(self, search, NULL);
    }
    request_hedge_later(self);
    settle(self); // a worker that is gone by now is missing
}

void request_search_failed(task_t *task, const rl_failed_t *failed)
{
    request_t *self = task->request;
    search_t *search = &self->searches[task->source];
    const worker_t *worker = task->worker;
    if (task->kind == TASK_REVALIDATION) {
        request_checked(task, NULL);
        return;
    }
    metrics_count_failure(self->pipeline->metrics,
                          search->source.kind == KIND_DENSE ? FAILURE_DENSE : FAILURE_LEXICAL,
                          failed->code);
    RL_PROBE_SEARCH_FAILED(self->id, task->id, worker->id, rl_now_us() - task->sent_us,
                           failed->code);
    end_task(self->pipeline, task->kind == TASK_HEDGE ? &search->hedge : &search->task);
    if (search->task || search->hedge)
        return; // the other replica is still at it
    if (strcmp(failed->code, "busy") == 0 && is_last_choice(self, search, worker)) {
        search->state = SEARCH_WAITING;
        search->again_us = rl_now_us() + BUSY_AGAIN_US;
        request_hedge_later(self);
        return;
    }
    if (failed->retry && !is_last_choice(self, search, worker)) {
        metrics_count(self->pipeline->metrics, COUNT_RETRIES, 1);
        self->timeline->retries++;
        ask(self, search, worker);
    } else {
        request_miss(self, search, "%s: %s", failed->code, failed->message);
    }
    settle(self);
}

// The late are not waited for; what they send is a stray.
static void give_up_late(request_t *self)
{
    give_up_embedding(self);
    for (size_t at = 0; at < self->searches_size; at++) {
        search_t *search = &self->searches[at];
        if (search->state == SEARCH_ANSWERED || search->state == SEARCH_MISSING)
            continue;
        cancel_tasks(self, search);
        request_miss(self, search, "late: the soft deadline was over");
    }
}

// Sources that answered from another index generation than the newest are asked once more: by now
// their workers should have taken it up. Returns whether any was.
static bool ask_stale(request_t *self)
{
    bool any = false;
    for (size_t at = 0; at < self->searches_size; at++) {
        search_t *search = &self->searches[at];
        if (search->state != SEARCH_ANSWERED || search->tries >= MAX_TRIES ||
            !request_is_stale(self, search))
            continue;
        // another replica may have taken it up sooner
        registry_t *registry = self->pipeline->registry;
        const worker_t *stale = registry_find(registry, search->hits->hits.worker);
        bool other = registry_pick(registry, &search->source, stale, SIZE_MAX);
        rl_msg_free(&search->hits);
        self->pending++;
        search->state = SEARCH_WAITING;
        ask(self, search, other ? stale : NULL);
        any |= search->state != SEARCH_MISSING;
    }
    return any;
}

// Called after every change: goes on when nothing is awaited any more, or the soft deadline is over
// and enough have answered.
static void settle(request_t *self)
{
    if (self->state != REQUEST_SEARCHING || request_waits_for_another(self))
        return;
    size_t answered = 0;
    for (size_t at = 0; self->soft_over && at < self->searches_size; at++)
        answered += self->searches[at].state == SEARCH_ANSWERED;
    bool enough = self->soft_over && !self->question->require_all && answered >= self->quorum;
    if (self->pending > 0 && !enough) {
        request_provisional_look(self);
        request_progressive_look(self);
        return;
    }
    if (!self->soft_over && ask_stale(self))
        return;
    give_up_late(self);
    request_merge(self);
}
