// engine_collection: a collection that a distributed engine holds, served.
#include "engine_collection.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "source_engine.h"

enum {
    LOOK_US = 1000000,       // between two looks at what the engine has
    LOOK_LIMIT_US = 5000000, // of one
};

struct engine_collection {
    shard_context_t *context;
    engine_collection_settings_t settings;
    char *name;
    engine_place_t *place;
    engine_catalog_t catalog, taken; // in force; from the answer at hand
    source_engine_t *sources[SOURCE_KINDS];
    shard_worker_t *workers[SOURCE_KINDS];
    nodes_call_t *look;
    engine_request_t request;
    uint64_t looked_us;
    char complaint[400]; // logged once
};

// ---- what the engine says -----------------------------------------------------------------------

static int make_worker(engine_collection_t *self, source_kind_t kind, char *why, size_t why_size)
{
    const engine_collection_settings_t *with = &self->settings;
    source_engine_settings_t settings = {
        .base = rl_proc_base(self->context->proc),
        .engine = with->engine,
        .place = self->place,
        .nodes = with->nodes,
        .catalog = &self->catalog,
        .mode = kind == SOURCE_LEXICAL ? ENGINE_LEXICAL
                : with->hybrid         ? ENGINE_HYBRID
                                       : ENGINE_VECTOR,
        .in_flight = with->in_flight,
        .room = with->room,
        .on_done = shard_worker_done,
    };
    self->sources[kind] = source_engine_new(&settings);
    self->workers[kind] = shard_worker_new_engine(self->context, &self->catalog.manifest, kind,
                                                  self->sources[kind], why, why_size);
    return self->workers[kind] ? 0 : -1;
}

static void fit_workers(engine_collection_t *self)
{
    char why[1024];
    for (source_kind_t kind = 0; kind < SOURCE_KINDS && !self->context->leaving; kind++) {
        if (!self->settings.kinds[kind] ||
            (kind == SOURCE_DENSE && self->catalog.manifest.dimension == 0))
            continue;
        if (self->workers[kind]) {
            shard_worker_describe(self->workers[kind], &self->catalog.manifest);
        } else if (make_worker(self, kind, why, sizeof why) != 0) {
            rl_error("%s", why);
            source_engine_destroy(&self->sources[kind]);
            continue;
        }
        shard_worker_announce(self->workers[kind]);
    }
}

static engine_verdict_t on_answer(void *arg, long status, const char *body, size_t size, char *why,
                                  size_t why_size)
{
    engine_collection_t *self = arg;
    engine_catalog_clear(&self->taken);
    return self->settings.engine->take_catalog(self->place, status, body, size, &self->taken, why,
                                               why_size);
}

static void log_complaint(engine_collection_t *self, const char *why)
{
    if (strcmp(self->complaint, why) != 0)
        rl_error("collection %s: %s%s", self->settings.place.collection, why,
                 self->catalog.root ? "; it is served on as it was" : "");
    snprintf(self->complaint, sizeof self->complaint, "%s", why);
}

static engine_verdict_t on_check(void *arg, long status, const char *body, size_t size, char *why,
                                 size_t why_size)
{
    engine_collection_t *self = arg;
    return self->settings.engine->take_check(self->place, status, body, size, why, why_size);
}

static void on_checked(void *arg, const nodes_reply_t *reply)
{
    engine_collection_t *self = arg;
    self->look = NULL;
    if (reply->verdict == ENGINE_REFUSED)
        rl_warn("collection %s: %s", self->settings.place.collection, reply->why);
}

// Asks whether what is found in this generation can be relied on.
static void check_engine(engine_collection_t *self)
{
    nodes_calls_t calls = {.take = on_check, .done = on_checked, .arg = self};
    self->settings.engine->check(&self->request);
    self->look =
        nodes_send(self->settings.nodes, &self->request, rl_now_us() + LOOK_LIMIT_US, 0, &calls);
}

