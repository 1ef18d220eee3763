// snapshot: opens a generation with its sources, and closes it behind its last user.
#include "snapshot_private.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "fail.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

enum {
    NICE = 10, // of the thread that compares checksums
    TRIES = 3, // at opening, when changes are merged meanwhile
};

static void destroy_snapshot(snapshot_t *self)
{
    atomic_store(&self->stop, true);
    if (self->checks)
        pthread_join(self->checker, NULL);
    free(self->shards);
    log_tailer_destroy(&self->live);
    for (size_t at = 0; at < self->size; at++)
        self->sources[at].backend->close(self->sources[at].source);
    free(self->sources);
    store_destroy(&self->store);
    free(self);
}

static bool is_wanted(const snapshot_options_t *options, uint64_t shard)
{
    for (size_t at = 0; at < options->shards_size; at++)
        if (options->shards[at] == shard)
            return true;
    return options->shards_size == 0;
}

static int open_source(snapshot_t *self, uint64_t shard, const source_backend_t *backend,
                       const snapshot_options_t *options, char *why, size_t why_size)
{
    if (!backend->suits(store_manifest(self->store)))
        return 0;
    uint64_t began = rl_now_us();
    void *source = backend->open(self->store, shard, &options->source, why, why_size);
    if (!source)
        return -1;
    self->sources[self->size++] = (snapshot_source_t){shard, backend, source};
    // A few queries touch each thread's own handles and memory before a question waits for them.
    uint64_t opened = rl_now_us();
    for (size_t thread = 0; thread < options->source.threads; thread++)
        backend->warm(source, thread);
    rl_info("shard %" PRIu64 ", %s: opened in %.1f ms, warmed with queries in %.1f ms", shard,
            source_kind_names[backend->kind], (double)(opened - began) / 1000,
            (double)(rl_now_us() - opened) / 1000);
    return 0;
}

static void *check_aside(void *arg)
{
    snapshot_t *self = arg;
    uint64_t began = rl_now_us();
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); // of this thread alone, on Linux
    for (size_t at = 0; at < self->shards_size; at++)
        if (store_verify(self->store, self->shards[at], &self->stop, self->damage,
                         sizeof self->damage) != 0) {
            atomic_store(&self->damaged, true);
            return NULL;
        }
    if (!atomic_load(&self->stop))
        rl_info("generation %s: all checksums are right (%.1f s, aside)",
                store_manifest(self->store)->generation, (double)(rl_now_us() - began) / 1e6);
    return NULL;
}

// Compares the checksums before anything is opened; of large files in a thread of its own, while
// they are served, so that a start does not take longer the larger the index is. (Whatever reads an
// index checks what it reads: until damage is found it can lead to wrong passages, not to a crash.)
static int check_files(snapshot_t *self, uint64_t first, char *why, size_t why_size)
{
    uint64_t bytes = 0;
    for (size_t at = 0; at < self->shards_size; at++)
        bytes += store_bytes(self->store, self->shards[at]);
    if (bytes > first)
        self->checks = thread_start(&self->checker, check_aside, self);
    for (size_t at = 0; !self->checks && at < self->shards_size; at++)
        if (store_verify(self->store, self->shards[at], NULL, why, why_size) != 0)
            return -1;
    return 0;
}

static bool serves_shard(const void *options, uint64_t shard)
{
    return is_wanted(options, shard);
}

static int open_live(snapshot_t *self, const char *folder, const snapshot_options_t *options,
                     bool *gone, char *why, size_t why_size)
{
    log_tailer_options_t how = {.serves = serves_shard,
                                .arg = options,
                                .kinds = {.words = options->kinds[SOURCE_LEXICAL],
                                          .vectors = options->kinds[SOURCE_DENSE],
                                          .threads = options->source.threads}};
    self->live = log_tailer_new(folder, self->store, &how, gone, why, why_size);
    return self->live ? log_tailer_start(self->live, why, why_size) : -1;
}

