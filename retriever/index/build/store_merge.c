// store_merge: passages that are not deleted, and those added, into a new generation.
#include "store_merge.h"

#include <errno.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/index_io_c.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faiss_index.h"
#include "files.h"
#include "log_tailer.h"
#include "manifest.h"
#include "hash.h"
#include "vectors.h"

enum {
    AT_ONCE = 256, // passages read together
    TRIES = 3,     // when a build comes in between
};

// ---- vectors of a shard
// ---------------------------------------------------------------------------

// From vectors.f32, or out of an index that has them in floats.
typedef struct rows {
    int fd;
    FaissIndex *index;
    size_t dimension;
    float *row;
} rows_t;

static void close_rows(rows_t *self)
{
    if (self->fd >= 0)
        close(self->fd);
    if (self->index)
        faiss_Index_free(self->index);
    free(self->row);
    *self = (rows_t){.fd = -1};
}

static int open_rows(rows_t *self, const store_t *store, uint64_t shard, char *why, size_t why_size)
{
    *self = (rows_t){.fd = -1, .dimension = store_manifest(store)->dimension};
    self->row = malloc((self->dimension + 1) * sizeof *self->row);
    char *floats = store_path(store, shard, ROWS_FILE);
    char *index = store_path(store, shard, VECTORS_FILE);
    int rc = self->row && floats && index ? 0 : rl_fail(why, why_size, "out of memory");
    if (rc == 0 && self->dimension > 0)
        self->fd = open(floats, O_RDONLY | O_CLOEXEC);
    if (rc == 0 && self->dimension > 0 && self->fd < 0 &&
        faiss_read_index_fname(index, 0, &self->index) != 0) {
        self->index = NULL;
        rc = rl_fail(why, why_size, "%s: FAISS cannot read it: %s", index, vectors_faiss_error());
    }
    free(floats);
    free(index);
    return rc;
}

// Row `at` from 0; NULL with `why`.
static const float *take_row(rows_t *self, uint64_t at, char *why, size_t why_size)
{
    size_t bytes = self->dimension * sizeof *self->row;
    if (self->fd >= 0) {
        if (pread(self->fd, self->row, bytes, (off_t)(at * bytes)) == (ssize_t)bytes)
            return self->row;
        rl_fail(why, why_size, ROWS_FILE " is cut short; build the index again");
        return NULL;
    }
    const float *rows = faiss_index_rows(self->index);
    if (rows)
        return rows + at * self->dimension;
    if (faiss_Index_reconstruct(self->index, (idx_t)at, self->row) == 0)
        return self->row;
    rl_fail(why, why_size, "the index gives no vectors back (%s): build it again from its files",
            vectors_faiss_error());
    return NULL;
}

// ---- documents
// ------------------------------------------------------------------------------------

// Hashes of the documents' ids, to count them.
typedef struct counted {
    uint64_t *slots; // open addressing, 0 is free
    size_t size, room;
} counted_t;

static int note(counted_t *self, uint64_t hash)
{
    if (2 * self->size >= self->room) {
        counted_t more = {calloc(self->room ? 2 * self->room : 1024, sizeof *more.slots), 0,
                          self->room ? 2 * self->room : 1024};
        if (!more.slots)
            return -1;
        for (size_t at = 0; at < self->room; at++)
            if (self->slots[at])
                note(&more, self->slots[at]);
        free(self->slots);
        *self = more;
    }
    size_t at = hash & (self->room - 1);
    while (self->slots[at] && self->slots[at] != hash)
        at = (at + 1) & (self->room - 1);
    self->size += !self->slots[at];
    self->slots[at] = hash;
    return 0;
}

// ---- one shard
// ------------------------------------------------------------------------------------

typedef struct merging {
    store_t *store;
    log_tailer_t *live;
    store_build_t *build;
    counted_t documents;
    uint64_t passages, done;
    store_progress_fn *progress;
    void *arg;
    char *why;
    size_t why_size;
} merging_t;

static int add(merging_t *self, uint64_t shard, const rl_passage_t *passage, const float *vector)
{
    size_t dimension = store_manifest(self->store)->dimension;
    uint64_t hash = rl_hash64(passage->doc, strlen(passage->doc));
    if (dimension > 0 && !vector)
        return 0; // of another model, from before the collection was built anew with this one
    if (note(&self->documents, hash ? hash : 1) != 0)
        return rl_fail(self->why, self->why_size, "out of memory");
    self->passages++;
    return store_add(self->build, shard, passage, dimension ? vector : NULL, dimension, self->why,
                     self->why_size) > 0
               ? 0
               : -1;
}

// Those of the generation that are not deleted.
static int merge_old(merging_t *self, uint64_t shard, delta_t *delta, rows_t *rows)
{
    const manifest_t *manifest = store_manifest(self->store);
    uint64_t ids[AT_ONCE], count = manifest->shard_passages[shard];
    rl_passage_t passages[AT_ONCE];
    int rc = 0;
    for (uint64_t id = 1; rc == 0 && id <= count;) {
        size_t size = 0;
        void *memory = NULL;
        for (; size < AT_ONCE && id <= count; id++)
            if (!delta_is_dead(delta, id))
                ids[size++] = id;
        rc = store_passages(self->store, shard, ids, size, passages, &memory, self->why,
                            self->why_size);
        for (size_t at = 0; rc == 0 && at < size; at++) {
            const float *vector = NULL;
            if (manifest->dimension > 0 &&
                !(vector = take_row(rows, ids[at] - 1, self->why, self->why_size)))
                rc = -1;
            else
                rc = add(self, shard, &passages[at], vector);
        }
        free(memory);
        if (self->progress)
            self->progress(self->arg, "merging", shard, self->done + id - 1, manifest->passages);
    }
    self->done += count;
    return rc;
}

