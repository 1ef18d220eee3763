// build_write: spool and cache → the new generation, which is then finished and put in force.
#include "build_stages.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "generation_folder.h"
#include "log.h"

enum {
    WORTH_A_LINE_US = 2000 * 1000 // a stage that took longer leaves a line
};

int build_write_passage(build_t *self, const spooled_t *item)
{
    const float *vector;
    const char *refusal;
    if (build_vector(self, item, &vector, &self->dimension, &refusal) != 0 ||
        generation_writer_add(self->writer, item->shard, &item->passage, vector, self->dimension,
                              self->why, BUILD_WHY) == 0)
        return -1;
    if (refusal)
        build_name_vectorless(self, item, refusal);
    self->written++;
    return 0;
}

void build_write(build_t *self)
{
    int rc = build_turn_spool(self, build_write_passage);
    if (rc < 0)
        return;
    progress_at(self->progress, self->written);
    if (rc == 0)
        progress_end(self->progress);
    build_set_state(self, rc > 0 ? BUILD_WRITING : BUILD_FINISHING);
}

// ---- finishing ----------------------------------------------------------------------------------

// The generation is finished in one call, without the loop: a signal then ends the process, which
// is as safe as at any other moment.
static void on_signal_while_finishing(int number)
{
    static const char words[] = "\ninterrupted: the index is as it was before; the next run goes "
                                "on from what was embedded\n";
    (void)number;
    if (write(STDERR_FILENO, words, sizeof words - 1) < 0)
        _exit(BUILD_FAILED);
    _exit(BUILD_INTERRUPTED);
}

static const char *stage_unit(const char *stage)
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
            progress_end(self->progress);
        progress_drop(self->progress);
        self->stage = stage;
        self->stage_began = rl_now_us();
        progress_begin(self->progress, stage, stage_unit(stage), total);
    }
    progress_total(self->progress, total);
    progress_at(self->progress, done);
}

static void print_summary(const build_t *self)
{
    printf("%s/%s: %" PRIu64 " documents, %" PRIu64 " passages in %zu shard%s", self->plan->out,
           self->generation, self->documents, self->passages, self->plan->shards,
           self->plan->shards == 1 ? "" : "s");
    build_print_kind(self);
    if (self->mode == BUILD_EMBEDDED)
        printf("embeddings: %" PRIu64 " made, %" PRIu64 " reused, %" PRIu64
               " of too long a text (cut)\n",
               self->embedded_now, self->reused, self->cut);
    printf("files: %" PRIu64 " read; without text: %" PRIu64
           "; documents and lines not wholly in the index: %" PRIu64 "\n",
           corpus_counts(self->corpus)->files, report_count(self->report, REPORT_EMPTY),
           report_faults(self->report));
    build_print_duration(self);
}

// What kind of index it will be and why.
static void log_kind(const build_t *self)
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
    build_prune_cache(self);
    vector_cache_destroy(&self->cache);
    spool_destroy(&self->spool);
    log_kind(self);
    struct sigaction action = {.sa_handler = on_signal_while_finishing}, old[2];
    sigaction(SIGINT, &action, &old[0]);
    sigaction(SIGTERM, &action, &old[1]);
    int rc = generation_writer_finish(&self->writer, self->documents, on_finishing, self, self->why,
                                      BUILD_WHY);
    sigaction(SIGINT, &old[0], NULL);
    sigaction(SIGTERM, &old[1], NULL);
    if (rc != 0) {
        build_fail(self, self->why);
        return;
    }
    generation_folder_drop_sync(self->plan->out);
    progress_drop(self->progress);
    print_summary(self);
    build_succeed(self);
}
