// engine_collection: a collection that a distributed engine holds, served.
#include "engine_collection.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "files.h"
#include "log.h"
#include "source_engine.h"

enum {
    LOOK_US = 1000000,       // between two looks at what the engine has
    LOOK_LIMIT_US = 5000000, // of one
    KINDS = 2,
};

static const char *const kinds[KINDS] = {"dense", "lexical"};

struct rl_engine_collection {
    rl_unit_context_t *context;
    rl_engine_collection_settings_t settings;
    rl_engine_place_t *place;
    rl_engine_catalog_t catalog, taken; // in force; from the answer at hand
    rl_remote_t *remotes[KINDS];
    rl_unit_t *units[KINDS];
    rl_nodes_call_t *look;
    rl_engine_request_t request;
    uint64_t looked_us;
    char complaint[400]; // said once
    bool leaving;
};

// ---- what the engine says -----------------------------------------------------------------------

static int make_unit(rl_engine_collection_t *self, int kind, char *why, size_t why_size)
{
    const rl_engine_collection_settings_t *with = &self->settings;
    rl_remote_settings_t settings = {
        .base = rl_proc_base(self->context->proc),
        .engine = with->engine,
        .place = self->place,
        .nodes = with->nodes,
        .catalog = &self->catalog,
        .mode = kind == 1      ? RL_ENGINE_LEXICAL
                : with->hybrid ? RL_ENGINE_HYBRID
                               : RL_ENGINE_VECTOR,
        .in_flight = with->in_flight,
        .room = with->room,
        .on_done = rl_unit_done,
    };
    self->remotes[kind] = rl_remote_new(&settings);
    if (!self->remotes[kind])
        return rl_fail(why, why_size, "out of memory");
    self->units[kind] = rl_unit_new_remote(self->context, &self->catalog.said, kinds[kind],
                                           self->remotes[kind], why, why_size);
    return self->units[kind] ? 0 : -1;
}

static void fit_units(rl_engine_collection_t *self)
{
    char why[1024];
    for (int kind = 0; kind < KINDS && !self->leaving; kind++) {
        bool wanted = kind == 0 ? self->settings.dense && self->catalog.said.dimension > 0
                                : self->settings.lexical;
        if (!wanted)
            continue;
        if (self->units[kind]) {
            rl_unit_describe(self->units[kind], &self->catalog.said);
        } else if (make_unit(self, kind, why, sizeof why) != 0) {
            rl_error("%s", why);
            rl_remote_destroy(&self->remotes[kind]);
            continue;
        }
        rl_unit_announce(self->units[kind]);
    }
}

static rl_engine_verdict_t on_answer(void *arg, long status, const char *body, size_t size,
                                     char *why, size_t why_size)
{
    rl_engine_collection_t *self = arg;
    rl_engine_catalog_clear(&self->taken);
    return self->settings.engine->take_catalog(self->place, status, body, size, &self->taken, why,
                                               why_size);
}

static void complain(rl_engine_collection_t *self, const char *why)
{
    if (strcmp(self->complaint, why) != 0)
        rl_error("collection %s: %s%s", self->settings.place.collection, why,
                 self->catalog.root ? "; it is served on as it was" : "");
    snprintf(self->complaint, sizeof self->complaint, "%s", why);
}

static void on_end(void *arg, const rl_nodes_reply_t *reply)
{
    rl_engine_collection_t *self = arg;
    self->look = NULL;
    if (reply->verdict != RL_ENGINE_OK) {
        complain(self, reply->why);
        return;
    }
    const rl_manifest_t *said = &self->taken.said;
    bool same = self->catalog.root && self->catalog.said.passages == said->passages &&
                strcmp(self->catalog.said.generation, said->generation) == 0;
    self->complaint[0] = '\0';
    if (same) {
        rl_engine_catalog_clear(&self->taken);
        return;
    }
    rl_info("collection %s in %s: generation %s, %" PRIu64 " passages, embedding model %s%s",
            said->collection, self->settings.engine->name, said->generation, said->passages,
            *said->model ? said->model : "none", self->taken.loading ? "; it is being loaded" : "");
    rl_engine_catalog_clear(&self->catalog);
    self->catalog = self->taken;
    self->catalog.said.shard_passages = &self->catalog.passages;
    self->taken = (rl_engine_catalog_t){0};
    fit_units(self);
}

