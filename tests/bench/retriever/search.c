// search: what one thread of a retriever finds in an index of clustered's corpus, and how quickly.
//
//   search FOLDER QUESTIONS CHECKED [KIND]    → JSON: by kind (dense, lexical) and filter p50, p99,
//   recall
//
// QUESTIONS are asked one at a time, without a filter and with filters that keep 50 %, 1 % and 10
// passages (0.001 % of a million), all in turn; the result of the first CHECKED of them is compared
// with that of a search through everything. Of dimension 384 and one shard.
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include <cblas.h>

#include "blas.h"
#include "clock.h"
#include "files.h"
#include "lib/samples.h"
#include "lib/text.h"
#include "source.h"
#include "synthetic.h"
#include "text_index.h"

enum {
    K = 10,
    FILTERS = 4,
    MILLION = 1000000,
    FEW = 10,
    WARMING = 50, // questions that come before those that are measured
    MAX_QUESTIONS = 100000,
    MAX_CHECKED = 1000,
};

typedef struct filter {
    const char *name;
    uint64_t below;         // of n, a number of 0..999,999 that each row has
    char text[64];          // as a request has it; "": none
    samples_t samples, cpu; // by the clock, and of this thread
    double recall;
    uint64_t first_us; // the first question with it, which has the passages picked out
} filter_t;

typedef struct best {
    uint64_t rows[K];
    double scores[K];
    size_t size;
} best_t;

typedef struct bench {
    store_t *store;
    uint64_t passages;
    size_t questions, checked;
    float *vectors;    // of the questions and WARMING more
    best_t *truth;     // FILTERS x checked
    uint32_t *numbers; // n of each passage, by id - 1
    uint64_t digest;   // of all passages' documents and texts in the order of their ids
    filter_t filters[FILTERS];
} bench_t;

static void fail(const char *what)
{
    fprintf(stderr, "search: %s\n", what);
    exit(1);
}

static void *room(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        fail("out of memory");
    return memory;
}

// ---- what is right ------------------------------------------------------------------------------

static uint64_t number_of(uint64_t row)
{
    return row % MILLION * 777767 % MILLION; // as in clustered.c
}

static void keep_best(best_t *best, uint64_t row, double score)
{
    if (best->size == K && score <= best->scores[K - 1])
        return;
    size_t at = best->size < K ? best->size++ : K - 1;
    for (; at > 0 && best->scores[at - 1] < score; at--) {
        best->scores[at] = best->scores[at - 1];
        best->rows[at] = best->rows[at - 1];
    }
    best->scores[at] = score;
    best->rows[at] = row;
}

// The best under every filter, by looking at every vector.
static void find_truth(bench_t *self)
{
    synthetic_t *corpus = synthetic_new(TEXT_DIMENSION);
    float *block = room(SYNTHETIC_BLOCK * TEXT_DIMENSION, sizeof *block);
    float *scores = room(SYNTHETIC_BLOCK * self->checked, sizeof *scores);
    if (!corpus)
        fail("out of memory");
    for (uint64_t first = 0; first < self->passages; first += SYNTHETIC_BLOCK) {
        size_t rows =
            self->passages - first < SYNTHETIC_BLOCK ? self->passages - first : SYNTHETIC_BLOCK;
        synthetic_vectors(corpus, first, rows, block);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)self->checked, (int)rows,
                    TEXT_DIMENSION, 1, self->vectors, TEXT_DIMENSION, block, TEXT_DIMENSION, 0,
                    scores, (int)rows);
        for (size_t each = 0; each < FILTERS; each++)
            for (size_t row = 0; row < rows; row++)
                if (number_of(first + row) < self->filters[each].below)
                    for (size_t asked = 0; asked < self->checked; asked++)
                        keep_best(&self->truth[each * self->checked + asked], first + row,
                                  scores[asked * rows + row]);
    }
    synthetic_destroy(&corpus);
    free(block);
    free(scores);
}

