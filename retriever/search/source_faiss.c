// source_faiss: nearest vectors of a shard, by FAISS's C API.
#include "source.h"

#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/utils/distances_c.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "blas.h"
#include "clock.h"
#include "fail.h"
#include "faiss_index.h"
#include "filtered_search.h"
#include "flat.h"
#include "log.h"
#include "mem.h"
#include "vectors.h"

typedef struct faiss_source {
    const store_t *store;
    uint64_t shard;
    size_t dimension;
    size_t count;
    int faiss_threads;
    size_t batch; // queries that are worth searching together
    FaissIndex *index;
    const float *rows; // the vectors in floats, mapped, beside an index without them; or NULL
    flat_t *flat;      // for few questions at a time, if the index is flat
    filtered_search_t *filtered; // for questions with a filter
    effort_kind_t kind;
    size_t most;         // effort that makes sense
    atomic_size_t usual; // effort of a question that names none
    effort_cost_t *cost;
} faiss_source_t;

enum {
    // Candidates that a search of a graph keeps, and lists that a search of an inverted file looks
    // into, where the manifest names no effort (ragline-index --check writes it): FAISS's own 16
    // and 1 find too little.
    EF_SEARCH = 128,
    N_PROBE = 16,
    N_PROBE_OF = 64,  // or one of so many lists
    REFINE = 2,       // times k: candidates of a quantizer, scored again by the vectors themselves
    RETURN_US = 2000, // of the time left are kept for passages and their way back
    HUGE_PAGE = 2 << 20, // bytes, on x86-64 and most others
    // Queries from which on a matrix product pays. Measured at 5,000 and 50,000 x 384, one thread,
    // CPU time of a call: even at 3 to 4, 1.5 times as fast at 8, twice at 16; FAISS's default
    // is 20.
    PRODUCT_FROM = 4,
    // Fewer are searched one by one in bytes where the index is flat: 5,000 x 384, ms a question: 1
    // 0.10 (FAISS 0.27), 4 0.10 (0.21), 8 0.10 (0.12); after a pause of 0.1 s 0.2 (1.0).
    FLAT_BELOW = 8,
    // More are together in bytes, if the CPU can: 50,000 x 384, ms for 1 1.4 (alone), for 3 2.7,
    // for 8 2.7, for 64 17 (FAISS 33).
    FLAT_MANY_FROM = 3,
    FLAT_THREADS = 2, // with more of them FAISS is faster
};

static bool has_vectors(const manifest_t *manifest)
{
    return manifest->dimension > 0;
}

static void close_source(void *arg)
{
    faiss_source_t *self = arg;
    if (!self)
        return;
    effort_cost_destroy(&self->cost);
    filtered_search_destroy(&self->filtered);
    flat_destroy(&self->flat);
    if (self->index)
        faiss_Index_free(self->index);
    vectors_unmap(self->rows, self->count, self->dimension);
    free(self);
}

// The effort of questions that name none: the manifest's, else a guess.
static void tune_effort(void *arg, const manifest_t *manifest)
{
    faiss_source_t *self = arg;
    size_t usual = 0;
    if (self->kind == EFFORT_NPROBE) {
        size_t guess = self->most / N_PROBE_OF > N_PROBE ? self->most / N_PROBE_OF : N_PROBE;
        usual = manifest->nprobe ? manifest->nprobe : guess;
    } else if (self->kind == EFFORT_EF_SEARCH) {
        usual = manifest->ef_search ? manifest->ef_search : EF_SEARCH;
    }
    atomic_store(&self->usual, usual < self->most ? usual : self->most);
}

// Efforts that the parameters of a single search do not reach: of the graph that finds the lists of
// an inverted file, of a graph behind a transformation, of lists of the fast scan.
static void set_efforts(faiss_source_t *self, const char *factory)
{
    FaissParameterSpace *space = NULL;
    bool lists = strstr(factory, "IVF") != NULL;
    if (faiss_ParameterSpace_new(&space) != 0)
        return;
    if (strstr(factory, "HNSW"))
        faiss_ParameterSpace_set_index_parameter(
            space, self->index, lists ? "quantizer_efSearch" : "efSearch", EF_SEARCH);
    if (lists)
        faiss_ParameterSpace_set_index_parameter(space, self->index, "nprobe", N_PROBE);
    faiss_ParameterSpace_free(space);
}

