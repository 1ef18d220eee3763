// engines: the collections that this process serves from a distributed engine.
#include "engines.h"

#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "mem.h"

enum {
    MAX_COLLECTIONS = 256,
};

struct engines {
    nodes_t *nodes;
    engine_collection_t *collections[MAX_COLLECTIONS];
    size_t size;
};

nodes_t *engines_nodes(const rl_conf_t *conf, const char *urls, const engine_t *engine,
                       struct event_base *base, char *why, size_t why_size)
{
    const char *list[NODES_MAX];
    char inner[256];
    nodes_settings_t settings = {.urls = list,
                                 .size = rl_conf_list_size(conf, urls),
                                 .key = rl_conf_secret(conf, "engine.key"),
                                 .ready_path = engine->ready_path,
                                 .connect_ms = rl_conf_int(conf, "engine.connect_ms")};
    for (size_t at = 0; at < settings.size && at < NODES_MAX; at++)
        list[at] = rl_conf_list_at(conf, urls, at);
    nodes_t *nodes = nodes_new(base, &settings, inner, sizeof inner);
    if (!nodes)
        rl_fail(why, why_size, "%s: %s", urls, inner);
    return nodes;
}

static int open_collections(engines_t *self, shard_context_t *context, const engine_t *engine,
                            const bool *kinds, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(context->proc);
    size_t size = rl_conf_list_size(conf, "engine.collections");
    if (size < 1 || size > MAX_COLLECTIONS)
        return rl_fail(why, why_size,
                       "engine.collections: names %zu collections; 1 to %d of those that "
                       "ragline-index --to has loaded can be served",
                       size, MAX_COLLECTIONS);
    engine_collection_settings_t settings = {
        .engine = engine,
        .nodes = self->nodes,
        .kinds = kinds,
        .hybrid = strcmp(rl_conf_str(conf, "engine.dense"), "hybrid") == 0,
        .in_flight = (size_t)rl_conf_int(conf, "engine.in_flight"),
        .room = (size_t)rl_conf_int(conf, "retriever.queue")};
    for (size_t at = 0; at < size; at++) {
        settings.place =
            (engine_settings_t){.collection = rl_conf_list_at(conf, "engine.collections", at),
                                .consistency = rl_conf_str(conf, "engine.consistency"),
                                .alpha = rl_conf_num(conf, "engine.alpha")};
        self->collections[at] = engine_collection_new(context, &settings, why, why_size);
        if (!self->collections[at])
            return -1;
        self->size++;
    }
    return 0;
}

int engines_new(engines_t **self_p, shard_context_t *context, const bool *kinds, char *why,
                size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(context->proc);
    const engine_t *engine = engine_of(rl_conf_str(conf, "retriever.engine"));
    *self_p = NULL;
    if (!engine)
        return 0; // none: the options' table lets nothing else through
    engines_t *self = rl_new(*self);
    self->nodes =
        engines_nodes(conf, "engine.urls", engine, rl_proc_base(context->proc), why, why_size);
    if (!self->nodes || open_collections(self, context, engine, kinds, why, why_size) != 0) {
        engines_destroy(&self);
        return -1;
    }
    *self_p = self;
    return 0;
}

void engines_destroy(engines_t **self_p)
{
    engines_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->size; at++)
        engine_collection_destroy(&self->collections[at]);
    nodes_destroy(&self->nodes);
    free(self);
    *self_p = NULL;
}

size_t engines_size(const engines_t *self)
{
    return self ? self->size : 0;
}

void engines_tick(engines_t *self)
{
    for (size_t at = 0; at < engines_size(self); at++)
        engine_collection_tick(self->collections[at]);
}

void engines_dump(const engines_t *self, rl_dump_t *dump)
{
    for (size_t at = 0; at < engines_size(self); at++)
        if (!engine_collection_dump(self->collections[at], dump))
            return;
}
