// delta_search: the nearest vectors among the passages added.
#include "delta_private.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "vectors.h"

// The passages of a block that can be found, and fulfil the filter.
static selection_t *select_some(const delta_block_t *block, const uint64_t *bits)
{
    selection_t *some = selection_new(DELTA_BLOCK);
    size_t words = selection_words(some);
    for (size_t word = 0; word < words; word++)
        some->bits[word] = block->alive->bits[word] & bits[word];
    selection_finish(some);
    return some;
}

static void search_block(const delta_t *self, const delta_block_t *block, const float *vector,
                         size_t k, const selection_t *selection, float *scores, int64_t *labels)
{
    if (block->flat && !selection->rows && k <= FLAT_MAX_K)
        flat_search(block->flat, vector, k, selection, scores, labels);
    else
        flat_search_rows(block->rows, self->dimension, vector, k, selection, scores, labels);
}

static void search_blocks(const delta_t *self, const float *vector, const uint64_t *bits,
                          float *scores, int64_t *labels, top_k_t *best)
{
    for (size_t at = 0; at < self->blocks_size; at++) {
        const delta_block_t *block = &self->blocks[at];
        selection_t *some =
            bits ? select_some(block, bits + at * (DELTA_BLOCK / 64)) : selection_ref(block->alive);
        size_t k = some->size < best->k ? some->size : best->k;
        if (k > 0)
            search_block(self, block, vector, k, some, scores, labels);
        selection_unref(&some);
        for (size_t each = 0; each < k && labels[each] >= 0; each++)
            top_k_offer(best, scores[each], at * DELTA_BLOCK + (size_t)labels[each]);
    }
}

size_t delta_nearest(delta_t *self, const float *vector, size_t k, const char *filter,
                     delta_found_t *found)
{
    if (self->blocks_size == 0)
        return 0;
    float *scores = rl_alloc_array(2 * k, sizeof *scores);
    int64_t *labels = rl_alloc_array(2 * k, sizeof *labels);
    top_k_t best = {scores, labels, 0, k};
    uint64_t *bits = filter ? delta_select(self, filter) : NULL;
    search_blocks(self, vector, bits, scores + k, labels + k, &best);
    size_t size = 0;
    for (size_t at = 0; at < best.size; at++) {
        uint64_t id = self->count + (uint64_t)labels[at] + 1;
        const float *row = scores[at] == 0 ? delta_vector(self, id) : NULL;
        if (!row || !vectors_is_zero(row, self->dimension)) // zeros: the passage has no vector
            found[size++] = (delta_found_t){id, scores[at]};
    }
    free(bits);
    free(scores);
    free(labels);
    return size;
}
