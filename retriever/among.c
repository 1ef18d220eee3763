// among: a search for the nearest vectors of those passages that a filter keeps.
#include "among.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "faiss_select.h"
#include "files.h"
#include "vectors.h"

enum {
    // A candidate that a search of a graph keeps costs as much as so many vectors compared one by
    // one: 100,000 x 384, 2 to 3 us, and 0.23 us.
    STEP = 10,
    LIST_FEW = 2048, // vectors of an inverted file that are rather compared one by one
    MARGIN = 2,      // the share of a selection among the best may be so much smaller than in all
    WIDER = 4,       // each time that it was
};

struct rl_among {
    FaissIndex *index;
    const rl_flat_t *flat;
    size_t effort, count, dimension;
    const float *rows; // NULL: not kept as floats
    bool graph;        // rows, but a search does not read them all
    size_t lists, probes;
    bool rebuilds; // single vectors can be had from the index
};

rl_among_t *rl_among_new(FaissIndex *index, const rl_flat_t *flat, size_t effort)
{
    rl_among_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->index = index;
    self->flat = flat;
    self->effort = effort;
    self->count = (size_t)faiss_Index_ntotal(index);
    self->dimension = (size_t)faiss_Index_d(index);
    self->rows = rl_faiss_rows(index);
    self->graph = self->rows && !rl_faiss_is_flat(index);
    if (rl_faiss_lists(index, &self->lists, &self->probes))
        rl_faiss_map_lists(index);
    float *vector = malloc(self->dimension * sizeof *vector);
    self->rebuilds = vector && self->count > 0 && faiss_Index_reconstruct(index, 0, vector) == 0;
    free(vector);
    return self;
}

void rl_among_destroy(rl_among_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

// ---- one by one ---------------------------------------------------------------------------------

// Of an index without floats: each vector is made from what the index keeps, as its own search
// does.
static int compare_rebuilt(const rl_among_t *self, const float *query, size_t k,
                           const rl_selection_t *among, float *scores, int64_t *labels, char *why,
                           size_t why_size)
{
    rl_best_t best = {scores, labels, 0, k};
    size_t words = rl_selection_words(among);
    float *vector = malloc(self->dimension * sizeof *vector);
    int rc = vector ? 0 : rl_fail(why, why_size, "out of memory");
    for (size_t word = 0; rc == 0 && word < words; word++)
        for (uint64_t left = among->bits[word]; rc == 0 && left; left &= left - 1) {
            size_t row = word * 64 + (size_t)__builtin_ctzll(left);
            if (faiss_Index_reconstruct(self->index, (idx_t)row, vector) != 0)
                rc = rl_fail(why, why_size, "%s", rl_faiss_error());
            else
                rl_best_offer(&best, rl_flat_product(vector, self->dimension, query), row);
        }
    rl_best_end(&best);
    free(vector);
    return rc;
}

static int compare_each(const rl_among_t *self, const float *query, size_t k,
                        const rl_selection_t *among, float *scores, int64_t *labels, char *why,
                        size_t why_size)
{
    if (!self->rows)
        return compare_rebuilt(self, query, k, among, scores, labels, why, why_size);
    rl_flat_search_rows(self->rows, self->dimension, query, k, among, scores, labels);
    return 0;
}

static int search_flat(const rl_among_t *self, const float *query, size_t k,
                       const rl_selection_t *among, float *scores, int64_t *labels, char *why,
                       size_t why_size)
{
    if (among->rows || !self->flat)
        return compare_each(self, query, k, among, scores, labels, why, why_size);
    return rl_flat_search(self->flat, query, k, among, scores, labels) == 0
               ? 0
               : rl_fail(why, why_size, "out of memory");
}

// ---- the best of all ----------------------------------------------------------------------------

// Looks for `wide` of all passages and keeps the k best of the selection; returns how many there
// were, or -1 with `why`.
static long look(const rl_among_t *self, const float *query, size_t wide, size_t k,
                 const rl_selection_t *among, float *scores, int64_t *labels, char *why,
                 size_t why_size)
{
    float *wide_scores = malloc(wide * sizeof *wide_scores);
    idx_t *wide_labels = malloc(wide * sizeof *wide_labels);
    size_t found = 0;
    long rc = -1;
    if (!wide_scores || !wide_labels)
        rl_fail(why, why_size, "out of memory");
    else if (faiss_Index_search(self->index, 1, query, (idx_t)wide, wide_scores, wide_labels) != 0)
        rl_fail(why, why_size, "%s", rl_faiss_error());
    else
        rc = 0;
    for (size_t at = 0; rc == 0 && at < wide && found < k; at++) {
        idx_t label = wide_labels[at];
        if (label < 0 || (size_t)label >= among->count || !rl_selection_has(among, (size_t)label))
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

// A graph, or another index that gives the best of all. The k best of the selection are the k best
// of it among the best of all, as soon as there are k.
static int search_wide(const rl_among_t *self, const float *query, size_t k,
                       const rl_selection_t *among, float *scores, int64_t *labels, char *why,
                       size_t why_size)
{
    bool can_compare = self->rows || self->rebuilds;
    double share = (double)among->size / (double)self->count;
    double wide = ceil(MARGIN * (double)k / share) + 1;
    for (;; wide *= WIDER) {
        double kept = wide > (double)self->effort ? wide : (double)self->effort;
        if (can_compare && (double)among->size <= STEP * kept)
            return compare_each(self, query, k, among, scores, labels, why, why_size);
        size_t all = wide < (double)self->count ? (size_t)wide : self->count;
        long found = look(self, query, all, k, among, scores, labels, why, why_size);
        if (found < 0 || (size_t)found >= k || all == self->count)
            return found < 0 ? -1 : 0;
    }
}

// An inverted file knows selections. Where they are few, a list has few of them, so that more lists
// are looked into.
static int search_lists(const rl_among_t *self, const float *query, size_t k,
                        const rl_selection_t *among, float *scores, int64_t *labels, char *why,
                        size_t why_size)
{
    if (among->size <= LIST_FEW && self->rebuilds)
        return compare_each(self, query, k, among, scores, labels, why, why_size);
    double share = (double)among->size / (double)self->count;
    double probes = ceil((double)self->probes / share);
    for (;; probes *= WIDER) {
        size_t lists = probes < (double)self->lists ? (size_t)probes : self->lists;
        if (rl_faiss_search_lists(self->index, query, k, lists, among, scores, labels, why,
                                  why_size) != 0)
            return -1;
        if (labels[k - 1] >= 0 || lists == self->lists)
            return 0;
    }
}

int rl_among_search(const rl_among_t *self, const float *query, size_t k,
                    const rl_selection_t *among, float *scores, int64_t *labels, char *why,
                    size_t why_size)
{
    size_t most = k < among->size ? k : among->size;
    for (size_t at = most; at < k; at++) {
        scores[at] = 0;
        labels[at] = -1;
    }
    if (most == 0)
        return 0;
    if (self->lists > 0)
        return search_lists(self, query, most, among, scores, labels, why, why_size);
    if (self->rows && !self->graph)
        return search_flat(self, query, most, among, scores, labels, why, why_size);
    return search_wide(self, query, most, among, scores, labels, why, why_size);
}