// A flat search reads all vectors in a row. In huge pages the CPU's prefetching is not stopped at
// every 4 KiB: 5,000 x 384, not in the caches after a pause of 0.1 s, 1.16 to 0.75 ms.
static void prepare_flat(faiss_source_t *self)
{
    FaissIndexFlat *flat = faiss_IndexFlat_cast(self->index);
    float *vectors = NULL;
    size_t size = 0;
    if (!flat)
        return;
    faiss_IndexFlat_xb(flat, &vectors, &size);
    if (self->faiss_threads <= FLAT_THREADS && size == self->count * self->dimension)
        self->flat = flat_new(vectors, self->count, self->dimension);
    uintptr_t from = ((uintptr_t)vectors + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    uintptr_t to = ((uintptr_t)vectors + size * sizeof *vectors) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (from >= to)
        return;
    madvise((void *)from, to - from, MADV_HUGEPAGE);
#ifdef MADV_COLLAPSE
    madvise((void *)from, to - from, MADV_COLLAPSE); // at once; it works without (Linux before 6.1)
#endif
}

static int load_index(faiss_source_t *self, const manifest_t *manifest, char *why, size_t why_size)
{
    char *path = store_path(self->store, self->shard, VECTORS_FILE);
    char inner[512];
    bool mapped = false;
    uint64_t began = rl_now_us();
    int rc = 0;
    if (faiss_index_read(path, &self->index, &mapped, inner, sizeof inner) != 0) {
        rc = rl_fail(why, why_size,
                     "%s: FAISS cannot read it: %s; build the index again "
                     "(ragline-index)",
                     path, inner);
    } else if (faiss_Index_d(self->index) != (int)manifest->dimension ||
               faiss_Index_ntotal(self->index) != (idx_t)self->count ||
               faiss_Index_metric_type(self->index) != METRIC_INNER_PRODUCT) {
        rc = rl_fail(why, why_size,
                     "%s: has %" PRId64 " vectors of %d components, the manifest says %zu of "
                     "%" PRIu64 "; build the index again (ragline-index)",
                     path, (int64_t)faiss_Index_ntotal(self->index), faiss_Index_d(self->index),
                     self->count, manifest->dimension);
    } else {
        rl_info("%s: %zu vectors, %s, %s in %.1f ms", path, self->count, manifest->factory,
                mapped ? "mapped" : "read (this kind of index cannot be mapped)",
                (double)(rl_now_us() - began) / 1000);
    }
    free(path);
    path = store_path(self->store, self->shard, "");
    if (rc == 0 && !faiss_index_rows(self->index))
        self->rows = vectors_map(path, self->count, self->dimension);
    free(path);
    return rc;
}

// Prepares searches of the index that was loaded.
static void prepare_search(faiss_source_t *self, const manifest_t *manifest)
{
    self->kind = faiss_index_effort(self->index, &self->most);
    self->cost = effort_cost_new();
    set_efforts(self, manifest->factory);
    if (self->faiss_threads > 1)
        faiss_index_share_lists(self->index);
    prepare_flat(self);
    tune_effort(self, manifest);
    self->filtered = filtered_search_new(self->index, self->flat, self->rows);
    // A flat search of many is a matrix product (0.65 ms a question instead of 2.6 at 50,000 x
    // 384); other kinds gain nothing from it.
    self->batch = strcmp(manifest->factory, "Flat") == 0 ? SOURCE_BATCH : 1;
}

static void *open_source(const store_t *store, uint64_t shard, const source_options_t *options,
                         char *why, size_t why_size)
{
    const manifest_t *manifest = store_manifest(store);
    faiss_source_t *self = rl_new(*self);
    self->store = store;
    self->shard = shard;
    self->dimension = manifest->dimension;
    self->count = manifest->shard_passages[shard];
    self->faiss_threads = (int)options->faiss_threads;
    openblas_set_num_threads(self->faiss_threads);
    faiss_set_distance_compute_blas_threshold(PRODUCT_FROM);
    if (load_index(self, manifest, why, why_size) != 0) {
        close_source(self);
        return NULL;
    }
    prepare_search(self, manifest);
    return self;
}

static size_t batch_size(const void *arg)
{
    const faiss_source_t *self = arg;
    return self->batch;
}

static bool is_searchable(const faiss_source_t *self, const query_t *query, result_t *result)
{
    if (!query->vector || query->dimension == 0) {
        result_fail(result, "bad_request", false,
                    "a dense search needs the question's vector, and there is none");
        return false;
    }
    if (query->dimension != self->dimension) {
        result_fail(result, "wrong_dimension", false,
                    "the question's vector has %zu components, this index has %zu: it was built "
                    "with another embedding model (set embed.model, or build it again)",
                    query->dimension, self->dimension);
        return false;
    }
    return true;
}

// Whether the passage has no vector: zeros stand for it in the index. Only asked of products of 0,
// which a passage with a vector can have too.
static bool is_vectorless(const faiss_source_t *self, idx_t label)
{
    const float *rows = self->rows ? self->rows : faiss_index_rows(self->index);
    if (rows)
        return vectors_is_zero(rows + (size_t)label * self->dimension, self->dimension);
    float *row = rl_alloc_array(self->dimension, sizeof *row);
    bool zero = faiss_Index_reconstruct(self->index, label, row) == 0 &&
                vectors_is_zero(row, self->dimension);
    free(row);
    return zero;
}

// Ids and scores of one row of FAISS's answer, which marks what it did not find with -1.
static void give_row(const faiss_source_t *self, size_t k, const float *distances,
                     const idx_t *labels, result_t *result)
{
    uint64_t ids[RL_MAX_HITS];
    double scores[RL_MAX_HITS];
    size_t found = 0;
    for (size_t at = 0; at < k; at++) {
        if (labels[at] < 0 || labels[at] >= (idx_t)self->count || !isfinite(distances[at]) ||
            (distances[at] == 0 && is_vectorless(self, labels[at])))
            continue;
        ids[found] = (uint64_t)labels[at] + 1;
        scores[found++] = distances[at];
    }
    result_fill(result, self->store, self->shard, ids, scores, found);
}

// The k best of each row of the matrix. Returns 0, or what FAISS returned.
static int search_rows(faiss_source_t *self, const float *matrix, size_t count, size_t k,
                       float *distances, idx_t *labels)
{
    bool flat = self->flat && k <= FLAT_MAX_K;
    if (flat && count >= FLAT_MANY_FROM &&
        flat_search_many(self->flat, matrix, count, k, distances, labels) == 0)
        return 0;
    if (flat && count < FLAT_BELOW) {
        for (size_t row = 0; row < count; row++)
            flat_search(self->flat, matrix + row * self->dimension, k, NULL, distances + row * k,
                        labels + row * k);
        return 0;
    }
    omp_set_num_threads(self->faiss_threads); // counts for the calling thread only
    return faiss_Index_search(self->index, (idx_t)count, matrix, (idx_t)k, distances, labels);
}

// ---- effort -------------------------------------------------------------------------------------

static effort_t effort_of(faiss_source_t *self, const query_t *query)
{
    size_t wanted = query->efforts[self->kind] ? query->efforts[self->kind] : self->usual;
    if (self->kind == EFFORT_EF_SEARCH && wanted < query->k)
        wanted = query->k; // as FAISS does
    if (wanted > self->most)
        wanted = self->most;
    return (effort_t){self->kind, wanted, wanted};
}

// Lowers `used` so that a search whose effort is `factor` times as much is done in time: a late
// answer is worth less than a slightly worse one.
static void lower_effort(faiss_source_t *self, const query_t *query, double factor,
                         effort_t *effort)
{
    if (!query->until_us || effort->wanted == 0)
        return;
    uint64_t now = rl_now_us(), until = query->until_us - RETURN_US;
    uint64_t left = query->until_us > RETURN_US && until > now ? until - now : 0;
    size_t least = self->kind == EFFORT_EF_SEARCH ? query->k : 1;
    size_t whole = (size_t)(factor * (double)effort->wanted);
    size_t fits = effort_cost_fit(self->cost, whole, 1, left);
    if (fits < whole) {
        size_t used = (size_t)((double)fits / factor);
        effort->used = used > least ? used : least < effort->wanted ? least : effort->wanted;
    }
}

// How many candidates to look for: a quantizer's order is approximate, so more are taken than are
// wanted, and refine_order puts them in the order of the vectors themselves.
static size_t candidate_count(const faiss_source_t *self, size_t k)
{
    return self->rows ? REFINE * k : k;
}

static void refine_order(const faiss_source_t *self, const float *query, size_t found, size_t k,
                         float *scores, idx_t *labels)
{
    float best_scores[RL_MAX_HITS];
    int64_t best_labels[RL_MAX_HITS];
    top_k_t best = {best_scores, best_labels, 0, k};
    if (!self->rows)
        return;
    for (size_t at = 0; at < found; at++)
        if (labels[at] >= 0 && labels[at] < (idx_t)self->count)
            top_k_offer(&best,
                        flat_product(self->rows + (size_t)labels[at] * self->dimension,
                                     self->dimension, query),
                        (size_t)labels[at]);
    top_k_end(&best);
    memcpy(scores, best_scores, k * sizeof *scores);
    memcpy(labels, best_labels, k * sizeof *labels);
}

// A question with a filter is searched among the passages that the filter keeps.
static void search_among(faiss_source_t *self, const query_t *query, result_t *result)
{
    float scores[REFINE * RL_MAX_HITS];
    idx_t labels[REFINE * RL_MAX_HITS];
    char why[256];
    selection_t *selection = NULL;
    if (!result_select(result, self->store, self->shard, query, &selection))
        return;
    effort_t effort = effort_of(self, query);
    size_t whole = filtered_search_effort(self->filtered, selection, query->k, effort.wanted);
    if (whole > 0)
        lower_effort(self, query, (double)whole / (double)effort.wanted, &effort);
    omp_set_num_threads(self->faiss_threads);
    size_t wide = whole > 0 ? candidate_count(self, query->k) : query->k;
    if (filtered_search_run(self->filtered, query->vector, wide, selection, effort.used, scores,
                            labels, why, sizeof why) == 0) {
        if (wide > query->k)
            refine_order(self, query->vector, wide, query->k, scores, labels);
        give_row(self, query->k, scores, labels, result);
    } else {
        result_fail(result, "search_failed", true, "FAISS: %s", why);
    }
    if (whole > 0) // else they were compared one by one
        result->effort = effort;
    selection_unref(&selection);
}

// A question to an index whose searches take an effort.
static void search_one(faiss_source_t *self, const query_t *query, result_t *result)
{
    float scores[REFINE * RL_MAX_HITS];
    idx_t labels[REFINE * RL_MAX_HITS];
    char why[256];
    size_t k = query->k < self->count ? query->k : self->count;
    if (k == 0)
        return;
    effort_t effort = effort_of(self, query);
    lower_effort(self, query, 1, &effort);
    omp_set_num_threads(self->faiss_threads);
    uint64_t began = rl_now_us();
    size_t wide = candidate_count(self, k);
    int rc = faiss_index_search(self->index, query->vector, wide, effort.kind, effort.used, scores,
                                labels, why, sizeof why);
    if (rc == 0)
        refine_order(self, query->vector, wide, k, scores, labels);
    effort_cost_note(self->cost, effort.used, rl_now_us() - began);
    if (rc == 0)
        give_row(self, k, scores, labels, result);
    else
        result_fail(result, "search_failed", true, "FAISS: %s", why);
    result->effort = effort;
}

// ---- searching ----------------------------------------------------------------------------------

static void search_together(faiss_source_t *self, const query_t *queries, const size_t *rows,
                            size_t count, size_t k, result_t *results)
{
    float *matrix = rl_must(malloc(count * self->dimension * sizeof *matrix));
    float *distances = rl_must(malloc(count * k * sizeof *distances));
    idx_t *labels = rl_must(malloc(count * k * sizeof *labels));
    for (size_t row = 0; row < count; row++)
        memcpy(matrix + row * self->dimension, queries[rows[row]].vector,
               self->dimension * sizeof *matrix);
    int rc = search_rows(self, matrix, count, k, distances, labels);
    for (size_t row = 0; row < count; row++) {
        size_t wanted = queries[rows[row]].k < k ? queries[rows[row]].k : k;
        if (rc == 0)
            give_row(self, wanted, distances + row * k, labels + row * k, &results[rows[row]]);
        else
            result_fail(&results[rows[row]], "search_failed", true, "FAISS: %s",
                        vectors_faiss_error());
    }
    free(matrix);
    free(distances);
    free(labels);
}

static void search(void *arg, size_t thread, const query_t *queries, size_t size, result_t *results)
{
    faiss_source_t *self = arg;
    (void)thread;
    size_t rows[SOURCE_BATCH], count = 0, k = 1;
    for (size_t at = 0; at < size; at++) {
        if (!is_searchable(self, &queries[at], &results[at]))
            continue;
        if (query_selects(&queries[at])) {
            search_among(self, &queries[at], &results[at]);
        } else if (self->kind != EFFORT_NONE) {
            search_one(self, &queries[at], &results[at]);
        } else {
            rows[count++] = at;
            k = queries[at].k > k ? queries[at].k : k;
        }
    }
    k = k < self->count ? k : self->count;
    if (count > 0 && k > 0)
        search_together(self, queries, rows, count, k, results);
}

static void warm_up(void *arg, size_t thread)
{
    faiss_source_t *self = arg;
    float *vector = rl_alloc_array(self->dimension, sizeof *vector);
    for (size_t query = 0; query < SOURCE_WARM; query++) { // of directions far from each other
        size_t axis = query * self->dimension / SOURCE_WARM;
        query_t asked = {.vector = vector, .dimension = self->dimension, .k = 10};
        vector[axis] = 1;
        // for effort_cost: a search of least effort, and one of the usual effort
        for (int least = self->kind != EFFORT_NONE; least >= 0; least--) {
            result_t result = {0};
            asked.k = least ? 1 : 10;
            asked.efforts[self->kind] = (size_t)least;
            search(self, thread, &asked, 1, &result);
            result_clear(&result);
        }
        vector[axis] = 0;
    }
    free(vector);
}

const source_backend_t source_faiss = {
    .kind = SOURCE_DENSE,
    .suits = has_vectors,
    .open = open_source,
    .batch = batch_size,
    .search = search,
    .tune = tune_effort,
    .warm = warm_up,
    .close = close_source,
};