static int merge_shard(merging_t *self, uint64_t shard)
{
    delta_t *delta = log_tailer_delta(self->live, shard);
    rows_t rows;
    if (open_rows(&rows, self->store, shard, self->why, self->why_size) != 0) {
        close_rows(&rows);
        return -1;
    }
    int rc = merge_old(self, shard, delta, &rows);
    close_rows(&rows);
    uint64_t id, end;
    for (delta_ids(delta, &id, &end); rc == 0 && id < end; id++) {
        const rl_passage_t *passage = delta_passage(delta, id);
        if (passage)
            rc = add(self, shard, passage, delta_vector(delta, id));
    }
    return rc;
}

// ---- the whole
// ------------------------------------------------------------------------------------

static bool all_shards(const void *arg, uint64_t shard)
{
    (void)arg;
    (void)shard;
    return true;
}

// Begins the build, which holds the folder's lock from then on. 1; 0: a build came in between.
static int begin(merging_t *self, const char *folder)
{
    const manifest_t *manifest = store_manifest(self->store);
    uint64_t largest = 0;
    for (uint64_t shard = 0; shard < manifest->shards; shard++)
        if (manifest->shard_passages[shard] > largest)
            largest = manifest->shard_passages[shard];
    // a kind that was chosen by size is chosen again
    bool chosen = strcmp(store_factory(largest, NULL), manifest->factory) == 0;
    store_settings_t settings = {.collection = manifest->collection,
                                 .model = manifest->model,
                                 .language = manifest->language,
                                 .factory = chosen ? "" : manifest->factory,
                                 .shards = manifest->shards,
                                 .build = manifest->build};
    self->build = store_build_new(folder, &settings, self->why, self->why_size);
    if (!self->build)
        return -1;
    store_build_changes(self->build, log_tailer_number(self->live));
    char name[STORE_NAME];
    if (store_current(folder, name, self->why, self->why_size) != 0)
        return -1;
    return strcmp(name, manifest->generation) == 0;
}

static int write_all(merging_t *self, store_merged_t *merged)
{
    const manifest_t *manifest = store_manifest(self->store);
    for (uint64_t shard = 0; shard < manifest->shards; shard++)
        if (merge_shard(self, shard) != 0)
            return -1;
    if (self->passages == 0)
        return rl_fail(self->why, self->why_size,
                       "every passage is deleted: nothing would be left of the collection");
    *merged = (store_merged_t){.changes = log_tailer_number(self->live),
                               .documents = self->documents.size,
                               .passages = self->passages};
    snprintf(merged->generation, sizeof merged->generation, "%s", store_build_name(self->build));
    return store_finish(&self->build, self->documents.size, self->progress, self->arg, self->why,
                        self->why_size);
}

static int rotate(const char *folder, uint64_t after, char *why, size_t why_size)
{
    change_log_writer_t *writer = change_log_writer_new(folder, after, why, why_size);
    int rc = writer ? change_log_rotate(writer, why, why_size) : -1;
    change_log_writer_destroy(&writer);
    return rc;
}

// 1 done, 0 nothing to do, -1 failed; *again: a build came in between.
static int merge_once(merging_t *self, const char *folder, store_merged_t *merged, bool *again)
{
    uint64_t changes, bytes;
    bool gone = false;
    *again = false;
    if (store_unmerged(folder, &changes, &bytes, self->why, self->why_size) != 0)
        return -1;
    if (changes == 0)
        return 0;
    self->store = store_open(folder, false, self->why, self->why_size);
    if (!self->store ||
        rotate(folder, store_manifest(self->store)->changes, self->why, self->why_size) != 0)
        return -1;
    log_tailer_options_t all = {.serves = all_shards, .kinds = {.vectors = true}};
    self->live = log_tailer_new(folder, self->store, &all, &gone, self->why, self->why_size);
    *again = gone;
    int begun = self->live ? begin(self, folder) : -1;
    *again |= begun == 0;
    return begun > 0 && write_all(self, merged) == 0 ? 1 : -1;
}

int store_merge(const char *folder, store_progress_fn *progress, void *arg, store_merged_t *merged,
                char *why, size_t why_size)
{
    int rc = -1;
    bool again = true;
    for (int tries = 0; again && tries < TRIES; tries++) {
        merging_t self = {.progress = progress, .arg = arg, .why = why, .why_size = why_size};
        rc = merge_once(&self, folder, merged, &again);
        store_abandon(&self.build);
        log_tailer_destroy(&self.live);
        store_destroy(&self.store);
        free(self.documents.slots);
    }
    return rc;
}

int store_unmerged(const char *folder, uint64_t *changes, uint64_t *bytes, char *why,
                   size_t why_size)
{
    char name[STORE_NAME], path[FILE_PATH_MAX];
    uint64_t last;
    *changes = *bytes = 0;
    if (store_current(folder, name, why, why_size) != 0 ||
        change_log_last(folder, &last, why, why_size) != 0)
        return -1;
    if (path_format(path, "%s/%s", folder, name) != 0)
        return rl_fail(why, why_size, "%s: the path is too long", folder);
    manifest_data_t *manifest = manifest_read(path, why, why_size);
    if (!manifest)
        return -1;
    if (last > manifest->contents.changes) {
        *changes = last - manifest->contents.changes;
        *bytes = change_log_bytes(folder, manifest->contents.changes);
    }
    manifest_destroy(&manifest);
    return 0;
}
