// check: an index against exact search.
//
// The questions are vectors of the index, taken at even distances, each with noise added: as a
// question is near what answers it, and not the same, and lies where no vector of the index does (a
// vector itself is found too easily). A hit counts if its vector is as near as that of the k-th by
// exact search, so that passages that are the same do not count against each other.
#include "check.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "embedding.h"
#include "faiss_index.h"
#include "files.h"
#include "flat.h"
#include "source.h"
#include "vectors.h"

enum {
    BLOCK = 16384, // rows compared at a time
    STEPS = 32,    // of effort
    LARGEST = 1 << 10,
    LEAST_EF = 16,
};

static const double SAME = 1e-5;  // products that are told apart: floats of vectors of length 1
static const double ALL = 0.9995; // of what is nearest, about
static const double NOISE = 1;    // its length: the question's cosine with the vector is about .7

typedef struct step {
    size_t effort;
    double found, wanted; // hits
    uint64_t *took_us;
    size_t size;
} step_t;

typedef struct check {
    const check_settings_t *settings;
    FILE *out;
    store_t *store;
    const manifest_t *manifest;
    step_t steps[STEPS];
    size_t steps_size;
    effort_kind_t kind;
    double exact_s;
    size_t searched;
    char *why;
    size_t why_size;
    // of the shard at work
    uint64_t shard;
    size_t count;
    const float *rows, *mapped; // mapped: rows are to be unmapped
    FaissIndex *index;          // rows are its
    size_t sample_size;
    float *questions, *least; // least: product of the k-th best
} check_t;

static int fail(check_t *self, const char *what)
{
    return rl_fail(self->why, self->why_size, "%s", what);
}

// ---- exact --------------------------------------------------------------------------------------

static int find_rows(check_t *self)
{
    char *folder = store_path(self->store, self->shard, "");
    char *path = store_path(self->store, self->shard, VECTORS_FILE);
    char inner[512] = "";
    bool ignored;
    int rc = folder && path ? 0 : fail(self, "out of memory");
    if (rc == 0)
        self->rows = self->mapped = vectors_map(folder, self->count, self->manifest->dimension);
    if (rc == 0 && !self->rows) {
        if (faiss_index_read(path, &self->index, &ignored, inner, sizeof inner) != 0)
            rc = rl_fail(self->why, self->why_size, "%s: FAISS cannot read it: %s", path, inner);
        else if (faiss_Index_ntotal(self->index) != (idx_t)self->count ||
                 faiss_Index_d(self->index) != (int)self->manifest->dimension)
            rc = rl_fail(self->why, self->why_size, "%s: is not what the manifest says", path);
        else if (!(self->rows = faiss_index_rows(self->index)))
            rc = rl_fail(self->why, self->why_size,
                         "%s: this index (%s) does not have the vectors themselves, and no "
                         "vectors.f32 lies beside it: build it again (ragline-index)",
                         path, self->manifest->factory);
    }
    free(folder);
    free(path);
    return rc;
}

// The same noise for the same question at every call: splitmix64 (Vigna), Irwin and Hall's sum for
// a bell.
static void add_noise(const float *row, size_t dimension, uint64_t number, float *out)
{
    uint64_t state = number * 0x9E3779B97F4A7C15u;
    double scale = NOISE / sqrt((double)dimension);
    for (size_t at = 0; at < dimension; at++) {
        double sum = -6;
        for (int each = 0; each < 12; each++) {
            uint64_t mixed = state += 0x9E3779B97F4A7C15u;
            mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
            sum += (double)((mixed ^ mixed >> 31) >> 11) / 9007199254740992.0;
        }
        out[at] = row[at] + (float)(scale * sum);
    }
    if (rl_embedding_normalise(out, dimension, out) != 0)
        memcpy(out, row,
               dimension * sizeof *out); // of a damaged file: found or not, it is searched
}

static int take_sample(check_t *self)
{
    size_t d = self->manifest->dimension;
    self->sample_size =
        self->count < self->settings->questions ? self->count : self->settings->questions;
    self->questions = calloc(self->sample_size * d, sizeof *self->questions);
    self->least = calloc(self->sample_size, sizeof *self->least);
    if (!self->questions || !self->least)
        return fail(self, "out of memory");
    for (size_t at = 0; at < self->sample_size; at++)
        add_noise(self->rows + self->count * at / self->sample_size * d, d, at,
                  self->questions + at * d);
    return 0;
}

