// check: compares an index with exact search. A hit counts if its vector is as near as that of the
// k-th by exact search, so that passages that are the same do not count against each other.
#include "check.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_sample.h"
#include "clock.h"
#include "fail.h"
#include "faiss_index.h"
#include "flat.h"
#include "generation_vectors.h"
#include "generation_writer.h"
#include "mem.h"
#include "source.h"
#include "vectors.h"

enum {
    MAX_EFFORTS = 32,
    LARGEST_EFFORT = 1 << 10,
    LEAST_EF = 16,
};

static const double SAME = 1e-5; // products of vectors of length 1 that differ by less are the same
static const double ALL = 0.9995; // of the nearest, nearly

// What searches with one effort found, and how long they took.
typedef struct effort_result {
    size_t effort;
    double found, wanted; // hits
    uint64_t *took_us;
    size_t size;
} effort_result_t;

typedef struct check {
    const check_settings_t *settings;
    FILE *out;
    store_t *store;
    const manifest_t *manifest;
    effort_result_t efforts[MAX_EFFORTS];
    size_t efforts_size;
    effort_kind_t kind;
    double exact_s;
    size_t searched;
    char *why;
    size_t why_size;
    // of the shard at work
    uint64_t shard;
    size_t count;
    const float *rows;
    check_sample_t sample;
} check_t;

// ---- by effort ----------------------------------------------------------------------------------

// 1, 2, 3, 4, 6, 8, 12… up to what the index has.
static void make_efforts(check_t *self, size_t most)
{
    size_t last = most < LARGEST_EFFORT ? most : LARGEST_EFFORT;
    size_t effort = self->kind == EFFORT_EF_SEARCH ? LEAST_EF : 1;
    if (self->kind == EFFORT_NONE)
        last = effort;
    self->efforts_size = 0;
    for (; effort < last && self->efforts_size < MAX_EFFORTS - 1;
         effort = effort & (effort - 1) ? effort / 3 * 4
                  : effort > 1          ? effort / 2 * 3
                                        : 2)
        self->efforts[self->efforts_size++].effort = effort;
    self->efforts[self->efforts_size++].effort = last > 0 ? last : 1;
}

static int search_effort(check_t *self, void *source, effort_result_t *tried, bool counts)
{
    size_t d = self->manifest->dimension, k = self->settings->k;
    for (size_t at = 0; at < self->sample.size; at++) {
        result_t result = {0};
        query_t query = {.vector = self->sample.questions + at * d, .dimension = d, .k = k};
        query.efforts[self->kind] = tried->effort;
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
            found += product >= self->sample.least[at] - (float)SAME;
        }
        result_clear(&result);
        if (!counts)
            continue;
        tried->found += (double)(found < wanted ? found : wanted);
        tried->wanted += (double)wanted;
        tried->took_us[tried->size++] = took;
    }
    return 0;
}

static int search_efforts(check_t *self)
{
    source_options_t options = {.threads = 1, .faiss_threads = 1};
    void *source = source_faiss.open(self->store, self->shard, &options, self->why, self->why_size);
    if (!source)
        return -1;
    source_faiss.warm(source, 0);
    int rc = search_effort(self, source, &self->efforts[0], false);
    double all = 0, before = 0, found = 0;
    for (size_t at = 0; rc == 0 && at < self->efforts_size; at++) {
        effort_result_t *tried = &self->efforts[at];
        if (found > 0 && found >= ALL * all && before >= ALL * all) { // nothing more to be found
            tried->found += found;
            tried->wanted += all;
            continue;
        }
        before = found;
        double had = tried->found, of = tried->wanted;
        tried->took_us =
            rl_realloc(tried->took_us, tried->size + self->sample.size, sizeof *tried->took_us);
        rc = search_effort(self, source, tried, true);
        found = tried->found - had;
        all = tried->wanted - of;
    }
    source_faiss.close(source);
    return rc;
}

// ---- shards -------------------------------------------------------------------------------------

static int check_shard(check_t *self)
{
    generation_vectors_t *vectors =
        generation_vectors_open(self->store, self->shard, self->why, self->why_size);
    if (!vectors)
        return -1;
    int rc = 0;
    self->rows = generation_vectors_rows(vectors);
    if (self->rows) {
        uint64_t began = rl_now_us();
        check_sample_make(&self->sample, self->rows, self->count, self->manifest->dimension,
                          self->settings->questions, self->settings->k);
        self->exact_s += (double)(rl_now_us() - began) / 1e6;
        rc = search_efforts(self);
        self->searched += self->sample.size;
    } else {
        rc = rl_fail(self->why, self->why_size,
                     "shard %" PRIu64 ": this index (%s) does not have the vectors themselves, and "
                     "no " ROWS_FILE " lies beside it: build it again (ragline-index)",
                     self->shard, self->manifest->factory);
    }
    check_sample_clear(&self->sample);
    generation_vectors_close(&vectors);
    return rc;
}