static void on_end(void *arg, const nodes_reply_t *reply)
{
    engine_collection_t *self = arg;
    self->look = NULL;
    if (reply->verdict != ENGINE_OK) {
        log_complaint(self, reply->why);
        return;
    }
    const manifest_t *manifest = &self->taken.manifest;
    bool same = self->catalog.root && self->catalog.manifest.passages == manifest->passages &&
                strcmp(self->catalog.manifest.generation, manifest->generation) == 0;
    self->complaint[0] = '\0';
    if (same) {
        engine_catalog_clear(&self->taken);
        return;
    }
    rl_info("collection %s in %s: generation %s, %" PRIu64 " passages, embedding model %s%s",
            manifest->collection, self->settings.engine->name, manifest->generation,
            manifest->passages, *manifest->model ? manifest->model : "none",
            self->taken.loading ? "; it is being loaded" : "");
    engine_catalog_clear(&self->catalog);
    self->catalog = self->taken;
    self->catalog.manifest.shard_passages = &self->catalog.passages;
    self->taken = (engine_catalog_t){0};
    fit_workers(self);
    if (!self->catalog.loading)
        check_engine(self); // once it is known how many passages there are
}

static void request_description(engine_collection_t *self)
{
    nodes_calls_t calls = {.take = on_answer, .done = on_end, .arg = self};
    uint64_t now = rl_now_us();
    self->looked_us = now;
    if (self->settings.engine->describe(self->place, &self->request) == 0)
        self->look =
            nodes_send(self->settings.nodes, &self->request, now + LOOK_LIMIT_US, 0, &calls);
}

void engine_collection_tick(engine_collection_t *self)
{
    if (!self->look && rl_now_us() - self->looked_us >= LOOK_US)
        request_description(self);
}

// ---- making -------------------------------------------------------------------------------------

engine_collection_t *engine_collection_new(shard_context_t *context,
                                           const engine_collection_settings_t *settings, char *why,
                                           size_t why_size)
{
    engine_collection_t *self = rl_new(*self);
    self->context = context;
    self->settings = *settings;
    self->name = rl_strdup(settings->place.collection); // the configuration may be read again
    self->settings.place.collection = self->name;
    self->request = engine_request_make();
    self->place = settings->engine->open(&settings->place, why, why_size);
    if (!self->place)
        engine_collection_destroy(&self);
    else
        request_description(self);
    return self;
}

void engine_collection_destroy(engine_collection_t **self_p)
{
    engine_collection_t *self = *self_p;
    if (!self)
        return;
    nodes_cancel(&self->look);
    for (source_kind_t kind = 0; kind < SOURCE_KINDS; kind++) {
        shard_worker_destroy(&self->workers[kind]);
        source_engine_destroy(&self->sources[kind]);
    }
    if (self->place)
        self->settings.engine->close(&self->place);
    engine_catalog_clear(&self->catalog);
    engine_catalog_clear(&self->taken);
    engine_request_free(&self->request);
    free(self->name);
    free(self);
    *self_p = NULL;
}

bool engine_collection_dump(const engine_collection_t *self, rl_dump_t *dump)
{
    const nodes_t *nodes = self->settings.nodes;
    size_t workers = 0, tasks = 0;
    if (!rl_dump_item(dump, NULL))
        return false;
    for (source_kind_t kind = 0; kind < SOURCE_KINDS; kind++)
        if (self->workers[kind]) {
            workers++;
            tasks += shard_worker_tasks(self->workers[kind]);
        }
    rl_dump_text(dump, "collection", self->settings.place.collection);
    rl_dump_text(dump, "engine", self->settings.engine->name);
    rl_dump_text(dump, "generation", self->catalog.root ? self->catalog.manifest.generation : "");
    rl_dump_text(dump, "trouble", self->complaint);
    rl_dump_number(dump, "nodes", nodes_size(nodes));
    rl_dump_number(dump, "nodes_up", nodes_up(nodes));
    rl_dump_number(dump, "units", workers);
    rl_dump_number(dump, "tasks", tasks);
    rl_dump_flag(dump, "being_loaded", self->catalog.loading);
    rl_dump_flag(dump, "leaving", self->context->leaving);
    rl_dump_end(dump);
    return true;
}
