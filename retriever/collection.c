// collection: one folder that is served: its shard workers, and the change to a new generation.
//
// The new generation is opened in a thread of its own, while the old one is searched; then the
// workers go over to it, one by one but in one turn of the loop. Whatever is wrong with the new
// one, the old one stays in force.
#include "collection.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fail.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

enum {
    AGAIN_US = 5000000, // a generation that could not be opened is tried again after this time
    PART_US = 2000000,  // a worker that has left takes tasks for so long that were on their way
    MAX_WORKERS = 4096,
};

// Opens a generation in a thread of its own.
typedef struct loader {
    bool active;
    pthread_t thread;
    atomic_bool finished;
    snapshot_t *snapshot; // NULL: it could not be opened
    char why[2048];
} loader_t;

typedef struct member {
    shard_worker_t *worker;
    uint64_t left_us; // when it left, 0 while it serves
} member_t;

struct collection {
    char *folder;
    shard_context_t *context;
    const snapshot_options_t *options;
    void (*on_loaded)(void *arg);
    void *arg;
    snapshot_t *snapshot;
    member_t *members;
    size_t size;
    loader_t loader;
    char refused[STORE_NAME]; // the generation that could not be opened, and when
    uint64_t refused_us;
    bool damaged; // the snapshot is: its workers have left
    bool lost;    // CURRENT cannot be read (logged once)
};

// ---- workers ------------------------------------------------------------------------------------

static shard_worker_t *worker_of(const collection_t *self, const char *collection,
                                 const snapshot_source_t *source)
{
    for (size_t at = 0; at < self->size; at++)
        if (!self->members[at].left_us && shard_worker_is(self->members[at].worker, collection,
                                                          source->shard, source->backend->kind))
            return self->members[at].worker;
    return NULL;
}

static int add_worker(collection_t *self, const snapshot_source_t *source, char *why,
                      size_t why_size)
{
    if (self->size == MAX_WORKERS)
        return rl_fail(why, why_size,
                       "%s: more than %d shards and kinds in one process; use retriever.shards and "
                       "more processes",
                       self->folder, MAX_WORKERS);
    shard_worker_t *worker = shard_worker_new(self->context, self->snapshot, source, why, why_size);
    if (!worker)
        return -1;
    self->members = rl_realloc(self->members, self->size + 1, sizeof *self->members);
    self->members[self->size++] = (member_t){.worker = worker};
    shard_worker_announce(worker);
    return 0;
}

// Brings the workers in line with the snapshot: those that are there go over to it, missing ones
// are made, others leave.
static int fit_workers(collection_t *self, char *why, size_t why_size)
{
    const char *name = snapshot_manifest(self->snapshot)->collection;
    size_t before = self->size;
    bool *kept = rl_alloc_array(before + 1, sizeof *kept);
    int rc = 0;
    for (size_t each = 0; rc == 0 && each < snapshot_sources(self->snapshot); each++) {
        const snapshot_source_t *source = snapshot_source_at(self->snapshot, each);
        shard_worker_t *worker = worker_of(self, name, source);
        if (!worker) {
            rc = add_worker(self, source, why, why_size);
            continue;
        }
        shard_worker_serve(worker, self->snapshot, source);
        for (size_t at = 0; at < before; at++)
            kept[at] = kept[at] || self->members[at].worker == worker;
    }
    for (size_t at = 0; rc == 0 && at < before; at++) {
        if (kept[at] || self->members[at].left_us)
            continue;
        shard_worker_leave(self->members[at].worker);
        self->members[at].left_us = rl_now_us();
    }
    free(kept);
    return rc;
}

static void remove_parted(collection_t *self)
{
    size_t kept = 0;
    for (size_t at = 0; at < self->size; at++) {
        member_t *member = &self->members[at];
        if (member->left_us && rl_now_us() - member->left_us > PART_US &&
            shard_worker_tasks(member->worker) == 0)
            shard_worker_destroy(&member->worker);
        else
            self->members[kept++] = *member;
    }
    self->size = kept;
}

// ---- generations --------------------------------------------------------------------------------

static void *load_generation(void *arg)
{
    collection_t *self = arg;
    loader_t *loader = &self->loader;
    loader->snapshot = snapshot_open(self->folder, self->options, loader->why, sizeof loader->why);
    atomic_store(&loader->finished, true);
    self->on_loaded(self->arg);
    return NULL;
}

static void start_loading(collection_t *self)
{
    atomic_store(&self->loader.finished, false);
    self->loader.active = thread_start(&self->loader.thread, load_generation, self);
}

// Whether another generation than the one served, and than one just refused, is in force.
static bool is_outdated(collection_t *self)
{
    char name[STORE_NAME], why[1024];
    if (store_current(self->folder, name, why, sizeof why) != 0) {
        if (!self->lost)
            rl_error("%s; generation %s is served on", why,
                     snapshot_manifest(self->snapshot)->generation);
        self->lost = true;
        return false;
    }
    self->lost = false;
    if (strcmp(name, snapshot_manifest(self->snapshot)->generation) == 0)
        return false;
    return strcmp(name, self->refused) != 0 || rl_now_us() - self->refused_us > AGAIN_US;
}

