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

static int find_in_shard(const store_t *store, const delta_t *delta, uint64_t shard,
                         change_kind_t kind, const char *const *names, bool *found, size_t size,
                         char *why, size_t why_size)
{
    bool source = kind == CHANGE_DELETE_SOURCE;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < size; at++) {
        finder_t finder = {.delta = delta};
        if (found[at])
            continue;
        rc = store_find(store, shard, source ? "source" : "id", names[at], take_id, &finder, why,
                        why_size);
        found[at] = finder.found || is_added(delta, source, names[at]);
    }
    return rc;
}

int change_find(const char *folder, change_kind_t kind, const char *const *names, bool *found,
                size_t size, char *why, size_t why_size)
{
    bool gone = false;
    store_t *store = store_open(folder, false, why, why_size);
    log_tailer_t *live =
        store ? generation_follow(folder, store, false, &gone, why, why_size) : NULL;
    int rc = live ? 0 : -1;
    for (uint64_t shard = 0; rc == 0 && shard < store_manifest(store)->shards; shard++)
        rc = find_in_shard(store, log_tailer_delta(live, shard), shard, kind, names, found, size,
                           why, why_size);
    log_tailer_destroy(&live);
    store_destroy(&store);
    return rc;
}
