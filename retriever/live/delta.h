// delta: what changes have made of a shard since its generation was built, in memory: which of its
// passages are deleted, and the passages added, with their words and vectors. Bounded by the merge
// into a new generation, which begins again with an empty one.
//
// Passages added have the ids behind those of the generation, in the order of the log: the same in
// every process that applies it. One thread prepares and applies changes; any number searches, each
// between delta_lock and delta_unlock.
#ifndef DELTA_H
#define DELTA_H

#include "change_log.h"
#include "store.h"

typedef struct delta delta_t;

typedef struct delta_kinds {
    bool words, vectors; // what is kept to be searched
    size_t threads;      // that search, numbered from 0
} delta_kinds_t;

// Of an unchanged shard; the store outlives it. Never NULL.
delta_t *delta_new(const store_t *store, uint64_t shard, const delta_kinds_t *kinds);
void delta_destroy(delta_t **self_p);

// ---- changing -----------------------------------------------------------------------------------

typedef struct delta_batch delta_batch_t;

// Does the slow part for changes that are applied next, while others search. NULL with `why` when
// the generation's fields cannot be read.
delta_batch_t *delta_prepare(delta_t *self, const change_t *changes, size_t size, char *why,
                             size_t why_size);

// Applies them all at once; the last of them has this number. *batch_p becomes NULL.
void delta_apply(delta_t *self, delta_batch_t **batch_p, uint64_t number);

// ---- reading, between lock and unlock -----------------------------------------------------------

void delta_lock(delta_t *self);
void delta_unlock(delta_t *self);

// Number of the last change applied, 0 if none was.
uint64_t delta_number(const delta_t *self);
// Passages of the generation that are deleted; passages added that are there.
size_t delta_dead(const delta_t *self);
size_t delta_added(const delta_t *self);
// Whether a passage of the generation is deleted.
bool delta_is_dead(const delta_t *self, uint64_t id);
// The passages of the generation that are not, as a reference that the caller drops.
selection_t *delta_alive(delta_t *self);

typedef struct delta_found {
    uint64_t id;
    double score;
} delta_found_t;

// How often the generation has terms (those of one call in `passages`), and the average length of
// its passages in terms.
typedef struct delta_base {
    void (*count_terms)(void *arg, const char *const *terms, size_t size, uint64_t *passages,
                        double *length);
    void *arg;
    uint64_t count; // passages
} delta_base_t;

// The k best of the passages added that fulfil the filter (NULL: all) into `found`, best first, by
// inner product, or by BM25 as if they stood in the generation (text_index.cc has its parameters);
// *bound as text_index_search gives it. Returns their number.
size_t delta_nearest(delta_t *self, const float *vector, size_t k, const char *filter,
                     delta_found_t *found);
size_t delta_match(delta_t *self, size_t thread, const char *text, size_t k, const char *filter,
                   const delta_base_t *base, delta_found_t *found, double *bound);

// An added passage that is there; its strings are good until unlock. NULL: none has this id.
const rl_passage_t *delta_passage(const delta_t *self, uint64_t id);
// Its vector, NULL if it has none.
const float *delta_vector(const delta_t *self, uint64_t id);
// Ids of the passages added: from *first to *end, those that are gone included.
void delta_ids(const delta_t *self, uint64_t *first, uint64_t *end);

#endif