// What searches of the shards' indexes can be told.
static int find_effort_kind(check_t *self)
{
    size_t most = 0;
    for (uint64_t shard = 0; shard < self->manifest->shards; shard++) {
        char *path = store_path(self->store, shard, VECTORS_FILE), inner[512];
        FaissIndex *index = NULL;
        bool ignored;
        size_t of = 0;
        int rc = faiss_index_read(path, &index, &ignored, inner, sizeof inner);
        if (rc == 0)
            self->kind = faiss_index_effort(index, &of);
        else
            rl_fail(self->why, self->why_size, "%s: FAISS cannot read it: %s", path, inner);
        most = of > most ? of : most;
        if (index)
            faiss_Index_free(index);
        free(path);
        if (rc != 0)
            return -1;
    }
    make_efforts(self, most);
    return 0;
}

// ---- the table ----------------------------------------------------------------------------------

static int compare_us(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

static double recall_of(const effort_result_t *tried)
{
    return tried->wanted > 0 ? tried->found / tried->wanted : 1;
}

static double ms_at(const effort_result_t *tried, double share)
{
    return tried->size ? (double)tried->took_us[(size_t)(share * (double)(tried->size - 1))] / 1000
                       : 0;
}

// The least effort that is enough; if none is, the least that finds about as much as any.
static const effort_result_t *choose_effort(const check_t *self, double *most)
{
    static const double ABOUT = 0.002;
    *most = 0;
    for (size_t at = 0; at < self->efforts_size; at++)
        *most = fmax(*most, recall_of(&self->efforts[at]));
    double enough = fmin(self->settings->recall, *most - ABOUT);
    size_t at = 0;
    while (recall_of(&self->efforts[at]) <
           (*most >= self->settings->recall ? self->settings->recall : enough))
        at++;
    return &self->efforts[at];
}

static void print_table(check_t *self, const effort_result_t *chosen)
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
    for (size_t at = 0; at < self->efforts_size; at++) {
        const effort_result_t *tried = &self->efforts[at];
        char effort[24] = "";
        if (tried->size == 0)
            continue;
        if (any)
            snprintf(effort, sizeof effort, "%zu", tried->effort);
        fprintf(self->out, "  %9s  %10.4f %8.2f %8.2f%s\n", effort, recall_of(tried),
                ms_at(tried, 0.5), ms_at(tried, 0.99), any && tried == chosen ? "  *" : "");
    }
    fputc('\n', self->out);
}

static int keep_effort(check_t *self, const effort_result_t *chosen)
{
    char found[512], checked[GENERATION_TIMESTAMP];
    generation_timestamp(checked);
    snprintf(found, sizeof found,
             "{\"k\":%zu,\"recall\":%.4f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"questions\":%zu,"
             "\"checked\":\"%s\"}",
             self->settings->k, recall_of(chosen), ms_at(chosen, 0.5), ms_at(chosen, 0.99),
             self->searched, checked);
    return store_set_effort(self->store, self->kind, chosen->effort, found, self->why,
                            self->why_size);
}

// Returns as check_index does.
static int conclude_check(check_t *self)
{
    double most;
    for (size_t at = 0; at < self->efforts_size; at++)
        qsort(self->efforts[at].took_us, self->efforts[at].size, sizeof(uint64_t), compare_us);
    const effort_result_t *chosen = choose_effort(self, &most);
    bool enough = most >= self->settings->recall;
    print_table(self, chosen);
    if (self->kind == EFFORT_NONE) {
        fprintf(self->out, "this kind of index has no effort to choose\n");
        return enough ? 0 : 1;
    }
    if (keep_effort(self, chosen) != 0)
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

int check_index(const check_settings_t *settings, FILE *out, char *why, size_t why_size)
{
    check_t self = {.settings = settings, .out = out, .why = why, .why_size = why_size};
    self.store = store_open(settings->folder, false, why, why_size);
    if (!self.store)
        return -1;
    self.manifest = store_manifest(self.store);
    int rc = self.manifest->dimension > 0 && self.manifest->passages > 0
                 ? find_effort_kind(&self)
                 : rl_fail(why, why_size, "%s: has no vectors to search", settings->folder);
    for (self.shard = 0; rc == 0 && self.shard < self.manifest->shards; self.shard++) {
        self.count = self.manifest->shard_passages[self.shard];
        if (self.count > 0)
            rc = check_shard(&self);
    }
    if (rc == 0)
        rc = conclude_check(&self);
    for (size_t at = 0; at < MAX_EFFORTS; at++)
        free(self.efforts[at].took_us);
    store_destroy(&self.store);
    return rc;
}
