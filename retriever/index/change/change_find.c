// change_find: looks into the generation's fields and into the changes behind it.
#include "change_find.h"

#include <string.h>

#include "generation_passages.h"

typedef struct finder {
    const delta_t *delta;
    bool found;
} finder_t;

static bool take_id(void *arg, uint64_t id)
{
    finder_t *self = arg;
    self->found = self->found || !delta_is_dead(self->delta, id);
    return true;
}

static bool is_added(const delta_t *delta, bool source, const char *name)
{
    uint64_t id, end;
    for (delta_ids(delta, &id, &end); id < end; id++) {
        const rl_passage_t *passage = delta_passage(delta, id);
        if (passage && strcmp(source ? passage->source : passage->doc, name) == 0)
            return true;
    }
    return false;
}

typedef struct search {
    bool source; // the names are of sources, else ids
    const char *const *names;
    bool *found;
    size_t size;
} search_t;

static int find_in_shard(void *arg, const store_t *store, delta_t *delta, uint64_t shard, char *why,
                         size_t why_size)
{
    const search_t *self = arg;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < self->size; at++) {
        finder_t finder = {.delta = delta};
        if (self->found[at])
            continue;
        rc = store_find(store, shard, self->source ? "source" : "id", self->names[at], take_id,
                        &finder, why, why_size);
        self->found[at] = finder.found || is_added(delta, self->source, self->names[at]);
    }
    return rc;
}

int change_find(const char *folder, change_kind_t kind, const char *const *names, bool *found,
                size_t size, char *why, size_t why_size)
{
    search_t search = {
        .source = kind == CHANGE_DELETE_SOURCE, .names = names, .found = found, .size = size};
    return generation_shards_each(folder, find_in_shard, &search, why, why_size);
}