static int open_all(snapshot_t *self, const char *folder, const snapshot_options_t *options,
                    bool *gone, char *why, size_t why_size)
{
    self->store = store_open(folder, false, why, why_size);
    if (!self->store)
        return -1;
    const manifest_t *manifest = store_manifest(self->store);
    for (size_t at = 0; at < options->shards_size; at++)
        if (options->shards[at] >= manifest->shards)
            return rl_fail(why, why_size,
                           "%s: has no shard %" PRIu64 ", only 0 to %" PRIu64
                           "; change retriever.shards",
                           folder, options->shards[at], manifest->shards - 1);
    self->sources = rl_alloc_array(manifest->shards * SOURCE_KINDS, sizeof *self->sources);
    self->shards = rl_alloc_array(manifest->shards, sizeof *self->shards);
    for (uint64_t shard = 0; shard < manifest->shards; shard++)
        if (is_wanted(options, shard))
            self->shards[self->shards_size++] = shard;
    if (check_files(self, options->check_first, why, why_size) != 0)
        return -1;
    for (size_t each = 0; each < self->shards_size; each++)
        for (source_kind_t kind = 0; kind < SOURCE_KINDS; kind++)
            if (options->kinds[kind] && open_source(self, self->shards[each], source_backends[kind],
                                                    options, why, why_size) != 0)
                return -1;
    if (self->size == 0)
        return rl_fail(why, why_size,
                       "%s: the collection has no vectors, so there is nothing of the kinds in "
                       "retriever.kinds to serve",
                       folder);
    return open_live(self, folder, options, gone, why, why_size);
}

static snapshot_t *open_once(const char *folder, const snapshot_options_t *options, bool *gone,
                             char *why, size_t why_size)
{
    snapshot_t *self = rl_new(*self);
    atomic_init(&self->refs, 1);
    if (open_all(self, folder, options, gone, why, why_size) != 0) {
        destroy_snapshot(self);
        return NULL;
    }
    return self;
}

const char *snapshot_damage(const snapshot_t *self)
{
    return atomic_load(&self->damaged) ? self->damage : NULL;
}

bool snapshot_tune(snapshot_t *self)
{
    manifest_t manifest;
    if (!store_retuned(self->store, &manifest))
        return false;
    for (size_t at = 0; at < self->size; at++)
        if (self->sources[at].backend->tune)
            self->sources[at].backend->tune(self->sources[at].source, &manifest);
    return true;
}

snapshot_t *snapshot_open(const char *folder, const snapshot_options_t *options, char *why,
                          size_t why_size)
{
    snapshot_t *self = NULL;
    bool gone = true; // the log went on without this generation: a newer one is there
    for (int tries = 0; !self && gone && tries < TRIES; tries++) {
        gone = false;
        self = open_once(folder, options, &gone, why, why_size);
    }
    return self;
}

snapshot_t *snapshot_ref(snapshot_t *self)
{
    atomic_fetch_add(&self->refs, 1);
    return self;
}

static void *destroy_aside(void *arg)
{
    destroy_snapshot(arg);
    return NULL;
}

void snapshot_unref(snapshot_t **self_p)
{
    snapshot_t *self = *self_p;
    *self_p = NULL;
    if (!self || atomic_fetch_sub(&self->refs, 1) != 1)
        return;
    // The kernel takes a while to take a gigabyte back: neither the loop nor a search waits for it.
    pthread_t thread;
    if (pthread_create(&thread, NULL, destroy_aside, self) == 0)
        pthread_detach(thread);
    else
        destroy_snapshot(self);
}

const manifest_t *snapshot_manifest(const snapshot_t *self)
{
    return store_manifest(self->store);
}

size_t snapshot_sources(const snapshot_t *self)
{
    return self->size;
}

const snapshot_source_t *snapshot_source_at(const snapshot_t *self, size_t at)
{
    return &self->sources[at];
}
