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

int rl_build_write_one(rl_build_t *self, const rl_spooled_t *item)
{
    const float *vector = item->vector;
    size_t dimension = item->vector_size;
    if (self->mode == RL_BUILD_EMBEDDED)
        vector = rl_vector_cache_get(self->cache, &item->key, &dimension, self->why, RL_BUILD_WHY);
    if (self->mode == RL_BUILD_EMBEDDED && !vector)
        return -1;
    if (self->mode == RL_BUILD_LEXICAL) {
        vector = NULL;
        dimension = 0;
    }
    self->dimension = dimension;
    return rl_store_add(self->store, item->shard, &item->passage, vector, dimension, self->why,
                        RL_BUILD_WHY) == 0
               ? -1
               : 0;
}

void rl_build_write(rl_build_t *self)
{
    uint64_t until = rl_now_us() + RL_BUILD_TURN_US;
    do {
        rl_spooled_t item;
        int rc = rl_spool_next(self->spool, &item, self->why, RL_BUILD_WHY);
        if (rc > 0)
            rc = rl_build_write_one(self, &item) == 0 ? 1 : -1;
        if (rc < 0) {
            rl_build_fail(self, self->why);
            return;
        }
        if (rc == 0) {
            rl_meter_at(self->meter, self->written);
            rl_meter_end(self->meter);
            rl_build_set_state(self, RL_BUILD_FINISHING);
            return;
        }
        self->written++;
    } while (rl_now_us() < until);
    rl_meter_at(self->meter, self->written);
    rl_build_set_state(self, RL_BUILD_WRITING);
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
        _exit(RL_BUILD_FAILED);
    _exit(RL_BUILD_INTERRUPTED);
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
    rl_build_t *self = arg;
    (void)shard;
    if (!self->stage || strcmp(self->stage, stage) != 0) {
        if (self->stage && rl_now_us() - self->stage_began >= WORTH_A_LINE_US)
            rl_meter_end(self->meter);
        rl_meter_drop(self->meter);
        self->stage = stage;
        self->stage_began = rl_now_us();
        rl_meter_begin(self->meter, stage, unit_of(stage), total);
    }
    rl_meter_total(self->meter, total);
    rl_meter_at(self->meter, done);
}

static void summarise(rl_build_t *self)
{
    const rl_corpus_counts_t *counts = rl_corpus_counts(self->corpus);
    uint64_t problems = counts->problems + self->listing_problems;
    char took[40];
    rl_meter_duration((double)(rl_now_us() - self->began) / 1e6, took, sizeof took);
    printf("%s/%s: %llu documents, %llu passages in %zu shard%s", self->plan->out, self->generation,
           (unsigned long long)self->documents, (unsigned long long)self->passages,
           self->plan->shards, self->plan->shards == 1 ? "" : "s");
    if (self->mode == RL_BUILD_LEXICAL)
        printf(", lexical only");
    else
        printf(", %zu dimensions (%s)", self->dimension, self->plan->model);
    printf("\n");
    if (self->mode == RL_BUILD_EMBEDDED)
        printf("embeddings: %llu made, %llu reused, %llu of too long a text (cut)\n",
               (unsigned long long)self->embedded_now, (unsigned long long)self->reused,
               (unsigned long long)self->cut);
    printf("files: %llu read, %llu left out (no text); documents: %llu without text, %llu with "
           "bytes that are no UTF-8 (repaired); problems: %llu\n",
           (unsigned long long)counts->files, (unsigned long long)counts->left_out,
           (unsigned long long)counts->empty, (unsigned long long)counts->repaired,
           (unsigned long long)problems);
    printf("done in %s\n", took);
    fflush(stdout);
}

// What kind of index it will be and why.
static void say_kind(const rl_build_t *self)
{
    uint64_t shards = self->plan->shards;
    const char *reason = "as index.factory says";
    const char *factory = self->plan->factory;
    if (self->mode == RL_BUILD_LEXICAL)
        return;
    if (!*factory)
        factory = rl_store_factory((self->passages + shards - 1) / shards, &reason);
    rl_info("vectors%s: %s (%s)", shards > 1 ? " of each shard" : "", factory, reason);
}

void rl_build_finish(rl_build_t *self)
{
    if (self->cache && rl_vector_cache_prune(self->cache, self->why, RL_BUILD_WHY) != 0)
        rl_warn("%s (the cache keeps what is no longer needed)", self->why);
    rl_vector_cache_destroy(&self->cache);
    rl_spool_destroy(&self->spool);
    say_kind(self);
    struct sigaction action = {.sa_handler = on_signal_while_finishing}, old[2];
    sigaction(SIGINT, &action, &old[0]);
    sigaction(SIGTERM, &action, &old[1]);
    int rc =
        rl_store_finish(&self->store, self->documents, on_finishing, self, self->why, RL_BUILD_WHY);
    sigaction(SIGINT, &old[0], NULL);
    sigaction(SIGTERM, &old[1], NULL);
    if (rc != 0) {
        rl_build_fail(self, self->why);
        return;
    }
    rl_meter_drop(self->meter);
    summarise(self);
    bool parts = rl_corpus_counts(self->corpus)->problems + self->listing_problems > 0;
    rl_build_end(self, parts ? RL_BUILD_PARTS : RL_BUILD_WHOLE);
}
