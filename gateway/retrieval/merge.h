// merge: the hits of all sources in one order. Pure functions: no sockets, no clock.
#ifndef MERGE_H
#define MERGE_H

#include "merged_passage.h"

typedef enum fusion {
    FUSION_CONVEX, // weighted sum of scores: cosine, and share of the highest possible BM25
    FUSION_RRF,    // weighted reciprocal ranks
} fusion_t;

typedef struct merge_input {
    const char *collection; // borrowed; must outlive the result
    uint64_t shard;
    kind_t kind;
    const rl_hits_t *hits; // best first; borrowed
} merge_input_t;

typedef struct merge_settings {
    fusion_t fusion;
    double weights[KINDS];
    size_t candidates; // hits of each kind that count, over all shards; at least k
    size_t k;          // passages wanted
} merge_settings_t;

// The k best passages of all inputs, best first, each once: within a kind by score across shards,
// across kinds by fusion; of passages with the same content hash only the best is kept. With one
// kind only, the scores are that kind's own (BM25 as its share of rl_hits_t.bound). The array and
// the passages in it (deep copies, in one block of memory) belong to the caller: merge_free.
merged_passage_t *merge_inputs(const merge_input_t *inputs, size_t inputs_size,
                               const merge_settings_t *settings, size_t *size);
void merge_free(merged_passage_t **passages_p);

#endif