// Of words: the best of all that match, those left out that the filter does not keep.
static void find_truth_of_words(bench_t *self)
{
    char why[512], text[SYNTHETIC_TEXT];
    char *path = store_path(self->store, 0, TEXT_FOLDER);
    const char *language = store_manifest(self->store)->language;
    text_index_t *reader = path ? text_index_new(path, language, why, sizeof why) : NULL;
    uint64_t *ids = room(self->passages, sizeof *ids);
    double *scores = room(self->passages, sizeof *scores), bound;
    if (!reader)
        fail(why);
    for (size_t asked = 0; asked < self->checked; asked++) {
        synthetic_question(asked, text);
        long found = text_index_search(reader, text, self->passages, NULL, ids, scores, &bound, why,
                                       sizeof why);
        if (found < 0)
            fail(why);
        for (size_t each = 0; each < FILTERS; each++) {
            best_t *best = &self->truth[each * self->checked + asked];
            best->size = 0;
            for (long at = 0; at < found && best->size < K; at++)
                if (self->numbers[ids[at] - 1] < self->filters[each].below)
                    keep_best(best, ids[at], scores[at]);
        }
    }
    text_index_destroy(&reader);
    free(ids);
    free(scores);
    free(path);
}

static void digest(bench_t *self, const char *words)
{
    self->digest = (self->digest ^ XXH64(words, strlen(words), 0)) * 0x100000001b3u;
}

// n of every passage by its id.
static void read_passages(bench_t *self)
{
    enum {
        AT_ONCE = 1000
    };
    uint64_t ids[AT_ONCE];
    rl_passage_t passages[AT_ONCE];
    char why[512];
    self->numbers = room(self->passages, sizeof *self->numbers);
    for (uint64_t first = 0; first < self->passages; first += AT_ONCE) {
        size_t size = self->passages - first < AT_ONCE ? self->passages - first : AT_ONCE;
        void *memory = NULL;
        for (size_t at = 0; at < size; at++)
            ids[at] = first + at + 1;
        if (store_passages(self->store, 0, ids, size, passages, &memory, why, sizeof why) != 0)
            fail(why);
        for (size_t at = 0; at < size; at++) {
            self->numbers[first + at] =
                (uint32_t)number_of(strtoull(passages[at].doc + strlen("row-"), NULL, 10));
            digest(self, passages[at].doc);
            digest(self, passages[at].text);
        }
        free(memory);
    }
}

// ---- measuring ----------------------------------------------------------------------------------

static double recall_of(const best_t *truth, const result_t *result, bool dense)
{
    size_t found = 0;
    for (size_t at = 0; at < truth->size; at++)
        for (size_t hit = 0; hit < result->size; hit++) {
            const rl_passage_t *passage = &result->hits[hit];
            // of words many passages may have the same score: any of them is as right
            found += dense ? strtoull(passage->doc + strlen("row-"), NULL, 10) == truth->rows[at]
                           : hit == at && fabs(passage->score - truth->scores[at]) <
                                              1e-6 * truth->scores[at];
        }
    return truth->size ? (double)found / (double)truth->size : result->size == 0;
}

static uint64_t thread_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
}

static uint64_t ask(bench_t *self, const source_backend_t *backend, void *source,
                    const filter_t *filter, size_t asked, result_t *result, uint64_t *cpu_us)
{
    char text[SYNTHETIC_TEXT];
    synthetic_question(asked, text);
    query_t query = {.text = text,
                     .vector = self->vectors + asked * TEXT_DIMENSION,
                     .dimension = TEXT_DIMENSION,
                     .k = K,
                     .filter = *filter->text ? filter->text : NULL};
    uint64_t start = rl_now_us(), cpu = thread_us();
    backend->search(source, 0, &query, 1, result);
    uint64_t took = rl_now_us() - start;
    *cpu_us = thread_us() - cpu;
    if (result->code)
        fail(result->message);
    return took;
}

static void ask_all(bench_t *self, const source_backend_t *backend, void *source)
{
    bool dense = backend == &source_faiss;
    for (size_t each = 0; each < FILTERS; each++) {
        filter_t *filter = &self->filters[each];
        samples_clear(&filter->samples);
        samples_clear(&filter->cpu);
        filter->recall = 0;
        for (size_t at = 0; at < WARMING; at++) {
            result_t result = {0};
            uint64_t cpu;
            uint64_t us = ask(self, backend, source, filter, self->questions + at, &result, &cpu);
            filter->first_us = at == 0 ? us : filter->first_us;
            result_clear(&result);
        }
    }
    for (size_t at = 0; at < self->questions; at++)
        for (size_t each = 0; each < FILTERS; each++) {
            filter_t *filter = &self->filters[each];
            // not the question that the filter before has just brought into the caches
            size_t asked = (at + each * (self->questions / FILTERS)) % self->questions;
            result_t result = {0};
            uint64_t cpu;
            samples_add(&filter->samples, ask(self, backend, source, filter, asked, &result, &cpu));
            samples_add(&filter->cpu, cpu);
            if (asked < self->checked)
                filter->recall +=
                    recall_of(&self->truth[each * self->checked + asked], &result, dense) /
                    (double)self->checked;
            result_clear(&result);
        }
}

