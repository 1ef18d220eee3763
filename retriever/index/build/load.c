// load: the passages of a build into a distributed engine.
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "embedding.h"
#include "engines.h"
#include "files.h"
#include "load_survey.h"
#include "log.h"
#include "vectors.h"

enum {
    AGAIN_LEAST_MS = 200, // between two tries of a request; doubles
    AGAIN_MOST_MS = 5000,
    MAX_BATCHES = 256,
};

typedef enum phase {
    SURVEYING,
    PREPARING,
    BATCHES,
    SWEEPING,
    SETTLING,
    ENDING,
} phase_t;

// A request on its way, as often as it takes.
typedef struct batch {
    load_t *load;
    engine_request_t request;
    nodes_call_t *call;
    struct event *again;
    unsigned tries;
    size_t passages;
    bool busy;
} batch_t;

struct load {
    build_t *build;
    const engine_t *engine;
    engine_place_t *place;
    nodes_t *nodes;
    survey_t *survey;
    bool waited; // till the engine has settled
    engine_catalog_t catalog;
    phase_t phase;
    char load[17], generation[STORE_NAME], created[32];
    char *settings;
    batch_t *batches; // the first one is for what goes one after the other, too
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
    batch_t *batch = arg;
    load_t *self = batch->load;
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
    default:
        return self->engine->take_prepare(self->place, status, body, size, why, why_size);
    }
}

static void send_batch(batch_t *batch);

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    batch_t *batch = arg;
    (void)fd, (void)what;
    if (batch->load->phase == SETTLING)
        next_step(batch->load); // the time is over
    else
        send_batch(batch);
}

static void on_end(void *arg, const nodes_reply_t *reply)
{
    batch_t *batch = arg;
    load_t *self = batch->load;
    build_t *build = self->build;
    batch->call = NULL;
    if (reply->verdict == ENGINE_OK) {
        batch->busy = false;
        self->written += batch->passages;
        if (self->phase == BATCHES)
            progress_at(build->meter, self->written);
        next_step(self);
    } else if (reply->verdict == ENGINE_ELSEWHERE && batch->tries < build->plan->retries) {
        long ms = AGAIN_LEAST_MS << (batch->tries < 8 ? batch->tries : 8);
        ms = ms < AGAIN_MOST_MS ? ms : AGAIN_MOST_MS;
        struct timeval wait = {ms / 1000, ms % 1000 * 1000};
        batch->tries++;
        self->engine->relax(&batch->request);
        progress_clear(build->meter);
        rl_warn("%s; again in %.1f s", reply->why, (double)ms / 1000);
        event_add(batch->again, &wait);
    } else {
        snprintf(build->why, BUILD_WHY, "%s", reply->why);
        build_fail(build, build->why);
    }
}

static void send_batch(batch_t *batch)
{
    load_t *self = batch->load;
    nodes_calls_t calls = {.take = on_answer, .done = on_end, .arg = batch};
    uint64_t limit = (uint64_t)self->build->plan->timeout_ms * 1000;
    batch->busy = true;
    batch->call = nodes_send(self->nodes, &batch->request, rl_now_us() + limit, 0, &calls);
    if (!batch->call)
        build_fail(self->build, "out of memory");
}

static void send_first(batch_t *batch, size_t passages)
{
    batch->tries = 0;
    batch->passages = passages;
    send_batch(batch);
}

// ---- batches ------------------------------------------------------------------------------------

static int add_passage(load_t *self, batch_t *batch, const spooled_t *item)
{
    build_t *build = self->build;
    const float *vector = item->vector;
    size_t dimension = item->vector_size;
    if (build->mode == BUILD_EMBEDDED)
        vector = vector_cache_get(build->cache, &item->key, &dimension, build->why, BUILD_WHY);
    if (build->mode == BUILD_EMBEDDED && !vector)
        return -1;
    if (build->mode == BUILD_LEXICAL)
        dimension = 0;
    if (dimension > 0 && rl_embedding_normalise(vector, dimension, self->vector) != 0)
        return rl_fail(build->why, BUILD_WHY,
                       "%s: its vector is all zeros, or has a number that is not finite",
                       item->passage.doc);
    if (self->engine->batch_add(self->place, &batch->request, self->load, &item->passage,
                                self->vector, dimension) != 0)
        return rl_fail(build->why, BUILD_WHY,
                       "%s: too long for a request, or out of memory; set engine.batch lower",
                       item->passage.doc);
    return 0;
}

