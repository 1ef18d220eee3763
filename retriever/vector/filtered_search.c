// filtered_search: a search for the nearest vectors of those passages that a filter keeps.
#include "filtered_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "faiss_index.h"
#include "mem.h"
#include "vectors.h"

enum {
    // A candidate that a search of a graph keeps costs as much as so many vectors compared one by
    // one: 100,000 x 384, 2 to 3 us, and 0.23 us.
    STEP = 10,
    // Vectors of an inverted file that are rather compared one by one: of those that have to be
    // made from what it keeps, and of those that lie there in floats (0.23 us each).
    LIST_FEW = 2048,
    ROWS_FEW = 16384,
    MARGIN = 2, // the share of a selection among the best may be so much smaller than in all
    WIDER = 4,  // each time that it was
};

struct filtered_search {
    FaissIndex *index;
    const flat_t *flat;
    size_t count, dimension;
    effort_kind_t kind;
    const float *rows; // NULL: not kept as floats
    bool graph;        // over rows of its own
    size_t lists;
    bool rebuilds; // single vectors can be had from the index
};

filtered_search_t *filtered_search_new(FaissIndex *index, const flat_t *flat, const float *rows)
{
    size_t most;
    filtered_search_t *self = rl_new(*self);
    self->index = index;
    self->flat = flat;
    self->kind = faiss_index_effort(index, &most);
    self->count = (size_t)faiss_Index_ntotal(index);
    self->dimension = (size_t)faiss_Index_d(index);
    self->graph = faiss_index_rows(index) && !faiss_index_is_flat(index);
    self->rows = rows ? rows : faiss_index_rows(index);
    if (faiss_index_lists(index, &self->lists) && !self->rows)
        faiss_index_map_lists(index);
    float *vector = rl_alloc_array(self->dimension, sizeof *vector);
    self->rebuilds = self->count > 0 && faiss_Index_reconstruct(index, 0, vector) == 0;
    free(vector);
    return self;
}