// What is measured comes before whatever else this machine does, where that is allowed.
static void come_first(bool first)
{
    struct sched_param param = {.sched_priority = first ? 1 : 0};
    if (sched_setscheduler(0, first ? SCHED_RR : SCHED_OTHER, &param) != 0 && errno != EPERM)
        fail("sched_setscheduler");
}

static void measure(bench_t *self, const char *kind)
{
    const source_backend_t *backend = source_backends[source_kind_named(kind)];
    source_options_t options = {.threads = 1, .faiss_threads = 1};
    char why[512] = "";
    if (backend == &source_faiss)
        find_truth(self);
    else
        find_truth_of_words(self);
    uint64_t start = rl_now_us();
    void *source = backend->open(self->store, 0, &options, why, sizeof why);
    if (!source)
        fail(why);
    uint64_t opened = rl_now_us();
    backend->warm(source, 0);
    come_first(true);
    ask_all(self, backend, source);
    come_first(false);
    printf("\"%s\":{\"open_ms\":%.3f", kind, (double)(opened - start) / 1000);
    for (size_t each = 0; each < FILTERS; each++) {
        filter_t *filter = &self->filters[each];
        printf(",\"%s\":{\"recall\":%.4f,\"first_ms\":%.3f,\"ms\":", filter->name, filter->recall,
               (double)filter->first_us / 1000);
        samples_json(&filter->samples, stdout);
        fputs(",\"cpu_ms\":", stdout);
        samples_json(&filter->cpu, stdout);
        putchar('}');
    }
    putchar('}');
    backend->close(source);
}

static void make_questions(bench_t *self)
{
    synthetic_t *corpus = synthetic_new(TEXT_DIMENSION);
    size_t count = self->questions + WARMING;
    self->vectors = room(count * TEXT_DIMENSION, sizeof *self->vectors);
    self->truth = room(FILTERS * self->checked, sizeof *self->truth);
    if (!corpus)
        fail("out of memory");
    synthetic_questions(corpus, 0, count, self->vectors);
    synthetic_destroy(&corpus);
    uint64_t few = self->passages < MILLION ? FEW * MILLION / self->passages : FEW;
    const uint64_t below[FILTERS] = {MILLION, MILLION / 2, MILLION / 100, few};
    const char *const names[FILTERS] = {"all", "half", "hundredth", "few"};
    for (size_t each = 0; each < FILTERS; each++) {
        filter_t *filter = &self->filters[each];
        filter->name = names[each];
        filter->below = below[each];
        if (each > 0)
            snprintf(filter->text, sizeof filter->text, "{\"field\":\"n\",\"lt\":%llu}",
                     (unsigned long long)below[each]);
    }
}

int main(int argc, char **argv)
{
    static bench_t self;
    char why[1024] = "";
    blas_use_cpu(argv);
    self.questions = argc > 2 ? (size_t)atol(argv[2]) : 0;
    self.checked = argc > 3 ? (size_t)atol(argv[3]) : 0;
    if (argc < 4 || argc > 5 || self.questions < FILTERS || self.questions > MAX_QUESTIONS ||
        self.checked < 1 || self.checked > self.questions || self.checked > MAX_CHECKED) {
        fputs("usage: search FOLDER QUESTIONS CHECKED [dense|lexical]\n", stderr);
        return 2;
    }
    uint64_t start = rl_now_us();
    if (!(self.store = store_open(argv[1], false, why, sizeof why)))
        fail(why);
    const manifest_t *manifest = store_manifest(self.store);
    if (manifest->shards != 1 || manifest->dimension != TEXT_DIMENSION)
        fail("an index of one shard and 384 dimensions is wanted");
    self.passages = manifest->passages;
    printf("{\"passages\":%llu,\"factory\":\"%s\",\"store_ms\":%.3f,",
           (unsigned long long)self.passages, manifest->factory,
           (double)(rl_now_us() - start) / 1000);
    make_questions(&self);
    read_passages(&self);
    printf("\"digest\":\"%016llx\",", (unsigned long long)self.digest);
    const char *only = argc > 4 ? argv[4] : NULL;
    if (!only || strcmp(only, "dense") == 0)
        measure(&self, "dense");
    if (!only)
        putchar(',');
    if (!only || strcmp(only, "lexical") == 0)
        measure(&self, "lexical");
    puts("}");
    store_destroy(&self.store);
    return 0;
}
