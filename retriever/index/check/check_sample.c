// check_sample: rows at even distances with noise, and the exact search of all rows for each.
#include "check_sample.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "embedding.h"
#include "faiss_index.h"
#include "flat.h"
#include "mem.h"
#include "vectors.h"

enum {
    ROWS_AT_ONCE = 16384, // compared with all questions
};

static const double NOISE = 1; // its length: the question's cosine with the vector is about .7

// The same noise for the same question at every call: splitmix64 (Vigna), and the sum of twelve
// uniform numbers (Irwin and Hall) for a normal one.
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
    // a row of a damaged file may have no length: it is searched as it is
    if (rl_embedding_normalise(out, dimension, out) != 0)
        memcpy(out, row, dimension * sizeof *out);
}

// The inner product of each question with the k-th best of all rows.
static void search_exactly(check_sample_t *self, const float *rows, size_t count, size_t dimension,
                           size_t k)
{
    size_t n = self->size;
    float *scores = rl_alloc_array(n * k, sizeof *scores);
    float *best_scores = rl_alloc_array(n * k, sizeof *best_scores);
    int64_t *labels = rl_alloc_array(n * k, sizeof *labels);
    int64_t *best_labels = rl_alloc_array(n * k, sizeof *best_labels);
    top_k_t *bests = rl_alloc_array(n, sizeof *bests);
    for (size_t at = 0; at < n; at++)
        bests[at] = (top_k_t){best_scores + at * k, best_labels + at * k, 0, k};
    for (size_t from = 0; from < count; from += ROWS_AT_ONCE) {
        size_t size = count - from < ROWS_AT_ONCE ? count - from : ROWS_AT_ONCE;
        if (faiss_index_search_rows(rows + from * dimension, size, dimension, from, self->questions,
                                    n, k, scores, labels) != 0)
            rl_out_of_memory();
        for (size_t at = 0; at < n * k; at++)
            if (labels[at] >= 0)
                top_k_offer(&bests[at / k], scores[at], (size_t)labels[at]);
    }
    for (size_t at = 0; at < n; at++)
        self->least[at] = bests[at].size > 0 ? bests[at].scores[bests[at].size - 1] : INFINITY;
    free(scores);
    free(best_scores);
    free(labels);
    free(best_labels);
    free(bests);
}

void check_sample_make(check_sample_t *self, const float *rows, size_t count, size_t dimension,
                       size_t most, size_t k)
{
    self->size = count < most ? count : most;
    self->questions = rl_alloc_array(self->size * dimension, sizeof *self->questions);
    self->least = rl_alloc_array(self->size, sizeof *self->least);
    for (size_t at = 0; at < self->size; at++)
        add_noise(rows + count * at / self->size * dimension, dimension, at,
                  self->questions + at * dimension);
    search_exactly(self, rows, count, dimension, k);
}

void check_sample_clear(check_sample_t *self)
{
    free(self->questions);
    free(self->least);
    *self = (check_sample_t){0};
}