// The product of each question with the k-th best of all rows.
static int search_exactly(check_t *self)
{
    size_t k = self->settings->k, d = self->manifest->dimension, n = self->sample_size;
    float *scores = malloc(n * k * sizeof *scores), *best = malloc(n * k * sizeof *best);
    int64_t *labels = malloc(n * k * sizeof *labels), *kept = malloc(n * k * sizeof *kept);
    top_k_t *bests = calloc(n, sizeof *bests);
    int rc = scores && best && labels && kept && bests ? 0 : -1;
    for (size_t at = 0; rc == 0 && at < n; at++)
        bests[at] = (top_k_t){best + at * k, kept + at * k, 0, k};
    for (size_t from = 0; rc == 0 && from < self->count; from += BLOCK) {
        size_t size = self->count - from < BLOCK ? self->count - from : BLOCK;
        rc = faiss_index_search_rows(self->rows + from * d, size, d, from, self->questions, n, k,
                                     scores, labels);
        for (size_t at = 0; rc == 0 && at < n * k; at++)
            if (labels[at] >= 0)
                top_k_offer(&bests[at / k], scores[at], (size_t)labels[at]);
    }
    for (size_t at = 0; rc == 0 && at < n; at++)
        self->least[at] = bests[at].size > 0 ? bests[at].scores[bests[at].size - 1] : INFINITY;
    free(scores);
    free(best);
    free(labels);
    free(kept);
    free(bests);
    return rc == 0 ? 0 : fail(self, "out of memory");
}

// ---- by effort ----------------------------------------------------------------------------------

// 1, 2, 3, 4, 6, 8, 12… up to what the index has.
static void make_steps(check_t *self, size_t most)
{
    size_t last = most < LARGEST ? most : LARGEST;
    size_t effort = self->kind == EFFORT_EF_SEARCH ? LEAST_EF : 1;
    if (self->kind == EFFORT_NONE)
        last = effort;
    self->steps_size = 0;
    for (; effort < last && self->steps_size < STEPS - 1; effort = effort & (effort - 1)
                                                                       ? effort / 3 * 4
                                                                   : effort > 1 ? effort / 2 * 3
                                                                                : 2)
        self->steps[self->steps_size++].effort = effort;
    self->steps[self->steps_size++].effort = last > 0 ? last : 1;
}

static int search_step(check_t *self, void *source, step_t *step, bool counts)
{
    size_t d = self->manifest->dimension, k = self->settings->k;
    for (size_t at = 0; at < self->sample_size; at++) {
        result_t result = {0};
        query_t query = {.vector = self->questions + at * d, .dimension = d, .k = k};
        query.efforts[self->kind] = step->effort;
        uint64_t began = rl_now_us();
        source_faiss.search(source, 0, &query, 1, &result);
        uint64_t took = rl_now_us() - began;
        if (result.code) {
            rl_fail(self->why, self->why_size, "%s", result.message);
            result_clear(&result);
            return -1;
        }
        size_t wanted = k < self->count ? k : self->count, found = 0;
        for (size_t hit = 0; hit < result.size; hit++) {
            size_t row = result.hits[hit].id - 1;
            float product = flat_product(self->rows + row * d, d, query.vector);
            found += product >= self->least[at] - (float)SAME;
        }
        result_clear(&result);
        if (!counts)
            continue;
        step->found += (double)(found < wanted ? found : wanted);
        step->wanted += (double)wanted;
        step->took_us[step->size++] = took;
    }
    return 0;
}

static int search_steps(check_t *self)
{
    source_options_t options = {.threads = 1, .faiss_threads = 1};
    void *source = source_faiss.open(self->store, self->shard, &options, self->why, self->why_size);
    if (!source)
        return -1;
    source_faiss.warm(source, 0);
    int rc = search_step(self, source, &self->steps[0], false);
    double all = 0, before = 0, found = 0;
    for (size_t at = 0; rc == 0 && at < self->steps_size; at++) {
        step_t *step = &self->steps[at];
        if (found > 0 && found >= ALL * all && before >= ALL * all) { // nothing more to be found
            step->found += found;
            step->wanted += all;
            continue;
        }
        before = found;
        double had = step->found, of = step->wanted;
        uint64_t *room =
            realloc(step->took_us, (step->size + self->sample_size) * sizeof *step->took_us);
        if (!room)
            rc = fail(self, "out of memory");
        else
            step->took_us = room;
        if (rc == 0)
            rc = search_step(self, source, step, true);
        found = step->found - had;
        all = step->wanted - of;
    }
    source_faiss.close(source);
    return rc;
}

// ---- shards -------------------------------------------------------------------------------------

static void leave_shard(check_t *self)
{
    vectors_unmap(self->mapped, self->count, self->manifest->dimension);
    if (self->index)
        faiss_Index_free(self->index);
    free(self->questions);
    free(self->least);
    self->rows = self->mapped = NULL;
    self->index = NULL;
    self->questions = self->least = NULL;
}

static int check_shard(check_t *self)
{
    int rc = find_rows(self);
    if (rc == 0)
        rc = take_sample(self);
    uint64_t began = rl_now_us();
    if (rc == 0)
        rc = search_exactly(self);
    self->exact_s += (double)(rl_now_us() - began) / 1e6;
    if (rc == 0)
        rc = search_steps(self);
    self->searched += self->sample_size;
    leave_shard(self);
    return rc;
}

