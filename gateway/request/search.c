// search: the sources are chosen and asked.
#include "search.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "probes.h"
#include "search_private.h"

void search_set_text(char **text, const char *with)
{
    free(*text);
    *text = rl_strdup(with);
}

void search_miss(request_t *self, lookup_t *lookup, const char *format, ...)
{
    char reason[sizeof self->missing->reason];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    search_set_text(&lookup->reason, reason);
    if (lookup->state != LOOKUP_MISSING && lookup->state != LOOKUP_ANSWERED)
        self->search->pending--;
    lookup->state = LOOKUP_MISSING;
    lookup->done_us = rl_now_us();
}

// ---- what can be chosen -------------------------------------------------------------------------

unsigned search_passages_wanted(const request_t *self)
{
    return self->question->k ? self->question->k : self->pipeline->settings.k;
}

// With one kind of retrieval the k best are the k best; fusion needs to see further down.
unsigned search_candidates_wanted(const request_t *self)
{
    unsigned k = search_passages_wanted(self), candidates = self->pipeline->settings.candidates;
    bool there[KINDS] = {false};
    for (size_t at = 0; at < self->search->size; at++)
        there[self->search->lookups[at].source.kind] = true;
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
    search_t *search = self->search;
    search->hard_ms = limit_of(self, "hard_ms", question->hard_ms, usual->hard_ms);
    search->soft_ms = limit_of(self, "soft_ms", question->soft_ms, usual->soft_ms);
    search->soft_ms = search->soft_ms < search->hard_ms ? search->soft_ms : search->hard_ms;
    search->quorum = (size_t)limit_of(self, "quorum", question->quorum, usual->quorum);
}

void search_limits_text(const request_t *self, char *out, size_t size)
{
    const search_t *search = self->search;
    snprintf(out, size, "%ld/%ld/%zu", search->soft_ms, search->hard_ms, search->quorum);
}

static size_t list_sources(const request_t *self, source_t *sources)
{
    const pipeline_t *pipeline = self->pipeline;
    const question_t *question = self->question;
    bool kinds[KINDS];
    memcpy(kinds, question->kinds, sizeof kinds);
    // Without an embedding server there is no dense retrieval to miss, unless it is asked for
    // alone.
    if (!embedder_configured(pipeline->embedder) && kinds[KIND_LEXICAL])
        kinds[KIND_DENSE] = false;
    size_t size = 0;
    for (size_t at = 0; at < question->collections_size; at++)
        size += registry_sources(pipeline->registry, question->collections[at], kinds,
                                 sources + size, SEARCH_MAX_SOURCES - size);
    return size;
}

bool search_plan(request_t *self)
{
    source_t *sources = rl_alloc_array(SEARCH_MAX_SOURCES, sizeof *sources);
    search_t *search = self->search = rl_new(*search);
    search->size = search->pending = list_sources(self, sources);
    search->lookups = rl_alloc_array(search->size + 1, sizeof *search->lookups);
    for (size_t at = 0; at < search->size; at++)
        search->lookups[at].source = sources[at];
    free(sources);
    read_limits(self);
    return search->size > 0;
}

// ---- asking -------------------------------------------------------------------------------------

static uint64_t hard_time_left_ms(const request_t *self)
{
    long used = (long)((rl_now_us() - self->retrieval_us) / 1000);
    long left = self->search->hard_ms - used;
    return left > 0 ? (uint64_t)left : 1;
}

// 0: it is over, and everything that is awaited is.
static uint64_t soft_time_left_ms(const request_t *self)
{
    long used = (long)((rl_now_us() - self->retrieval_us) / 1000), soft = self->search->soft_ms;
    return used < soft && !self->question->require_all ? (uint64_t)(soft - used) : 0;
}

