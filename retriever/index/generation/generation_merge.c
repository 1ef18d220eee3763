// generation_merge: passages that are not deleted, and those added, into a new generation.
#include "generation_merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change_log.h"
#include "fail.h"
#include "files.h"
#include "generation_folder.h"
#include "generation_passages.h"
#include "generation_vectors.h"
#include "hash.h"
#include "hash_set.h"
#include "log_tailer.h"
#include "manifest.h"

enum {
    PROGRESS_EACH = 256, // passages
    TRIES = 3,           // when a build comes in between
};

// ---- one shard ----------------------------------------------------------------------------------

typedef struct merger {
    store_t *store;
    log_tailer_t *live;
    generation_writer_t *writer;
    hash_set_t documents;          // hashes of their ids, to count them
    generation_vectors_t *vectors; // of the shard at work
    uint64_t passages, done;
    store_progress_fn *progress;
    void *arg;
    char *why;
    size_t why_size;
} merger_t;

static int merge_passage(void *arg, uint64_t shard, uint64_t id, bool added,
                         const rl_passage_t *passage)
{
    merger_t *self = arg;
    const manifest_t *manifest = store_manifest(self->store);
    const float *vector = NULL;
    if (self->progress && !added && id % PROGRESS_EACH == 0)
        self->progress(self->arg, "merging", shard, self->done + id, manifest->passages);
    if (manifest->dimension > 0 && added) {
        vector = delta_vector(log_tailer_delta(self->live, shard), id);
        if (!vector)
            return 0; // of another model, from before the collection was built anew with this one
    } else if (manifest->dimension > 0) {
        vector = generation_vectors_row(self->vectors, id - 1, self->why, self->why_size);
        if (!vector)
            return -1;
    }
    hash_set_add(&self->documents, rl_hash128(passage->doc, strlen(passage->doc)));
    self->passages++;
    return generation_writer_add(self->writer, shard, passage, vector, manifest->dimension,
                                 self->why, self->why_size) > 0
               ? 0
               : -1;
}

static int merge_shard(merger_t *self, uint64_t shard)
{
    delta_t *delta = log_tailer_delta(self->live, shard);
    self->vectors = generation_vectors_open(self->store, shard, self->why, self->why_size);
    int rc = self->vectors ? generation_passages_each(self->store, delta, shard, merge_passage,
                                                      self, self->why, self->why_size)
                           : -1;
    generation_vectors_close(&self->vectors);
    self->done += store_manifest(self->store)->shard_passages[shard];
    return rc;
}

// ---- the whole ----------------------------------------------------------------------------------

// Begins the build, which holds the folder's lock from then on. 1; 0: a build came in between.
static int begin_generation(merger_t *self, const char *folder)
{
    const manifest_t *manifest = store_manifest(self->store);
    uint64_t largest = 0;
    for (uint64_t shard = 0; shard < manifest->shards; shard++)
        if (manifest->shard_passages[shard] > largest)
            largest = manifest->shard_passages[shard];
    // a kind that was chosen by size is chosen again
    bool chosen = strcmp(store_factory(largest, NULL), manifest->factory) == 0;
    generation_settings_t settings = {.collection = manifest->collection,
                                      .model = manifest->model,
                                      .language = manifest->language,
                                      .factory = chosen ? "" : manifest->factory,
                                      .shards = manifest->shards,
                                      .build = manifest->build};
    self->writer = generation_writer_new(folder, &settings, self->why, self->why_size);
    if (!self->writer)
        return -1;
    generation_writer_set_changes(self->writer, log_tailer_number(self->live));
    char name[STORE_NAME];
    if (store_current(folder, name, self->why, self->why_size) != 0)
        return -1;
    return strcmp(name, manifest->generation) == 0;
}

static int write_shards(merger_t *self, generation_merged_t *merged)
{
    const manifest_t *manifest = store_manifest(self->store);
    for (uint64_t shard = 0; shard < manifest->shards; shard++)
        if (merge_shard(self, shard) != 0)
            return -1;
    if (self->passages == 0)
        return rl_fail(self->why, self->why_size,
                       "every passage is deleted: nothing would be left of the collection");
    *merged = (generation_merged_t){.changes = log_tailer_number(self->live),
                                    .documents = self->documents.size,
                                    .passages = self->passages};
    snprintf(merged->generation, sizeof merged->generation, "%s",
             generation_writer_name(self->writer));
    return generation_writer_finish(&self->writer, self->documents.size, self->progress, self->arg,
                                    self->why, self->why_size);
}

static int rotate_log(const char *folder, uint64_t after, char *why, size_t why_size)
{
    change_log_writer_t *writer = change_log_writer_new(folder, after, why, why_size);
    int rc = writer ? change_log_rotate(writer, why, why_size) : -1;
    change_log_writer_destroy(&writer);
    return rc;
}

// 1 done, 0 nothing to do, -1 failed; *again: a build came in between.
static int merge_once(merger_t *self, const char *folder, generation_merged_t *merged, bool *again)
{
    uint64_t last;
    bool gone = false;
    *again = false;
    if (change_log_last(folder, &last, self->why, self->why_size) != 0)
        return -1;
    self->store = store_open(folder, false, self->why, self->why_size);
    if (!self->store)
        return -1;
    uint64_t merged_before = store_manifest(self->store)->changes;
    if (last <= merged_before)
        return 0;
    if (rotate_log(folder, merged_before, self->why, self->why_size) != 0)
        return -1;
    self->live = generation_follow(folder, self->store, true, &gone, self->why, self->why_size);
    *again = gone;
    int begun = self->live ? begin_generation(self, folder) : -1;
    *again |= begun == 0;
    return begun > 0 && write_shards(self, merged) == 0 ? 1 : -1;
}

int generation_merge(const char *folder, store_progress_fn *progress, void *arg,
                     generation_merged_t *merged, char *why, size_t why_size)
{
    int rc = -1;
    bool again = true;
    for (int tries = 0; again && tries < TRIES; tries++) {
        merger_t self = {.progress = progress, .arg = arg, .why = why, .why_size = why_size};
        rc = merge_once(&self, folder, merged, &again);
        generation_writer_abandon(&self.writer);
        log_tailer_destroy(&self.live);
        store_destroy(&self.store);
        hash_set_free(&self.documents);
    }
    return rc;
}