// What all shards can be told, as their index says.
static int find_kind(check_t *self)
{
    size_t most = 0;
    for (uint64_t shard = 0; shard < self->manifest->shards; shard++) {
        char *path = store_path(self->store, shard, VECTORS_FILE), inner[512];
        FaissIndex *index = NULL;
        bool ignored;
        size_t of = 0;
        int rc = path ? faiss_index_read(path, &index, &ignored, inner, sizeof inner) : -1;
        if (rc == 0)
            self->kind = faiss_index_effort(index, &of);
        most = of > most ? of : most;
        if (index)
            faiss_Index_free(index);
        if (rc != 0)
            rl_fail(self->why, self->why_size, "%s: FAISS cannot read it: %s", path ? path : "",
                    path ? inner : "out of memory");
        free(path);
        if (rc != 0)
            return -1;
    }
    make_steps(self, most);
    return 0;
}

// ---- the table ----------------------------------------------------------------------------------

static int compare_us(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

static double recall_of(const step_t *step)
{
    return step->wanted > 0 ? step->found / step->wanted : 1;
}

static double ms_at(const step_t *step, double share)
{
    return step->size ? (double)step->took_us[(size_t)(share * (double)(step->size - 1))] / 1000
                      : 0;
}

// The least effort that is enough; if none is, the least that finds about as much as any.
static const step_t *choose(const check_t *self, double *most)
{
    static const double ABOUT = 0.002;
    *most = 0;
    for (size_t at = 0; at < self->steps_size; at++)
        *most = fmax(*most, recall_of(&self->steps[at]));
    double enough = fmin(self->settings->recall, *most - ABOUT);
    size_t at = 0;
    while (recall_of(&self->steps[at]) <
           (*most >= self->settings->recall ? self->settings->recall : enough))
        at++;
    return &self->steps[at];
}

static void print_table(check_t *self, const step_t *chosen)
{
    bool any = self->kind != EFFORT_NONE;
    fprintf(
        self->out,
        "collection %s, generation %s, %" PRIu64 " passages in %" PRIu64 " shard%s, %s\n"
        "%zu of its vectors, with noise, searched in one thread; exact search of all: %.1f s\n\n"
        "  %9s  recall@%-3zu   p50 ms   p99 ms\n",
        self->manifest->collection, self->manifest->generation, self->manifest->passages,
        self->manifest->shards, self->manifest->shards > 1 ? "s" : "", self->manifest->factory,
        self->searched, self->exact_s, any ? effort_names[self->kind] : "", self->settings->k);
    for (size_t at = 0; at < self->steps_size; at++) {
        const step_t *step = &self->steps[at];
        char effort[24] = "";
        if (step->size == 0)
            continue;
        if (any)
            snprintf(effort, sizeof effort, "%zu", step->effort);
        fprintf(self->out, "  %9s  %10.4f %8.2f %8.2f%s\n", effort, recall_of(step),
                ms_at(step, 0.5), ms_at(step, 0.99), any && step == chosen ? "  *" : "");
    }
    fputc('\n', self->out);
}

static int keep(check_t *self, const step_t *chosen)
{
    char found[512], checked[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(checked, sizeof checked, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    snprintf(found, sizeof found,
             "{\"k\":%zu,\"recall\":%.4f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"questions\":%zu,"
             "\"checked\":\"%s\"}",
             self->settings->k, recall_of(chosen), ms_at(chosen, 0.5), ms_at(chosen, 0.99),
             self->searched, checked);
    return store_set_effort(self->store, self->kind, chosen->effort, found, self->why,
                            self->why_size);
}

// Returns as index_check does.
static int conclude(check_t *self)
{
    double most;
    for (size_t at = 0; at < self->steps_size; at++)
        qsort(self->steps[at].took_us, self->steps[at].size, sizeof(uint64_t), compare_us);
    const step_t *chosen = choose(self, &most);
    bool enough = most >= self->settings->recall;
    print_table(self, chosen);
    if (self->kind == EFFORT_NONE) {
        fprintf(self->out, "this kind of index has no effort to choose\n");
        return enough ? 0 : 1;
    }
    if (keep(self, chosen) != 0)
        return -1;
    if (enough)
        fprintf(self->out, "%s %zu is the least with a recall of %g", effort_names[self->kind],
                chosen->effort, self->settings->recall);
    else
        fprintf(self->out, "no %s reaches a recall of %g; %zu comes near the most, %.4f",
                effort_names[self->kind], self->settings->recall, chosen->effort, most);
    fprintf(self->out, ": it is in the manifest, and retrievers that run take it up\n");
    return enough ? 0 : 1;
}

int index_check(const check_settings_t *settings, FILE *out, char *why, size_t why_size)
{
    check_t self = {.settings = settings, .out = out, .why = why, .why_size = why_size};
    self.store = store_open(settings->folder, false, why, why_size);
    if (!self.store)
        return -1;
    self.manifest = store_manifest(self.store);
    int rc = self.manifest->dimension > 0 && self.manifest->passages > 0
                 ? find_kind(&self)
                 : rl_fail(why, why_size, "%s: has no vectors to search", settings->folder);
    for (self.shard = 0; rc == 0 && self.shard < self.manifest->shards; self.shard++) {
        self.count = self.manifest->shard_passages[self.shard];
        if (self.count > 0)
            rc = check_shard(&self);
    }
    if (rc == 0)
        rc = conclude(&self);
    for (size_t at = 0; at < STEPS; at++)
        free(self.steps[at].took_us);
    store_destroy(&self.store);
    return rc;
}
