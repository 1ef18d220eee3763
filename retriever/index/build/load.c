// load: the passages of a build into a distributed engine.
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "embedding.h"
#include "engines.h"
#include "fail.h"
#include "files.h"
#include "load_probe.h"
#include "load_request.h"
#include "load_survey.h"
#include "log.h"
#include "mem.h"
#include "vectors.h"

enum {
    MAX_REQUESTS = 256,
    PROBE_WAIT_MS = 500, // till a passage that is not found is searched for again
    PROBE_LIMIT_S = 90,  // for all of them; an engine may write them after a minute
};

typedef enum load_phase {
    SURVEYING,
    PREPARING,
    CHECKING,
    BATCHES,
    SWEEPING,
    PROBING,
    ENDING,
} load_phase_t;

struct load {
    build_t *build;
    const engine_t *engine;
    engine_place_t *place;
    nodes_t *nodes;
    load_survey_t *survey;
    load_probe_t *probe;
    query_t query; // of the passage that is searched for, and what was found
    result_t result;
    uint64_t probe_until;      // 0: none was searched for yet
    struct event *probe_again; // the search is repeated
    engine_catalog_t catalog;
    load_phase_t phase;
    char load[17], generation[STORE_NAME], created[GENERATION_TIMESTAMP];
    char *settings;
    load_calls_t calls;
    load_request_t *requests; // the first one is for what goes one after the other, too
    size_t size;
    uint64_t written, removed;
    bool all_read, more; // the spool is at its end; there is more to sweep
    float *vector;       // of length 1
};

static void next_step(load_t *self);

// ---- requests -----------------------------------------------------------------------------------

static engine_verdict_t on_answer(void *arg, long status, const char *body, size_t size, char *why,
                                  size_t why_size)
{
    load_t *self = arg;
    uint64_t removed = 0;
    engine_verdict_t verdict;
    switch (self->phase) {
    case BATCHES:
        return self->engine->take_batch(self->place, status, body, size, why, why_size);
    case SWEEPING:
        verdict = self->engine->take_sweep(self->place, status, body, size, &removed, &self->more,
                                           why, why_size);
        self->removed += removed;
        return verdict;
    case CHECKING:
        return self->engine->take_check(self->place, status, body, size, why, why_size);
    case PROBING:
        result_clear(&self->result);
        return self->engine->take_hits(self->place, ENGINE_LEXICAL, &self->query, status, body,
                                       size, &self->result);
    default:
        return self->engine->take_prepare(self->place, status, body, size, why, why_size);
    }
}

static void on_done(void *arg, load_request_t *request)
{
    load_t *self = arg;
    struct timeval wait = {0, PROBE_WAIT_MS * 1000};
    self->written += request->passages;
    if (self->phase == BATCHES)
        progress_at(self->build->progress, self->written);
    if (self->phase == PROBING && !load_probe_is_in(self->probe, &self->result)) {
        if (rl_now_us() < self->probe_until) {
            event_add(self->probe_again, &wait);
            return;
        }
        load_probe_miss(self->probe);
    }
    next_step(self);
}

static void on_probe_again(evutil_socket_t fd, short what, void *arg)
{
    load_t *self = arg;
    (void)fd, (void)what;
    load_request_send(&self->requests[0], 0);
}

static void on_failed(void *arg, const char *why)
{
    load_t *self = arg;
    build_t *build = self->build;
    if (self->phase == CHECKING || self->phase == PROBING) { // the load itself is none the worse
        rl_warn("%s", why);
        self->requests[0].busy = false;
        if (self->phase == PROBING)
            load_probe_miss(self->probe);
        next_step(self);
        return;
    }
    snprintf(build->why, BUILD_WHY, "%s", why);
    build_fail(build, build->why);
}

static void on_note(void *arg, const char *what)
{
    const load_t *self = arg;
    progress_clear(self->build->progress);
    rl_warn("%s", what);
}

// ---- batches ------------------------------------------------------------------------------------

static int add_passage(load_t *self, load_request_t *batch, const spooled_t *item)
{
    build_t *build = self->build;
    const float *vector;
    const char *refusal;
    size_t dimension;
    if (build_vector(build, item, &vector, &dimension, &refusal) != 0)
        return -1;
    if (refusal) {
        build_name_vectorless(build, item, refusal);
        dimension = 0; // the engine keeps an object without a vector
    }
    if (dimension > 0 && rl_embedding_normalise(vector, dimension, self->vector) != 0)
        return rl_fail(build->why, BUILD_WHY,
                       "%s: its vector is all zeros, or has a number that is not finite",
                       item->passage.doc);
    if (self->engine->batch_add(self->place, &batch->request, self->load, &item->passage,
                                self->vector, dimension) != 0)
        return rl_fail(build->why, BUILD_WHY,
                       "%s: too long for a request, or out of memory; set engine.batch lower",
                       item->passage.doc);
    load_probe_take(self->probe, &item->passage);
    return 0;
}