static void refuse_generation(collection_t *self, const char *why)
{
    char name[STORE_NAME], ignored[1024];
    if (store_current(self->folder, name, ignored, sizeof ignored) != 0)
        name[0] = '\0';
    if (strcmp(name, self->refused) != 0)
        rl_error("new generation not taken up: %s; generation %s is served on", why,
                 snapshot_manifest(self->snapshot)->generation);
    snprintf(self->refused, sizeof self->refused, "%s", name);
    self->refused_us = rl_now_us();
}

void collection_loaded(collection_t *self)
{
    loader_t *loader = &self->loader;
    if (!loader->active || !atomic_load(&loader->finished))
        return;
    pthread_join(loader->thread, NULL);
    loader->active = false;
    if (!loader->snapshot) {
        refuse_generation(self, loader->why);
        return;
    }
    snapshot_t *before = self->snapshot;
    self->snapshot = loader->snapshot;
    self->damaged = false;
    loader->snapshot = NULL;
    self->refused[0] = '\0';
    char why[1024];
    if (fit_workers(self, why, sizeof why) != 0)
        rl_error("%s", why); // the workers that are there serve it
    rl_info("%s: generation %s is served now, instead of %s", self->folder,
            snapshot_manifest(self->snapshot)->generation, snapshot_manifest(before)->generation);
    snapshot_unref(&before);
}

// An index whose damage is found while it is served is not served any more: its workers leave, and
// gateways report its sources as missing.
static void look_for_damage(collection_t *self)
{
    const char *damage = snapshot_damage(self->snapshot);
    if (!damage || self->damaged)
        return;
    self->damaged = true;
    rl_error("%s; it is not served any more, until there is another generation", damage);
    for (size_t at = 0; at < self->size; at++) {
        shard_worker_leave(self->members[at].worker);
        if (!self->members[at].left_us)
            self->members[at].left_us = rl_now_us();
    }
}

void collection_tick(collection_t *self)
{
    look_for_damage(self);
    if (snapshot_tune(self->snapshot))
        rl_info("%s: searches take the effort that the manifest says now", self->folder);
    remove_parted(self);
    if (!self->loader.active && is_outdated(self))
        start_loading(self);
}

// ---- making -------------------------------------------------------------------------------------

collection_t *collection_new(const char *folder, shard_context_t *context,
                             const snapshot_options_t *options, void (*on_loaded)(void *arg),
                             void *arg, char *why, size_t why_size)
{
    collection_t *self = rl_new(*self);
    self->folder = rl_strdup(folder);
    self->context = context;
    self->options = options;
    self->on_loaded = on_loaded;
    self->arg = arg;
    self->snapshot = snapshot_open(folder, options, why, why_size);
    if (!self->snapshot || fit_workers(self, why, why_size) != 0) {
        collection_destroy(&self);
        return NULL;
    }
    const manifest_t *manifest = snapshot_manifest(self->snapshot);
    rl_info("%s: collection %s, generation %s, %" PRIu64 " passages in %" PRIu64
            " shards, embedding model %s; %zu shards and kinds served here",
            folder, manifest->collection, manifest->generation, manifest->passages,
            manifest->shards, *manifest->model ? manifest->model : "none", self->size);
    return self;
}

void collection_destroy(collection_t **self_p)
{
    collection_t *self = *self_p;
    if (!self)
        return;
    if (self->loader.active)
        pthread_join(self->loader.thread, NULL);
    snapshot_unref(&self->loader.snapshot);
    for (size_t at = 0; at < self->size; at++)
        shard_worker_destroy(&self->members[at].worker);
    free(self->members);
    snapshot_unref(&self->snapshot);
    free(self->folder);
    free(self);
    *self_p = NULL;
}

bool collection_dump(const collection_t *self, rl_dump_t *dump)
{
    const manifest_t *manifest = snapshot_manifest(self->snapshot);
    size_t tasks = 0;
    if (!rl_dump_item(dump, NULL))
        return false;
    for (size_t at = 0; at < self->size; at++)
        tasks += shard_worker_tasks(self->members[at].worker);
    rl_dump_text(dump, "collection", manifest->collection);
    rl_dump_text(dump, "folder", self->folder);
    rl_dump_text(dump, "generation", manifest->generation);
    rl_dump_text(dump, "refused", self->refused);
    rl_dump_number(dump, "units", self->size);
    rl_dump_number(dump, "tasks", tasks);
    rl_dump_flag(dump, "opening_another", self->loader.active);
    rl_dump_flag(dump, "leaving", self->context->leaving);
    rl_dump_end(dump);
    return true;
}
