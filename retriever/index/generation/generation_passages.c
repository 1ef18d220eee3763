// generation_passages: goes through a shard and the changes behind it.
#include "generation_passages.h"

#include <stdlib.h>

enum {
    AT_ONCE = 256, // passages read together
};

static bool every_shard(const void *arg, uint64_t shard)
{
    (void)arg, (void)shard;
    return true;
}

log_tailer_t *generation_follow(const char *folder, const store_t *store, bool vectors, bool *gone,
                                char *why, size_t why_size)
{
    log_tailer_options_t options = {.serves = every_shard, .kinds = {.vectors = vectors}};
    return log_tailer_new(folder, store, &options, gone, why, why_size);
}

int generation_shards_each(const char *folder, generation_shard_fn *fn, void *arg, char *why,
                           size_t why_size)
{
    bool gone = false;
    store_t *store = store_open(folder, false, why, why_size);
    log_tailer_t *live =
        store ? generation_follow(folder, store, false, &gone, why, why_size) : NULL;
    int rc = live ? 0 : -1;
    for (uint64_t shard = 0; rc == 0 && shard < store_manifest(store)->shards; shard++)
        rc = fn(arg, store, log_tailer_delta(live, shard), shard, why, why_size);
    log_tailer_destroy(&live);
    store_destroy(&store);
    return rc;
}

int generation_passages_each(const store_t *store, delta_t *delta, uint64_t shard,
                             generation_passage_fn *fn, void *arg, char *why, size_t why_size)
{
    uint64_t ids[AT_ONCE], count = store_manifest(store)->shard_passages[shard], id = 1, end;
    rl_passage_t passages[AT_ONCE];
    int rc = 0;
    while (rc == 0 && id <= count) {
        size_t size = 0;
        void *memory = NULL;
        for (; size < AT_ONCE && id <= count; id++)
            if (!delta_is_dead(delta, id))
                ids[size++] = id;
        rc = store_passages(store, shard, ids, size, passages, &memory, why, why_size);
        for (size_t at = 0; rc == 0 && at < size; at++)
            rc = fn(arg, shard, ids[at], false, &passages[at]);
        free(memory);
    }
    for (delta_ids(delta, &id, &end); rc == 0 && id < end; id++)
        if (delta_passage(delta, id))
            rc = fn(arg, shard, id, true, delta_passage(delta, id));
    return rc;
}