static void look(rl_engine_collection_t *self)
{
    rl_nodes_calls_t calls = {.take = on_answer, .done = on_end, .arg = self};
    uint64_t now = rl_now_us();
    self->looked_us = now;
    if (self->settings.engine->describe(self->place, &self->request) == 0)
        self->look =
            rl_nodes_ask(self->settings.nodes, &self->request, now + LOOK_LIMIT_US, 0, &calls);
}

void rl_engine_collection_tick(rl_engine_collection_t *self)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (self->units[kind])
            rl_unit_announce(self->units[kind]);
    if (!self->leaving && !self->look && rl_now_us() - self->looked_us >= LOOK_US)
        look(self);
}

// ---- making -------------------------------------------------------------------------------------

rl_engine_collection_t *rl_engine_collection_new(rl_unit_context_t *context,
                                                 const rl_engine_collection_settings_t *settings,
                                                 char *why, size_t why_size)
{
    rl_engine_collection_t *self = calloc(1, sizeof *self);
    if (!self) {
        rl_fail(why, why_size, "out of memory");
        return NULL;
    }
    self->context = context;
    self->settings = *settings;
    self->request = rl_engine_request_make();
    self->place = settings->engine->open(&settings->place, why, why_size);
    if (!self->place)
        rl_engine_collection_destroy(&self);
    else
        look(self);
    return self;
}

void rl_engine_collection_destroy(rl_engine_collection_t **self_p)
{
    rl_engine_collection_t *self = *self_p;
    if (!self)
        return;
    rl_nodes_cancel(&self->look);
    for (int kind = 0; kind < KINDS; kind++) {
        rl_unit_destroy(&self->units[kind]);
        rl_remote_destroy(&self->remotes[kind]);
    }
    if (self->place)
        self->settings.engine->close(&self->place);
    rl_engine_catalog_clear(&self->catalog);
    rl_engine_catalog_clear(&self->taken);
    rl_engine_request_free(&self->request);
    free(self);
    *self_p = NULL;
}

bool rl_engine_collection_dump(const rl_engine_collection_t *self, rl_dump_t *dump)
{
    const rl_nodes_t *nodes = self->settings.nodes;
    if (!rl_dump_item(dump, NULL))
        return false;
    rl_dump_text(dump, "collection", self->settings.place.collection);
    rl_dump_text(dump, "engine", self->settings.engine->name);
    rl_dump_text(dump, "generation", self->catalog.root ? self->catalog.said.generation : "");
    rl_dump_text(dump, "trouble", self->complaint);
    rl_dump_number(dump, "nodes", rl_nodes_size(nodes));
    rl_dump_number(dump, "nodes_up", rl_nodes_up(nodes));
    rl_dump_number(dump, "units", rl_engine_collection_units(self));
    rl_dump_number(dump, "tasks", rl_engine_collection_tasks(self));
    rl_dump_flag(dump, "being_loaded", self->catalog.loading);
    rl_dump_flag(dump, "leaving", self->leaving);
    rl_dump_end(dump);
    return true;
}

size_t rl_engine_collection_units(const rl_engine_collection_t *self)
{
    return (self->units[0] != NULL) + (self->units[1] != NULL);
}

bool rl_engine_collection_dump_units(const rl_engine_collection_t *self, rl_dump_t *dump)
{
    bool room = true;
    for (int kind = 0; room && kind < KINDS; kind++)
        room = !self->units[kind] || rl_unit_dump(self->units[kind], dump);
    return room;
}

bool rl_engine_collection_dump_tasks(const rl_engine_collection_t *self, rl_dump_t *dump)
{
    bool room = true;
    for (int kind = 0; room && kind < KINDS; kind++)
        room = !self->units[kind] || rl_unit_dump_tasks(self->units[kind], dump);
    return room;
}

void rl_engine_collection_leave(rl_engine_collection_t *self)
{
    self->leaving = true;
    for (int kind = 0; kind < KINDS; kind++)
        if (self->units[kind])
            rl_unit_leave(self->units[kind]);
}

size_t rl_engine_collection_tasks(const rl_engine_collection_t *self)
{
    size_t tasks = 0;
    for (int kind = 0; kind < KINDS; kind++)
        tasks += self->units[kind] ? rl_unit_tasks(self->units[kind]) : 0;
    return tasks;
}

void rl_engine_collection_give_up(rl_engine_collection_t *self)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (self->units[kind])
            rl_unit_give_up(self->units[kind]);
}