void filtered_search_destroy(filtered_search_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

// ---- one by one ---------------------------------------------------------------------------------

// Of an index without floats: each vector is made from what the index keeps, as its own search
// does.
static int compare_rebuilt(const filtered_search_t *self, const float *query, size_t k,
                           const selection_t *selection, float *scores, int64_t *labels, char *why,
                           size_t why_size)
{
    top_k_t best = {scores, labels, 0, k};
    size_t words = selection_words(selection);
    float *vector = rl_alloc_array(self->dimension, sizeof *vector);
    int rc = 0;
    for (size_t word = 0; rc == 0 && word < words; word++)
        for (uint64_t left = selection->bits[word]; rc == 0 && left; left &= left - 1) {
            size_t row = word * 64 + (size_t)__builtin_ctzll(left);
            if (faiss_Index_reconstruct(self->index, (idx_t)row, vector) != 0)
                rc = rl_fail(why, why_size, "%s", vectors_faiss_error());
            else
                top_k_offer(&best, flat_product(vector, self->dimension, query), row);
        }
    top_k_end(&best);
    free(vector);
    return rc;
}

static int compare_each(const filtered_search_t *self, const float *query, size_t k,
                        const selection_t *selection, float *scores, int64_t *labels, char *why,
                        size_t why_size)
{
    if (!self->rows)
        return compare_rebuilt(self, query, k, selection, scores, labels, why, why_size);
    flat_search_rows(self->rows, self->dimension, query, k, selection, scores, labels);
    return 0;
}

static int search_flat(const filtered_search_t *self, const float *query, size_t k,
                       const selection_t *selection, float *scores, int64_t *labels, char *why,
                       size_t why_size)
{
    if (selection->rows || !self->flat)
        return compare_each(self, query, k, selection, scores, labels, why, why_size);
    flat_search(self->flat, query, k, selection, scores, labels);
    return 0;
}

// ---- the best of all ----------------------------------------------------------------------------

// Looks for `wide` of all passages and keeps the k best of the selection; returns how many there
// were, or -1 with `why`.
static long search_all_and_filter(const filtered_search_t *self, const float *query, size_t wide,
                                  size_t k, size_t effort, const selection_t *selection,
                                  float *scores, int64_t *labels, char *why, size_t why_size)
{
    float *wide_scores = rl_must(malloc(wide * sizeof *wide_scores));
    idx_t *wide_labels = rl_must(malloc(wide * sizeof *wide_labels));
    size_t found = 0;
    int rc = faiss_index_search(self->index, query, wide, self->kind, effort, wide_scores,
                                wide_labels, why, why_size);
    for (size_t at = 0; rc == 0 && at < wide && found < k; at++) {
        idx_t label = wide_labels[at];
        if (label < 0 || (size_t)label >= selection->count ||
            !selection_has(selection, (size_t)label))
            continue;
        scores[found] = wide_scores[at];
        labels[found++] = label;
    }
    for (size_t at = found; at < k; at++)
        labels[at] = -1;
    free(wide_scores);
    free(wide_labels);
    return rc == 0 ? (long)found : -1;
}

// How many of all are looked for, so that there are k of the selection among them.
static double first_wide(const filtered_search_t *self, const selection_t *selection, size_t k)
{
    double share = (double)selection->size / (double)self->count;
    return ceil(MARGIN * (double)k / share) + 1;
}

static bool is_rather_compared(const filtered_search_t *self, const selection_t *selection,
                               double wide, size_t effort)
{
    double kept = wide > (double)effort ? wide : (double)effort;
    return (self->rows || self->rebuilds) && (double)selection->size <= STEP * kept;
}

// A graph, or another index that gives the best of all. The k best of the selection are the k best
// of it among the best of all, as soon as there are k.
static int search_wide(const filtered_search_t *self, const float *query, size_t k,
                       const selection_t *selection, size_t effort, float *scores, int64_t *labels,
                       char *why, size_t why_size)
{
    for (double wide = first_wide(self, selection, k);; wide *= WIDER) {
        if (is_rather_compared(self, selection, wide, effort))
            return compare_each(self, query, k, selection, scores, labels, why, why_size);
        size_t all = wide < (double)self->count ? (size_t)wide : self->count;
        long found = search_all_and_filter(self, query, all, k, effort, selection, scores, labels,
                                           why, why_size);
        if (found < 0 || (size_t)found >= k || all == self->count)
            return found < 0 ? -1 : 0;
    }
}

// Where few are kept, a list has few of them, so that more lists are looked into.
static double first_probes(const filtered_search_t *self, const selection_t *selection,
                           size_t effort)
{
    return ceil((double)effort * (double)self->count / (double)selection->size);
}

static bool are_few(const filtered_search_t *self, const selection_t *selection)
{
    return self->rows ? selection->size <= ROWS_FEW : selection->size <= LIST_FEW && self->rebuilds;
}

// An inverted file knows selections.
static int search_lists(const filtered_search_t *self, const float *query, size_t k,
                        const selection_t *selection, size_t effort, float *scores, int64_t *labels,
                        char *why, size_t why_size)
{
    if (are_few(self, selection))
        return compare_each(self, query, k, selection, scores, labels, why, why_size);
    for (double probes = first_probes(self, selection, effort);; probes *= WIDER) {
        size_t lists = probes < (double)self->lists ? (size_t)probes : self->lists;
        if (faiss_index_search_lists(self->index, query, k, lists, selection, scores, labels, why,
                                     why_size) != 0)
            return -1;
        if (labels[k - 1] >= 0 || lists == self->lists)
            return 0;
    }
}

size_t filtered_search_effort(const filtered_search_t *self, const selection_t *selection, size_t k,
                              size_t effort)
{
    if (self->kind == EFFORT_NPROBE && selection->size > 0 && !are_few(self, selection)) {
        double probes = first_probes(self, selection, effort);
        return probes < (double)self->lists ? (size_t)probes : self->lists;
    }
    if (self->kind == EFFORT_EF_SEARCH && selection->size > 0) {
        double wide = first_wide(self, selection, k);
        if (!is_rather_compared(self, selection, wide, effort))
            return wide > (double)effort ? (size_t)wide : effort;
    }
    return 0;
}

int filtered_search_run(const filtered_search_t *self, const float *query, size_t k,
                        const selection_t *selection, size_t effort, float *scores, int64_t *labels,
                        char *why, size_t why_size)
{
    size_t most = k < selection->size ? k : selection->size;
    for (size_t at = most; at < k; at++) {
        scores[at] = 0;
        labels[at] = -1;
    }
    if (most == 0)
        return 0;
    if (self->kind == EFFORT_NPROBE)
        return search_lists(self, query, most, selection, effort, scores, labels, why, why_size);
    if (self->flat || faiss_index_is_flat(self->index))
        return search_flat(self, query, most, selection, scores, labels, why, why_size);
    return search_wide(self, query, most, selection, effort, scores, labels, why, why_size);
}