// The next passages into the batch; how many, or -1 with the build's `why`.
static long fill_batch(load_t *self, load_request_t *batch)
{
    build_t *build = self->build;
    spooled_t item;
    long size = 0, most = rl_conf_int(build->plan->conf, "engine.batch");
    if (self->engine->batch(self->place, &batch->request) != 0)
        return rl_fail(build->why, BUILD_WHY, "out of memory");
    // the size in bytes bounds a batch too
    while (size < most && batch->request.body.size < ENGINE_BODY / 4) {
        int rc = spool_next(build->spool, &item, build->why, BUILD_WHY);
        if (rc < 0 || (rc > 0 && add_passage(self, batch, &item) != 0))
            return -1;
        self->all_read = rc == 0;
        if (rc == 0)
            break;
        size++;
    }
    if (self->engine->batch_end(self->place, &batch->request) != 0)
        return rl_fail(build->why, BUILD_WHY, "a batch is too long; set engine.batch lower");
    return size;
}

// Returns whether batches are under way, or the build has failed.
static bool send_batches(load_t *self)
{
    bool busy = false;
    for (size_t at = 0; at < self->size; at++) {
        load_request_t *batch = &self->requests[at];
        if (!batch->busy && !self->all_read) {
            long size = fill_batch(self, batch);
            if (size < 0) {
                build_fail(self->build, self->build->why);
                return true;
            }
            if (size > 0)
                load_request_send(batch, (size_t)size);
        }
        busy = busy || batch->busy;
    }
    return busy;
}

// ---- steps --------------------------------------------------------------------------------------

static void describe_load(load_t *self, bool loading)
{
    const build_t *build = self->build;
    generation_timestamp(self->created);
    snprintf(self->generation, sizeof self->generation, "e-%s%s", self->load,
             loading ? "-part" : "");
    self->catalog.loading = loading;
    self->catalog.manifest = (manifest_t){
        .collection = build->plan->collection,
        .generation = self->generation,
        .model = build->mode == BUILD_LEXICAL ? "" : build->plan->embedding.model,
        .dimension = build->dimension,
        .language = build->plan->language,
        .build = self->settings,
        .created = self->created,
        .documents = build->documents,
        .passages = build->passages,
        .fields_more = load_survey_more(self->survey),
    };
}

// Returns whether there is such a step; else the phase is over.
static bool send_prepare(load_t *self)
{
    int rc = self->engine->prepare(self->place, &self->catalog, &self->requests[0].request);
    if (rc < 0)
        rl_out_of_memory();
    if (rc > 0)
        load_request_send(&self->requests[0], 0);
    return rc > 0;
}

static bool send_sweep(load_t *self)
{
    if (!self->more)
        return false;
    if (self->engine->sweep(self->place, self->load, &self->requests[0].request) != 0)
        rl_out_of_memory();
    load_request_send(&self->requests[0], 0);
    return true;
}

// Searches for the next passage by its words; false when all were, after telling how many are
// missed.
static bool send_probe(load_t *self)
{
    engine_request_t *request = &self->requests[0].request;
    if (self->probe_until == 0)
        self->probe_until = rl_now_us() + PROBE_LIMIT_S * UINT64_C(1000000);
    while (load_probe_next(self->probe, &self->query)) {
        result_clear(&self->result);
        if (self->engine->search(self->place, ENGINE_LEXICAL, &self->query, request,
                                 &self->result) == 1) {
            load_request_send(&self->requests[0], 0);
            return true;
        } // else it has nothing but stop words
    }
    unsigned missed = load_probe_missed(self->probe);
    if (missed > 0)
        rl_warn("%s does not find %u of %u passages by their own words: it may not have written "
                "them yet, or its version or settings make it miss some",
                self->engine->name, missed, load_probe_asked(self->probe));
    return false;
}

static void print_summary(const load_t *self)
{
    const build_t *build = self->build;
    printf("%s in %s: %s, %" PRIu64 " documents, %" PRIu64 " passages", build->plan->collection,
           self->engine->name, self->generation, build->documents, build->passages);
    build_print_kind(build);
    if (build->mode == BUILD_EMBEDDED)
        printf("embeddings: %" PRIu64 " made, %" PRIu64 " reused\n", build->embedded_now,
               build->reused);
    printf("%" PRIu64 " passages of earlier loads removed; not wholly loaded: %" PRIu64 "\n",
           self->removed, report_faults(build->report));
    build_print_duration(build);
}

static void end_load(load_t *self)
{
    build_t *build = self->build;
    progress_drop(build->progress);
    build_prune_cache(build);
    generation_writer_abandon(&build->writer);
    print_summary(self);
    build_succeed(build);
}

