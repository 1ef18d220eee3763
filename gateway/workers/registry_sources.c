// registry_sources: what the collections consist of, and which generations of it are served.
#include "registry_private.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"

enum {
    MAX_COLLECTIONS = 1024,
    REMEMBER_US = 600000000, // how long a kind of retrieval is missed after it was last there
};

static layout_t *find_layout(registry_t *self, const char *collection)
{
    layout_t *layout;
    LIST_FOREACH(layout, &self->layouts, all)
    {
        if (strcmp(layout->name, collection) == 0)
            return layout;
    }
    return NULL;
}

// Kept in the order of their names.
static layout_t *add_layout(registry_t *self, const char *collection)
{
    layout_t *layout = rl_new(*layout), *before = NULL, *each;
    layout->name = rl_strdup(collection);
    LIST_FOREACH(each, &self->layouts, all)
    {
        if (strcmp(each->name, collection) < 0)
            before = each;
    }
    if (before)
        LIST_INSERT_AFTER(before, layout, all);
    else
        LIST_INSERT_HEAD(&self->layouts, layout, all);
    self->layouts_size++;
    return layout;
}

static void add_shards(layout_t *layout, uint64_t shards)
{
    for (int kind = 0; kind < KINDS && shards > layout->made; kind++) {
        replicas_t **row = rl_realloc(layout->shards_of[kind], shards, sizeof *row);
        layout->shards_of[kind] = row;
        for (uint64_t shard = layout->made; shard < shards; shard++)
            row[shard] = rl_new(**row);
    }
    layout->made = shards > layout->made ? shards : layout->made;
}

void registry_unplace(worker_t *worker)
{
    if (worker->replicas)
        LIST_REMOVE(worker, replica);
    worker->replicas = NULL;
}

void registry_free_layouts(registry_t *self)
{
    layout_t *layout;
    while ((layout = LIST_FIRST(&self->layouts))) {
        LIST_REMOVE(layout, all);
        for (int kind = 0; kind < KINDS; kind++) {
            for (uint64_t shard = 0; shard < layout->made; shard++)
                free(layout->shards_of[kind][shard]);
            free(layout->shards_of[kind]);
        }
        free(layout->name);
        free(layout);
    }
}

void registry_place(registry_t *self, worker_t *worker, uint64_t now)
{
    layout_t *layout = find_layout(self, worker->collection);
    if (!layout) {
        if (self->layouts_size >= MAX_COLLECTIONS)
            return;
        layout = add_layout(self, worker->collection);
    }
    layout->shards = worker->shards;
    layout->seen_us[worker->role] = now;
    add_shards(layout, worker->shards);
    replicas_t *replicas = layout->shards_of[worker->role][worker->shard];
    if (worker->replicas == replicas)
        return;
    registry_unplace(worker);
    LIST_INSERT_HEAD(&replicas->workers, worker, replica);
    worker->replicas = replicas;
}

replicas_t *registry_replicas(registry_t *self, const source_t *source)
{
    if (source->replicas)
        return source->replicas;
    static replicas_t none;
    layout_t *layout = find_layout(self, source->collection);
    return layout && source->shard < layout->made ? layout->shards_of[source->kind][source->shard]
                                                  : &none;
}

// They seldom change, so that they are parsed only when they do.
void registry_take_fields(worker_t *worker, const rl_announce_t *announce)
{
    const char *fields = announce->fields ? announce->fields : "";
    worker->fields_more = announce->fields_more;
    if (!registry_replace_text(&worker->fields, fields))
        return;
    json_decref(worker->field_types);
    worker->field_types = json_loads(fields, 0, NULL);
    if (!json_is_object(worker->field_types)) {
        json_decref(worker->field_types);
        worker->field_types = NULL;
    }
}

const json_t *registry_fields(registry_t *self, const char *collection, bool *more)
{
    worker_t *worker;
    bool served = false;
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (worker->role == ROLE_GENERATOR || strcmp(worker->collection, collection) != 0)
            continue;
        served = true;
        *more = worker->fields_more;
        if (worker->field_types)
            return worker->field_types;
    }
    *more = !served;
    return NULL;
}

int registry_compare_generations(const char *a, const char *b)
{
    // a longer name is newer, equal lengths compare as words; behind "+" stand changes
    size_t x = strcspn(a, "+"), y = strcspn(b, "+");
    return x != y ? (x < y ? -1 : 1) : strncmp(a, b, x);
}

// The same, and of one generation by the changes that are applied to it.
static int compare_versions(const char *a, const char *b)
{
    int order = registry_compare_generations(a, b);
    a += strcspn(a, "+");
    b += strcspn(b, "+");
    uint64_t x = *a ? strtoull(a + 1, NULL, 10) + 1 : 0, y = *b ? strtoull(b + 1, NULL, 10) + 1 : 0;
    return order ? order : (x > y) - (x < y);
}

void registry_note_generation(registry_t *self, worker_t *worker, const char *generation)
{
    if (compare_versions(generation, worker->generation) <= 0)
        return;
    registry_replace_text(&worker->generation, generation);
    self->version++;
}

bool registry_takes_changes(registry_t *self, const source_t *source)
{
    return strchr(registry_generation(self, source), '+') != NULL;
}

const char *registry_generation(registry_t *self, const source_t *source)
{
    const char *newest = "";
    const worker_t *worker;
    const replicas_t *replicas = registry_replicas(self, source);
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        if (worker->ready && compare_versions(worker->generation, newest) > 0)
            newest = worker->generation;
    }
    return newest;
}

uint64_t registry_version(const registry_t *self)
{
    return self->version;
}

const worker_t *registry_find_replica(registry_t *self, const source_t *source)
{
    worker_t *worker;
    replicas_t *replicas = registry_replicas(self, source);
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        if (!worker->leaving)
            return worker;
    }
    return NULL;
}

bool registry_has_replica(registry_t *self, const source_t *source)
{
    worker_t *worker;
    replicas_t *replicas = registry_replicas(self, source);
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        if (worker->ready)
            return true;
    }
    return false;
}

size_t registry_sources(registry_t *self, const char *collection, const bool kinds[KINDS],
                        source_t *out, size_t max)
{
    layout_t *layout = find_layout(self, collection);
    size_t size = 0;
    uint64_t now = rl_now_us();
    if (!layout)
        return 0;
    for (int kind = 0; kind < KINDS; kind++) {
        if (!kinds[kind] || !layout->seen_us[kind] || now - layout->seen_us[kind] > REMEMBER_US)
            continue;
        for (uint64_t shard = 0; shard < layout->shards && size < max; shard++)
            out[size++] =
                (source_t){layout->name, shard, (kind_t)kind, layout->shards_of[kind][shard]};
    }
    return size;
}

bool registry_knows(registry_t *self, const char *collection)
{
    return find_layout(self, collection) != NULL;
}

const char **registry_collections(registry_t *self, size_t *size)
{
    const char **names = rl_alloc_array(self->layouts_size, sizeof *names);
    layout_t *layout;
    *size = 0;
    LIST_FOREACH(layout, &self->layouts, all)
    {
        names[(*size)++] = layout->name;
    }
    return names;
}