// The next passages into the batch; how many, or -1 with the build's `why`.
static long fill_batch(load_t *self, batch_t *batch)
{
    build_t *build = self->build;
    spooled_t item;
    long size = 0, most = rl_conf_int(build->plan->conf, "engine.batch");
    if (self->engine->batch(self->place, &batch->request) != 0)
        return rl_fail(build->why, BUILD_WHY, "out of memory");
    // a batch is cut by its bytes too
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
        batch_t *batch = &self->batches[at];
        if (!batch->busy && !self->all_read) {
            long size = fill_batch(self, batch);
            if (size < 0) {
                build_fail(self->build, self->build->why);
                return true;
            }
            if (size > 0)
                send_first(batch, (size_t)size);
        }
        busy = busy || batch->busy;
    }
    return busy;
}

// ---- steps --------------------------------------------------------------------------------------

static void describe(load_t *self, bool loading)
{
    const build_t *build = self->build;
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(self->created, sizeof self->created, "%Y-%m-%dT%H:%M:%SZ", &utc);
    snprintf(self->generation, sizeof self->generation, "e-%s%s", self->load,
             loading ? "-part" : "");
    self->catalog.loading = loading;
    self->catalog.manifest = (manifest_t){
        .collection = build->plan->collection,
        .generation = self->generation,
        .model = build->mode == BUILD_LEXICAL ? "" : build->plan->model,
        .dimension = build->dimension,
        .language = build->plan->language,
        .build = self->settings,
        .created = self->created,
        .documents = build->documents,
        .passages = build->passages,
        .fields_more = survey_more(self->survey),
    };
}

// Returns whether there is such a step; else the phase is over.
static bool send_prepare(load_t *self)
{
    int rc = self->engine->prepare(self->place, &self->catalog, &self->batches[0].request);
    if (rc < 0)
        build_fail(self->build, "out of memory");
    else if (rc > 0)
        send_first(&self->batches[0], 0);
    return rc != 0;
}

static bool send_sweep(load_t *self)
{
    if (!self->more)
        return false;
    if (self->engine->sweep(self->place, self->load, &self->batches[0].request) != 0)
        build_fail(self->build, "out of memory");
    else
        send_first(&self->batches[0], 0);
    return true;
}

// Waits, once, until the engine finds by their words what it was given; false when it is over.
static bool wait_settled(load_t *self)
{
    long ms = rl_conf_int(self->build->plan->conf, "engine.settle_ms");
    struct timeval wait = {ms / 1000, ms % 1000 * 1000};
    if (self->waited || ms == 0)
        return false;
    self->waited = true;
    rl_info(
        "all is there; it is found by its words when the engine has written it to disk: waiting "
        "%.1f s (engine.settle_ms)",
        (double)ms / 1000);
    event_add(self->batches[0].again, &wait);
    return true;
}

static void summarise(const load_t *self)
{
    const build_t *build = self->build;
    char took[40];
    progress_duration((double)(rl_now_us() - build->began) / 1e6, took, sizeof took);
    printf("%s in %s: %s, %" PRIu64 " documents, %" PRIu64 " passages", build->plan->collection,
           self->engine->name, self->generation, build->documents, build->passages);
    if (build->mode == BUILD_LEXICAL)
        printf(", lexical only\n");
    else
        printf(", %zu dimensions (%s)\n", build->dimension, build->plan->model);
    if (build->mode == BUILD_EMBEDDED)
        printf("embeddings: %" PRIu64 " made, %" PRIu64 " reused\n", build->embedded_now,
               build->reused);
    printf("%" PRIu64 " passages of earlier loads removed; problems: %" PRIu64 "\n", self->removed,
           corpus_counts(build->corpus)->problems + build->listing_problems);
    printf("done in %s\n", took);
    fflush(stdout);
}

static void end(load_t *self)
{
    build_t *build = self->build;
    progress_drop(build->meter);
    if (build->cache && vector_cache_prune(build->cache, build->why, BUILD_WHY) != 0)
        rl_warn("%s (the cache keeps what is no longer needed)", build->why);
    store_abandon(&build->store);
    summarise(self);
    bool parts = corpus_counts(build->corpus)->problems + build->listing_problems > 0;
    build_end(build, parts ? BUILD_PARTS : BUILD_WHOLE);
}

// Goes on with what comes next, as far as nothing has to be waited for.
static void next_step(load_t *self)
{
    build_t *build = self->build;
    while (build->state == BUILD_LOADING) {
        switch (self->phase) {
        case PREPARING:
            if (send_prepare(self))
                return;
            self->phase = BATCHES;
            progress_begin(build->meter, "loading", "passages", build->passages);
            break;
        case BATCHES:
            if (send_batches(self))
                return;
            progress_end(build->meter);
            self->more = true;
            self->phase = SWEEPING;
            break;
        case SWEEPING:
            if (send_sweep(self))
                return;
            self->phase = SETTLING;
            break;
        case SETTLING:
            if (wait_settled(self))
                return;
            describe(self, false);
            self->phase = ENDING;
            break;
        default:
            if (!send_prepare(self))
                end(self);
            return;
        }
    }
}

