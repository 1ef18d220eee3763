// build_write: spool and cache → the store, which then finishes the generation and puts it in
// force.

#include "build_stages.h"

#include "clock.h"
#include "log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    WORTH_A_LINE_US = 2000 * 1000 // a stage that took longer leaves a line
};

int build_write_one(build_t *self, const spooled_t *item)
{
    const float *vector = item->vector;
    size_t dimension = item->vector_size;
    if (self->mode == BUILD_EMBEDDED)
        vector = vector_cache_get(self->cache, &item->key, &dimension, self->why, BUILD_WHY);
    if (self->mode == BUILD_EMBEDDED && !vector)
        return -1;
    if (self->mode == BUILD_LEXICAL) {
        vector = NULL;
        dimension = 0;
    }
    self->dimension = dimension;
    return store_add(self->store, item->shard, &item->passage, vector, dimension, self->why,
                     BUILD_WHY) == 0
               ? -1
               : 0;
}

void build_write(build_t *self)
{
    uint64_t until = rl_now_us() + BUILD_TURN_US;
    do {
        spooled_t item;
        int rc = spool_next(self->spool, &item, self->why, BUILD_WHY);
        if (rc > 0)
            rc = build_write_one(self, &item) == 0 ? 1 : -1;
        if (rc < 0) {
            build_fail(self, self->why);
            return;
        }
        if (rc == 0) {
            progress_at(self->meter, self->written);
            progress_end(self->meter);
            build_set_state(self, BUILD_FINISHING);
            return;
        }
        self->written++;
    } while (rl_now_us() < until);
    progress_at(self->meter, self->written);
    build_set_state(self, BUILD_WRITING);
}

// ---- finishing ----------------------------------------------------------------------------------

// The store finishes in one go, without the loop: a signal then simply ends the process, which is
// as safe as at any other moment.
static void on_signal_while_finishing(int number)
{
    static const char words[] = "\ninterrupted: the index is as it was before; the next run goes "
                                "on from what was embedded\n";
    (void)number;
    if (write(STDERR_FILENO, words, sizeof words - 1) < 0)
        _exit(BUILD_FAILED);
    _exit(BUILD_INTERRUPTED);
}

static const char *unit_of(const char *stage)
{
    if (strcmp(stage, "checksums") == 0 || strcmp(stage, "merging") == 0)
        return "bytes";
    return strcmp(stage, "training") == 0 ? "steps" : "passages";
}

static void on_finishing(void *arg, const char *stage, uint64_t shard, uint64_t done,
                         uint64_t total)
{
    build_t *self = arg;
    (void)shard;
    if (!self->stage || strcmp(self->stage, stage) != 0) {
        if (self->stage && rl_now_us() - self->stage_began >= WORTH_A_LINE_US)
            progress_end(self->meter);
        progress_drop(self->meter);
        self->stage = stage;
        self->stage_began = rl_now_us();
        progress_begin(self->meter, stage, unit_of(stage), total);
    }
    progress_total(self->meter, total);
    progress_at(self->meter, done);
}

static void summarise(build_t *self)
{
    const corpus_counts_t *counts = corpus_counts(self->corpus);
    uint64_t problems = counts->problems + self->listing_problems;
    char took[40];
    progress_duration((double)(rl_now_us() - self->began) / 1e6, took, sizeof took);
    printf("%s/%s: %llu documents, %llu passages in %zu shard%s", self->plan->out, self->generation,
           (unsigned long long)self->documents, (unsigned long long)self->passages,
           self->plan->shards, self->plan->shards == 1 ? "" : "s");
    if (self->mode == BUILD_LEXICAL)
        printf(", lexical only");
    else
        printf(", %zu dimensions (%s)", self->dimension, self->plan->model);
    printf("\n");
    if (self->mode == BUILD_EMBEDDED)
        printf("embeddings: %llu made, %llu reused, %llu of too long a text (cut)\n",
               (unsigned long long)self->embedded_now, (unsigned long long)self->reused,
               (unsigned long long)self->cut);
    printf("files: %llu read, %llu left out (no text); documents: %llu without text, %llu with "
           "bytes that are no UTF-8 (repaired); problems: %llu\n",
           (unsigned long long)counts->files, (unsigned long long)counts->left_out,
           (unsigned long long)counts->empty, (unsigned long long)counts->repaired,
           (unsigned long long)problems);
    if (counts->partly > 0)
        printf("documents with parts that were not understood: %llu\n",
               (unsigned long long)counts->partly);
    printf("done in %s\n", took);
    fflush(stdout);
}

// What kind of index it will be and why.
static void say_kind(const build_t *self)
{
    uint64_t shards = self->plan->shards;
    const char *reason = "as index.factory says";
    const char *factory = self->plan->factory;
    if (self->mode == BUILD_LEXICAL)
        return;
    if (!*factory)
        factory = store_factory((self->passages + shards - 1) / shards, &reason);
    rl_info("vectors%s: %s (%s)", shards > 1 ? " of each shard" : "", factory, reason);
}

void build_finish(build_t *self)
{
    if (self->cache && vector_cache_prune(self->cache, self->why, BUILD_WHY) != 0)
        rl_warn("%s (the cache keeps what is no longer needed)", self->why);
    vector_cache_destroy(&self->cache);
    spool_destroy(&self->spool);
    say_kind(self);
    struct sigaction action = {.sa_handler = on_signal_while_finishing}, old[2];
    sigaction(SIGINT, &action, &old[0]);
    sigaction(SIGTERM, &action, &old[1]);
    int rc = store_finish(&self->store, self->documents, on_finishing, self, self->why, BUILD_WHY);
    sigaction(SIGINT, &old[0], NULL);
    sigaction(SIGTERM, &old[1], NULL);
    if (rc != 0) {
        build_fail(self, self->why);
        return;
    }
    progress_drop(self->meter);
    summarise(self);
    bool parts = corpus_counts(self->corpus)->problems + self->listing_problems > 0;
    build_end(self, parts ? BUILD_PARTS : BUILD_WHOLE);
}
