// engines: the collections that this process serves from a distributed engine.
#include "engines.h"

#include <stdlib.h>
#include <string.h>

#include "files.h"

enum {
    MAX_COLLECTIONS = 256,
};

struct rl_engines {
    rl_nodes_t *nodes;
    rl_engine_collection_t *collections[MAX_COLLECTIONS];
    size_t size;
};

rl_nodes_t *rl_engines_nodes(const rl_conf_t *conf, const char *urls, const rl_engine_t *engine,
                             struct event_base *base, char *why, size_t why_size)
{
    const char *list[RL_NODES_MAX];
    char inner[256];
    rl_nodes_settings_t settings = {.urls = list,
                                    .size = rl_conf_list_size(conf, urls),
                                    .key = rl_conf_secret(conf, "engine.key"),
                                    .ready_path = engine->ready_path,
                                    .connect_ms = rl_conf_int(conf, "engine.connect_ms")};
    for (size_t at = 0; at < settings.size && at < RL_NODES_MAX; at++)
        list[at] = rl_conf_list_at(conf, urls, at);
    rl_nodes_t *nodes = rl_nodes_new(base, &settings, inner, sizeof inner);
    if (!nodes)
        rl_fail(why, why_size, "%s: %s", urls, inner);
    return nodes;
}

static bool has_kind(const rl_conf_t *conf, const char *kind)
{
    for (size_t at = 0; at < rl_conf_list_size(conf, "retriever.kinds"); at++)
        if (strcmp(rl_conf_list_at(conf, "retriever.kinds", at), kind) == 0)
            return true;
    return false;
}

static int open_collections(rl_engines_t *self, rl_unit_context_t *context,
                            const rl_engine_t *engine, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(context->proc);
    size_t size = rl_conf_list_size(conf, "engine.collections");
    if (size < 1 || size > MAX_COLLECTIONS)
        return rl_fail(why, why_size,
                       "engine.collections: names %zu collections; 1 to %d of those that "
                       "ragline-index --to has loaded can be served",
                       size, MAX_COLLECTIONS);
    rl_engine_collection_settings_t settings = {
        .engine = engine,
        .nodes = self->nodes,
        .dense = has_kind(conf, "dense"),
        .lexical = has_kind(conf, "lexical"),
        .hybrid = strcmp(rl_conf_str(conf, "engine.dense"), "hybrid") == 0,
        .in_flight = (size_t)rl_conf_int(conf, "engine.in_flight"),
        .room = (size_t)rl_conf_int(conf, "retriever.queue")};
    for (size_t at = 0; at < size; at++) {
        settings.place =
            (rl_engine_settings_t){.collection = rl_conf_list_at(conf, "engine.collections", at),
                                   .consistency = rl_conf_str(conf, "engine.consistency"),
                                   .alpha = rl_conf_num(conf, "engine.alpha")};
        self->collections[at] = rl_engine_collection_new(context, &settings, why, why_size);
        if (!self->collections[at])
            return -1;
        self->size++;
    }
    return 0;
}

int rl_engines_new(rl_engines_t **self_p, rl_unit_context_t *context, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(context->proc);
    const rl_engine_t *engine = rl_engine_of(rl_conf_str(conf, "retriever.engine"));
    *self_p = NULL;
    if (!engine)
        return 0; // none: the options' table lets nothing else through
    rl_engines_t *self = calloc(1, sizeof *self);
    if (!self)
        return rl_fail(why, why_size, "out of memory");
    self->nodes =
        rl_engines_nodes(conf, "engine.urls", engine, rl_proc_base(context->proc), why, why_size);
    if (!self->nodes || open_collections(self, context, engine, why, why_size) != 0) {
        rl_engines_destroy(&self);
        return -1;
    }
    *self_p = self;
    return 0;
}

void rl_engines_destroy(rl_engines_t **self_p)
{
    rl_engines_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->size; at++)
        rl_engine_collection_destroy(&self->collections[at]);
    rl_nodes_destroy(&self->nodes);
    free(self);
    *self_p = NULL;
}

size_t rl_engines_size(const rl_engines_t *self)
{
    return self ? self->size : 0;
}

void rl_engines_tick(rl_engines_t *self)
{
    for (size_t at = 0; at < rl_engines_size(self); at++)
        rl_engine_collection_tick(self->collections[at]);
}

void rl_engines_dump(const rl_engines_t *self, rl_dump_t *dump)
{
    for (size_t at = 0; at < rl_engines_size(self); at++)
        if (!rl_engine_collection_dump(self->collections[at], dump))
            return;
}

size_t rl_engines_units(const rl_engines_t *self)
{
    size_t units = 0;
    for (size_t at = 0; at < rl_engines_size(self); at++)
        units += rl_engine_collection_units(self->collections[at]);
    return units;
}

void rl_engines_dump_units(const rl_engines_t *self, rl_dump_t *dump)
{
    for (size_t at = 0; at < rl_engines_size(self); at++)
        if (!rl_engine_collection_dump_units(self->collections[at], dump))
            return;
}

void rl_engines_dump_tasks(const rl_engines_t *self, rl_dump_t *dump)
{
    for (size_t at = 0; at < rl_engines_size(self); at++)
        if (!rl_engine_collection_dump_tasks(self->collections[at], dump))
            return;
}

void rl_engines_leave(rl_engines_t *self)
{
    for (size_t at = 0; at < rl_engines_size(self); at++)
        rl_engine_collection_leave(self->collections[at]);
}

size_t rl_engines_tasks(const rl_engines_t *self)
{
    size_t tasks = 0;
    for (size_t at = 0; at < rl_engines_size(self); at++)
        tasks += rl_engine_collection_tasks(self->collections[at]);
    return tasks;
}

void rl_engines_give_up(rl_engines_t *self)
{
    for (size_t at = 0; at < rl_engines_size(self); at++)
        rl_engine_collection_give_up(self->collections[at]);
}