// Goes through the phases until a request or a wait is under way.
static void next_step(load_t *self)
{
    build_t *build = self->build;
    while (build->state == BUILD_LOADING) {
        switch (self->phase) {
        case PREPARING:
            if (send_prepare(self))
                return;
            self->phase = CHECKING;
            self->engine->check(&self->requests[0].request);
            load_request_send(&self->requests[0], 0);
            return;
        case CHECKING:
            self->phase = BATCHES;
            progress_begin(build->progress, "loading", "passages", build->passages);
            break;
        case BATCHES:
            if (send_batches(self))
                return;
            progress_end(build->progress);
            self->more = true;
            self->phase = SWEEPING;
            break;
        case SWEEPING:
            if (send_sweep(self))
                return;
            self->phase = PROBING;
            break;
        case PROBING:
            if (send_probe(self))
                return;
            describe_load(self, false);
            self->phase = ENDING;
            break;
        default:
            if (!send_prepare(self))
                end_load(self);
            return;
        }
    }
}

// ---- the beginning ------------------------------------------------------------------------------

static void make_requests(load_t *self)
{
    const plan_t *plan = self->build->plan;
    self->calls = (load_calls_t){.nodes = self->nodes,
                                 .engine = self->engine,
                                 .retries = plan->embedding.retries,
                                 .timeout_ms = plan->embedding.timeout_ms,
                                 .take = on_answer,
                                 .done = on_done,
                                 .failed = on_failed,
                                 .note = on_note,
                                 .arg = self};
    size_t size = plan->embedding.requests < MAX_REQUESTS ? plan->embedding.requests : MAX_REQUESTS;
    self->requests = rl_alloc_array(size, sizeof *self->requests);
    for (; self->size < size; self->size++)
        load_request_init(&self->requests[self->size], &self->calls,
                          rl_proc_base(self->build->proc));
}

static load_t *load_new(build_t *build)
{
    const rl_conf_t *conf = build->plan->conf;
    load_t *self = rl_new(*self);
    engine_settings_t place = {.collection = build->plan->collection,
                               .consistency = "quorum",
                               .replicas = (uint64_t)rl_conf_int(conf, "engine.replicas"),
                               .shards = (uint64_t)rl_conf_int(conf, "engine.shards")};
    struct event_base *base = rl_proc_base(build->proc);
    self->build = build;
    self->engine = build->plan->engine;
    self->settings = plan_json(build->plan, NULL);
    self->survey = load_survey_new(self->settings);
    self->vector = rl_alloc_array(RL_MAX_DIMENSION, sizeof *self->vector);
    self->probe_again = rl_must(event_new(base, -1, 0, on_probe_again, self));
    self->nodes = engines_nodes(conf, "index.to", self->engine, base, build->why, BUILD_WHY);
    if (self->nodes)
        self->place = self->engine->open(&place, build->why, BUILD_WHY);
    if (!self->place)
        load_destroy(&self);
    else
        make_requests(self);
    return self;
}

void load_destroy(load_t **self_p)
{
    load_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->size; at++)
        load_request_free(&self->requests[at]);
    event_free(self->probe_again);
    if (self->place)
        self->engine->close(&self->place);
    nodes_destroy(&self->nodes);
    load_survey_destroy(&self->survey);
    engine_catalog_clear(&self->catalog);
    load_probe_destroy(&self->probe);
    result_clear(&self->result);
    free(self->requests);
    free(self->settings);
    free(self->vector);
    free(self);
    *self_p = NULL;
}

// What the survey has found becomes the catalog; then the requests begin.
static void begin_loading(load_t *self)
{
    build_t *build = self->build;
    load_survey_digest(self->survey, self->load);
    self->catalog.types = json_incref(load_survey_types(self->survey));
    self->catalog.root = rl_must(json_pack("{s:O}", "multi", load_survey_multi(self->survey)));
    if (spool_rewind(build->spool, build->why, BUILD_WHY) != 0) {
        build_fail(build, build->why);
        return;
    }
    describe_load(self, true);
    self->probe = load_probe_new(build->passages);
    self->phase = PREPARING;
    build_set_state(build, BUILD_LOADING);
    next_step(self);
}

// The dimension must be in the catalog before the first passage is sent.
static int survey_passage(build_t *build, const spooled_t *item)
{
    const float *vector;
    const char *refusal;
    if (build->dimension == 0 &&
        build_vector(build, item, &vector, &build->dimension, &refusal) != 0)
        return -1;
    load_survey_add(build->load->survey, item);
    return 0;
}

void build_load(build_t *build)
{
    if (!build->load && !(build->load = load_new(build))) {
        build_fail(build, build->why);
        return;
    }
    int rc = build_turn_spool(build, survey_passage);
    if (rc > 0)
        build_set_state(build, BUILD_WRITING);
    if (rc != 0)
        return;
    progress_drop(build->progress);
    begin_loading(build->load);
}