static bool send_task(request_t *self, lookup_t *lookup, task_kind_t kind, worker_t *worker)
{
    pipeline_t *pipeline = self->pipeline;
    search_t *search = self->search;
    task_t **task_p = kind == TASK_HEDGE ? &lookup->hedge : &lookup->task;
    task_t *task = *task_p =
        tasks_begin(pipeline->tasks, kind, worker, self, (unsigned)(lookup - search->lookups));
    if (!task)
        return false;
    bool dense = lookup->source.kind == KIND_DENSE;
    rl_msg_t msg = {.type = RL_SEARCH,
                    .search = {.gateway = rl_proc_id(pipeline->proc),
                               .route = worker->route,
                               .task = task->id,
                               .request = self->id,
                               .text = self->search_text, // dense: for engines that mix both
                               .vector = dense ? search->vector : NULL,
                               .vector_size = dense ? search->dimension : 0,
                               .k = hits_of_shard(search_candidates_wanted(self),
                                                  search_passages_wanted(self), worker->shards),
                               .deadline_ms = hard_time_left_ms(self),
                               .soft_ms = soft_time_left_ms(self),
                               .nprobe = self->question->nprobe,
                               .ef_search = self->question->ef_search,
                               .filter = self->question->filter}};
    RL_PROBE_SEARCH_SENT(self->id, task->id, worker->id, kind == TASK_HEDGE);
    uint64_t now = rl_now_us(); // before: the worker may be done before the call returns
    int rc = rl_wire_send(worker->push, &msg);
    if (rc != 0) {
        tasks_end(pipeline->tasks, task_p);
        search->refused = rc != RL_WIRE_NO_ROOM;
        return false;
    }
    task->sent_us = now;
    return true;
}

static bool send_search(request_t *self, lookup_t *lookup, worker_t *worker)
{
    pipeline_t *pipeline = self->pipeline;
    if (!send_task(self, lookup, TASK_SEARCH, worker))
        return false;
    metrics_count(pipeline->metrics, COUNT_SEARCHES, 1);
    lookup->sent_us = lookup->task->sent_us;
    lookup->state = LOOKUP_ASKED;
    lookup->again_us = 0;
    lookup->tries++;
    search_set_text(&lookup->worker, worker->id);
    self->search->sent++;
    self->search->moved = true;
    return true;
}

// Whether an index can be searched with the vector at hand; if not, the source is missed.
static bool fits_vector(request_t *self, lookup_t *lookup, const worker_t *worker)
{
    if (lookup->source.kind != KIND_DENSE)
        return true;
    const search_t *search = self->search;
    const char *model = embedder_model(self->pipeline->embedder);
    if (*worker->embedding_model && strcmp(worker->embedding_model, model) != 0)
        search_miss(self, lookup,
                    "its index was built with the embedding model %.48s, the gateway's is %.48s",
                    worker->embedding_model, model);
    else if (search->vector && worker->dimension != search->dimension)
        search_miss(self, lookup, "its index has %llu dimensions, the embedding server gave %zu",
                    (unsigned long long)worker->dimension, search->dimension);
    else
        return true;
    return false;
}

void search_ask(request_t *self, lookup_t *lookup, const worker_t *except)
{
    pipeline_t *pipeline = self->pipeline;
    worker_t *worker = registry_pick(pipeline->registry, &lookup->source, except,
                                     pipeline->settings.max_outstanding);
    bool full = !worker && registry_pick(pipeline->registry, &lookup->source, except, SIZE_MAX);
    if (!lookup->asked_us)
        lookup->asked_us = rl_now_us();
    if (full)
        lookup->state = LOOKUP_WAITING; // all are full: asked again when one answers
    else if (!worker)
        search_miss(self, lookup,
                    lookup->tries > 0 ? "its worker was lost and there is no other" : "no worker");
    else if (fits_vector(self, lookup, worker) && !send_search(self, lookup, worker))
        search_miss(self, lookup, "%s",
                    self->search->refused ? rl_wire_refusal() : "its worker takes no more tasks");
}

bool search_may_hedge(const request_t *self, size_t at, const worker_t **worker, uint64_t *sent_us)
{
    const lookup_t *lookup = &self->search->lookups[at];
    if (lookup->state != LOOKUP_ASKED || !lookup->task || lookup->hedged)
        return false;
    *worker = lookup->task->worker;
    *sent_us = lookup->sent_us;
    return true;
}

bool search_send_hedge(request_t *self, size_t at, worker_t *worker)
{
    lookup_t *lookup = &self->search->lookups[at];
    return lookup->hedged = send_task(self, lookup, TASK_HEDGE, worker);
}