// ---- the beginning ------------------------------------------------------------------------------

static int make_batches(load_t *self)
{
    const build_t *build = self->build;
    self->size = build->plan->requests < MAX_BATCHES ? build->plan->requests : MAX_BATCHES;
    self->batches = calloc(self->size, sizeof *self->batches);
    if (!self->batches)
        return -1;
    for (size_t at = 0; at < self->size; at++) {
        batch_t *batch = &self->batches[at];
        batch->load = self;
        batch->request = engine_request_make();
        batch->again = event_new(rl_proc_base(build->proc), -1, 0, on_again, batch);
        if (!batch->again)
            return -1;
    }
    return 0;
}

static load_t *load_new(build_t *build)
{
    const rl_conf_t *conf = build->plan->conf;
    load_t *self = calloc(1, sizeof *self);
    engine_settings_t place = {.collection = build->plan->collection,
                               .consistency = "quorum",
                               .replicas = (uint64_t)rl_conf_int(conf, "engine.replicas"),
                               .shards = (uint64_t)rl_conf_int(conf, "engine.shards")};
    if (!self)
        return NULL;
    self->build = build;
    self->engine = build->plan->engine;
    self->settings = plan_json(build->plan);
    self->survey = self->settings ? survey_new(self->settings) : NULL;
    self->vector = malloc(RL_MAX_DIMENSION * sizeof *self->vector);
    if (!self->survey || !self->vector || make_batches(self) != 0) {
        snprintf(build->why, BUILD_WHY, "out of memory");
        load_destroy(&self);
        return NULL;
    }
    self->nodes = engines_nodes(conf, "index.to", self->engine, rl_proc_base(build->proc),
                                build->why, BUILD_WHY);
    if (self->nodes)
        self->place = self->engine->open(&place, build->why, BUILD_WHY);
    if (!self->place)
        load_destroy(&self);
    return self;
}

void load_destroy(load_t **self_p)
{
    load_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; self->batches && at < self->size; at++) {
        nodes_cancel(&self->batches[at].call);
        engine_request_free(&self->batches[at].request);
        if (self->batches[at].again)
            event_free(self->batches[at].again);
    }
    if (self->place)
        self->engine->close(&self->place);
    nodes_destroy(&self->nodes);
    survey_destroy(&self->survey);
    engine_catalog_clear(&self->catalog);
    free(self->batches);
    free(self->settings);
    free(self->vector);
    free(self);
    *self_p = NULL;
}

// What the survey has found becomes the catalog; then the requests begin.
static void begin_loading(load_t *self)
{
    build_t *build = self->build;
    survey_digest(self->survey, self->load);
    self->catalog.types = json_incref(survey_types(self->survey));
    self->catalog.root = json_pack("{s:O}", "multi", survey_multi(self->survey));
    if (!self->catalog.root || spool_rewind(build->spool, build->why, BUILD_WHY) != 0) {
        build_fail(build, *build->why ? build->why : "out of memory");
        return;
    }
    describe(self, true);
    self->phase = PREPARING;
    build_set_state(build, BUILD_LOADING);
    next_step(self);
}

// The dimension is in the catalog before the first passage goes.
static int survey_one(load_t *self, const spooled_t *item)
{
    build_t *build = self->build;
    size_t dimension = item->vector_size;
    if (build->dimension == 0 && build->mode == BUILD_EMBEDDED &&
        !vector_cache_get(build->cache, &item->key, &dimension, build->why, BUILD_WHY))
        return -1;
    if (build->dimension == 0 && build->mode != BUILD_LEXICAL)
        build->dimension = dimension;
    if (survey_add(self->survey, item) != 0)
        return rl_fail(build->why, BUILD_WHY, "out of memory");
    return 0;
}

void build_load(build_t *build)
{
    uint64_t until = rl_now_us() + BUILD_TURN_US;
    if (!build->load && !(build->load = load_new(build))) {
        build_fail(build, build->why);
        return;
    }
    load_t *self = build->load;
    do {
        spooled_t item;
        int rc = spool_next(build->spool, &item, build->why, BUILD_WHY);
        if (rc > 0)
            rc = survey_one(self, &item) == 0 ? 1 : -1;
        if (rc < 0) {
            build_fail(build, build->why);
            return;
        }
        if (rc == 0) {
            progress_drop(build->meter);
            begin_loading(self);
            return;
        }
    } while (rl_now_us() < until);
    build_set_state(build, BUILD_WRITING);
}
