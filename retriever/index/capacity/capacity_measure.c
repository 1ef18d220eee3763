// size_measure: a quick look at what this machine makes of each kind of index.
#include "capacity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "fail.h"
#include "files.h"
#include "generation_writer.h"
#include "mem.h"
#include "source.h"
#include "store.h"
#include "synthetic.h"
#include "text_index.h"
#include "vectors.h"

enum {
    QUESTIONS = 300, // of which the first WARMING are not counted
    WARMING = 50,
    CHECKED = 100, // compared with exact search
    CANDIDATES = 50,
    BEST = 10,
    PART = 4, // words are measured with a quarter of the passages as well
};

static const double RECALL = 0.95;

typedef struct measurement {
    size_t passages, dimension;
    synthetic_t *corpus;
    float *vectors, *questions;
    uint64_t exact[CHECKED][BEST]; // ids of the best
    char folder[FILE_PATH_MAX];
    char *why;
    size_t why_size;
} measurement_t;

typedef struct timing {
    double p50_ms, p99_ms, recall;
    size_t effort; // of each search, 0 if there is no choice
} timing_t;

// CPU time of this thread: what other programs take meanwhile is not the search's.
static double thread_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1000 + (double)at.tv_nsec / 1e6;
}

static int compare_ms(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

static void remember_exact(measurement_t *self, size_t asked, const result_t *result)
{
    for (size_t at = 0; at < BEST; at++)
        self->exact[asked][at] = at < result->size ? result->hits[at].id : 0;
}

static double share_found(const measurement_t *self, size_t asked, const result_t *result)
{
    size_t found = 0;
    for (size_t at = 0; at < BEST; at++)
        for (size_t hit = 0; hit < BEST && hit < result->size; hit++)
            found += result->hits[hit].id == self->exact[asked][at];
    return (double)found / BEST;
}

// Asks all questions, one at a time in this thread, with this effort (0: the usual). An exact
// source says what is right.
static int search_all(measurement_t *self, const source_backend_t *backend, void *source,
                      size_t effort, bool exact, timing_t *timing)
{
    double ms[QUESTIONS];
    char text[SYNTHETIC_TEXT];
    *timing = (timing_t){0};
    for (size_t at = 0; at < QUESTIONS; at++) {
        result_t result = {0};
        synthetic_question(at, text);
        query_t query = {.text = text,
                         .vector = self->questions + at * self->dimension,
                         .dimension = self->dimension,
                         .k = CANDIDATES};
        for (size_t kind = 0; kind < EFFORT_KINDS; kind++)
            query.efforts[kind] = effort;
        double start = thread_ms();
        backend->search(source, 0, &query, 1, &result);
        ms[at] = thread_ms() - start;
        if (result.code)
            return rl_fail(self->why, self->why_size, "%s", result.message);
        timing->effort = result.effort.used;
        if (exact && at < CHECKED)
            remember_exact(self, at, &result);
        if (at < CHECKED)
            timing->recall += share_found(self, at, &result) / CHECKED;
        result_clear(&result);
    }
    size_t counted = QUESTIONS - WARMING;
    qsort(ms + WARMING, counted, sizeof *ms, compare_ms);
    // nothing is quicker than the clock's step
    timing->p50_ms = fmax(ms[WARMING + counted / 2], 0.001);
    timing->p99_ms = fmax(ms[WARMING + counted * 99 / 100], 0.001);
    return 0;
}

static int time_searches(measurement_t *self, const store_t *store, source_kind_t kind, bool exact,
                         timing_t *timing)
{
    const source_backend_t *backend = source_backends[kind];
    source_options_t options = {.threads = 1, .faiss_threads = 1};
    void *source = backend->open(store, 0, &options, self->why, self->why_size);
    if (!source)
        return -1;
    backend->warm(source, 0);
    int rc = search_all(self, backend, source, 0, exact, timing);
    // kinds are compared at the recall that one would have of them
    while (rc == 0 && timing->effort > 0 && timing->recall < RECALL &&
           timing->effort * 2 <= EFFORT_MOST && timing->effort < self->passages)
        rc = search_all(self, backend, source, timing->effort * 2, exact, timing);
    backend->close(source);
    return rc;
}

// An index of the first `count` passages in a folder of its own; factory "": of their words only.
// The time is without making the passages up.
static store_t *build_index(measurement_t *self, const char *name, const char *factory,
                            size_t count, bool with_words, double *seconds)
{
    char path[FILE_PATH_MAX], doc[32], text[SYNTHETIC_TEXT] = "a";
    generation_settings_t settings = {.collection = "size",
                                      .model = *factory ? "synthetic" : "",
                                      .language = "english",
                                      .factory = factory,
                                      .shards = 1};
    if (path_format(path, "%s/%s", self->folder, name) != 0)
        return NULL;
    generation_writer_t *made = generation_writer_new(path, &settings, self->why, self->why_size);
    uint64_t start = rl_now_us(), idle = 0;
    bool ok = made != NULL;
    for (size_t row = 0; ok && row < count; row++) {
        uint64_t before = rl_now_us();
        if (with_words)
            synthetic_passage(row, text);
        idle += rl_now_us() - before;
        snprintf(doc, sizeof doc, "row-%zu", row);
        rl_passage_t passage = {.doc = doc, .source = "synthetic", .text = text, .meta = ""};
        ok = generation_writer_add(made, 0, &passage,
                                   *factory ? self->vectors + row * self->dimension : NULL,
                                   *factory ? self->dimension : 0, self->why, self->why_size) != 0;
    }
    if (!ok || generation_writer_finish(&made, count, NULL, NULL, self->why, self->why_size) != 0) {
        generation_writer_abandon(&made);
        return NULL;
    }
    *seconds = fmax((double)(rl_now_us() - start - idle) / 1e6, 1e-6);
    return store_open(path, false, self->why, self->why_size);
}

static int add_file_size(void *arg, const char *name, uint64_t size)
{
    (void)name;
    *(double *)arg += (double)size;
    return 0;
}

// Bytes of a file or folder of the shard.
static double shard_bytes(const store_t *store, const char *name)
{
    double sum = 0;
    uint64_t size = 0;
    char *path = store_path(store, 0, name);
    if (path && file_size(path, &size) == 0)
        sum = (double)size;
    else if (path)
        folder_files(path, add_file_size, &sum);
    free(path);
    return sum;
}

static int measure_kind(measurement_t *self, capacity_index_t index, capacity_figures_t *figures)
{
    static const char *const names[CAPACITY_INDEXES] = {"flat", "graph", "lists"};
    capacity_kind_t *kind = &figures->kinds[index];
    char factory[32];
    timing_t timing;
    double seconds = 0;
    capacity_factory(index, (double)self->passages, factory);
    store_t *store = build_index(self, names[index], factory, self->passages, false, &seconds);
    if (!store)
        return -1;
    int rc = time_searches(self, store, SOURCE_DENSE, index == CAPACITY_FLAT, &timing);
    *kind = (capacity_kind_t){
        .p50_ms = timing.p50_ms,
        .p99_ms = timing.p99_ms,
        .recall = fmax(timing.recall, 0.001),
        .bytes = shard_bytes(store, VECTORS_FILE) / (double)self->passages,
        .per_s = (double)self->passages / seconds,
    };
    store_destroy(&store);
    return rc;
}

static int measure_word_search(measurement_t *self, capacity_figures_t *figures)
{
    timing_t all, part;
    double seconds = 0, ignored;
    store_t *few = build_index(self, "few", "", self->passages / PART, true, &ignored);
    store_t *store = few ? build_index(self, "words", "", self->passages, true, &seconds) : NULL;
    int rc = store && time_searches(self, few, SOURCE_LEXICAL, true, &part) == 0 &&
                     time_searches(self, store, SOURCE_LEXICAL, true, &all) == 0
                 ? 0
                 : -1;
    if (rc == 0) {
        double passages = (double)self->passages, text = shard_bytes(store, TEXT_FOLDER);
        figures->words = (capacity_kind_t){.p50_ms = all.p50_ms,
                                           .p99_ms = all.p99_ms,
                                           .recall = 1,
                                           .bytes = text / passages,
                                           .per_s = passages / seconds};
        // postings grow with the passages, and so does what a search skips of them: its time grows
        // at most in proportion. A small index is quicker than that, since it is in the CPU's cache
        double power = log(all.p50_ms / part.p50_ms) / log(PART);
        figures->words_power = fmin(fmax(power, 0.5), 1);
        figures->stored = fmax(shard_bytes(store, "") - text, 1) / passages;
    }
    store_destroy(&store);
    store_destroy(&few);
    return rc;
}

static int measure_machine(measurement_t *self, void (*say)(const char *what),
                           capacity_figures_t *figures)
{
    static const char *const names[] = {"exact search", "a graph", "an inverted file"};
    size_t d = self->dimension;
    self->corpus = synthetic_new(d);
    self->vectors = rl_alloc_array(self->passages * d, sizeof *self->vectors);
    self->questions = rl_alloc_array(QUESTIONS * d, sizeof *self->questions);
    synthetic_vectors(self->corpus, 0, self->passages, self->vectors);
    synthetic_questions(self->corpus, 0, QUESTIONS, self->questions);
    int rc = 0;
    for (capacity_index_t index = 0; rc == 0 && index < CAPACITY_INDEXES; index++) {
        say(names[index]);
        rc = measure_kind(self, index, figures);
    }
    if (rc == 0)
        say("words");
    return rc == 0 ? measure_word_search(self, figures) : rc;
}

int capacity_measure(size_t passages, size_t dimension, void (*say)(const char *what),
                     capacity_figures_t *figures, char *why, size_t why_size)
{
    const char *temporary = getenv("TMPDIR");
    measurement_t *self = rl_new(*self);
    self->passages = passages;
    self->dimension = dimension;
    self->why = why;
    self->why_size = why_size;
    *figures = (capacity_figures_t){.passages = (double)passages, .dimension = (double)dimension};
    int rc = path_format(self->folder, "%s/ragline-size-XXXXXX",
                         temporary && *temporary ? temporary : "/tmp");
    if (rc == 0 && !mkdtemp(self->folder)) {
        rc = rl_fail(why, why_size, "%s: no temporary folder (TMPDIR names another place)",
                     self->folder);
        self->folder[0] = '\0';
    }
    rc = rc == 0 ? measure_machine(self, say, figures) : -1;
    if (self->folder[0])
        folder_remove(self->folder);
    synthetic_destroy(&self->corpus);
    free(self->vectors);
    free(self->questions);
    free(self);
    return rc;
}