// ---- the question's vector ----------------------------------------------------------------------

static void note_embedding(request_t *self, const char *how)
{
    span_t *span =
        timeline_add(self->timeline, STAGE_EMBED, self->search->embed_start_us, rl_now_us());
    if (span)
        span->detail = how;
}

void search_give_up_embedding(request_t *self)
{
    if (self->search->embed)
        note_embedding(self, "server");
    embed_cancel(&self->search->embed);
}

static void take_vector(search_t *self, const float *vector, size_t dimension)
{
    self->dimension = dimension;
    self->vector = rl_alloc_array(dimension, sizeof *self->vector);
    memcpy(self->vector, vector, dimension * sizeof *self->vector);
}

static void on_embedded(void *arg, const embed_result_t *result)
{
    request_t *self = arg;
    search_t *search = self->search;
    search->embed = NULL;
    search->embedded = true;
    note_embedding(self, result->shared ? "shared" : "server");
    if (result->vector) {
        take_vector(search, result->vector, result->dimension);
    } else {
        rl_log(RL_LOG_WARN, self->id, "%s", result->why);
        metrics_count(self->pipeline->metrics, COUNT_EMBED_ERRORS, 1);
        request_status(self, "embedding_failed",
                       "The question could not be embedded: searching by words only.", NULL);
        snprintf(search->embed_why, sizeof search->embed_why, "%s", result->why);
    }
    request_wake(self);
}

static void start_embedding(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    search_t *search = self->search;
    const char *why = "", *rights = keys_rights(self->caller);
    size_t dimension;
    search->embed_start_us = rl_now_us();
    const float *vector = embedder_find(pipeline->embedder, self->search_text, rights, &dimension);
    if (vector) {
        note_embedding(self, "cache");
        take_vector(search, vector, dimension);
    } else {
        trace_headers_t trace = otlp_headers(pipeline->otlp, self->timeline, TRACE_EMBED, 0);
        search->embed = embedder_ask(pipeline->embedder, self->search_text, rights, &trace,
                                     on_embedded, self, &why);
        snprintf(search->embed_why, sizeof search->embed_why, "%s", why);
    }
    search->embedded = !search->embed;
}

bool search_has_embedded(request_t *self)
{
    bool embedded = self->search->embedded;
    self->search->embedded = false;
    return embedded;
}

void search_ask_dense(request_t *self)
{
    search_t *search = self->search;
    for (size_t at = 0; at < search->size; at++) {
        lookup_t *lookup = &search->lookups[at];
        if (lookup->state != LOOKUP_EMBEDDING)
            continue;
        if (search->vector)
            search_ask(self, lookup, NULL);
        else
            search_miss(self, lookup, "%s", search->embed_why);
    }
}

const float *search_vector(const request_t *self, size_t *dimension)
{
    *dimension = self->search->dimension;
    return self->search->vector;
}

float *search_take_vector(request_t *self, size_t *dimension)
{
    float *vector = self->search->vector;
    *dimension = self->search->dimension;
    self->search->vector = NULL;
    return vector;
}

// ---- all at once --------------------------------------------------------------------------------

static void on_deadline(void *arg)
{
    request_t *self = arg;
    search_t *search = self->search;
    if (search->soft_over)
        search->hard_over = true;
    else
        request_set_phase(self, (long)hard_time_left_ms(self), on_deadline);
    search->soft_over = true;
    request_wake(self);
}

void search_ask_all(request_t *self)
{
    search_t *search = self->search;
    bool dense = false;
    search->asked = true;
    for (size_t at = 0; at < search->size; at++) {
        lookup_t *lookup = &search->lookups[at];
        const worker_t *any = registry_find_replica(self->pipeline->registry, &lookup->source);
        if (lookup->source.kind == KIND_LEXICAL) {
            search_ask(self, lookup, NULL);
        } else if (!any) {
            search_miss(self, lookup, "no worker");
        } else if (fits_vector(self, lookup, any)) {
            lookup->state = LOOKUP_EMBEDDING;
            dense = true;
        }
    }
    request_set_phase(self, search->soft_ms, on_deadline);
    if (dense)
        start_embedding(self);
}

bool search_has_asked(const request_t *self)
{
    return self->search->asked;
}
