// delta: what changes have made of a shard since its generation was built, in memory: which of its
// passages are deleted, and the passages added, with their words and vectors. Bounded by the merge
// into a new generation, which begins again with an empty one.
//
// Passages added have the ids behind those of the generation, in the order of the log: the same in
// every process that applies it. One thread prepares and applies changes; any number searches, each
// between rl_delta_lock and rl_delta_unlock.
#ifndef RL_DELTA_H
#define RL_DELTA_H

#include "changes.h"
#include "store.h"

typedef struct rl_delta rl_delta_t;

typedef struct rl_delta_kinds {
    bool words, vectors; // what is kept to be searched
    size_t threads;      // that search, numbered from 0
} rl_delta_kinds_t;

// Of an unchanged shard; the store outlives it. NULL with `why`.
rl_delta_t *rl_delta_new(const rl_store_t *store, uint64_t shard, const rl_delta_kinds_t *kinds,
                         char *why, size_t why_size);
void rl_delta_destroy(rl_delta_t **self_p);

// ---- changing -----------------------------------------------------------------------------------

typedef struct rl_delta_batch rl_delta_batch_t;

// Does what takes long for changes that are to be applied next, while others search: NULL with
// `why`.
rl_delta_batch_t *rl_delta_prepare(rl_delta_t *self, const rl_change_t *changes, size_t size,
                                   char *why, size_t why_size);
void rl_delta_batch_destroy(rl_delta_batch_t **self_p);

// Applies them all at once; the last of them has this number. *batch_p becomes NULL. Returns 0, or
// -1 if memory runs out: then the delta is of no use any more.
int rl_delta_apply(rl_delta_t *self, rl_delta_batch_t **batch_p, uint64_t number);

// ---- looking, between lock and unlock -----------------------------------------------------------

void rl_delta_lock(rl_delta_t *self);
void rl_delta_unlock(rl_delta_t *self);

// Number of the last change applied, 0 if none was.
uint64_t rl_delta_number(const rl_delta_t *self);
// Passages of the generation that are deleted; passages added that are there.
size_t rl_delta_dead(const rl_delta_t *self);
size_t rl_delta_added(const rl_delta_t *self);
// Bytes of memory, about.
size_t rl_delta_bytes(const rl_delta_t *self);
// Whether a passage of the generation is deleted.
bool rl_delta_is_dead(const rl_delta_t *self, uint64_t id);
// The passages of the generation that are not; the caller lets go of it. NULL: out of memory.
rl_selection_t *rl_delta_alive(rl_delta_t *self);

typedef struct rl_delta_found {
    uint64_t id;
    double score;
} rl_delta_found_t;

// How often the generation has terms (those of one call in `passages`), and the average length of
// its passages in terms.
typedef struct rl_delta_base {
    void (*look)(void *arg, const char *const *terms, size_t size, uint64_t *passages,
                 double *length);
    void *arg;
    uint64_t count; // passages
} rl_delta_base_t;

// The k best of the passages added that fulfil the filter (NULL: all) into `found`, best first, by
// inner product, or by BM25 as if they stood in the generation (text_index.cc has its parameters);
// *bound as rl_text_reader_search gives it. Returns their number, or -1 if memory runs out.
long rl_delta_nearest(rl_delta_t *self, const float *vector, size_t k, const char *filter,
                      rl_delta_found_t *found);
long rl_delta_match(rl_delta_t *self, size_t thread, const char *text, size_t k, const char *filter,
                    const rl_delta_base_t *base, rl_delta_found_t *found, double *bound);

// An added passage that is there; its strings are good until unlock. NULL: none has this id.
const rl_passage_t *rl_delta_passage(const rl_delta_t *self, uint64_t id);
// Its vector, NULL if it has none.
const float *rl_delta_vector(const rl_delta_t *self, uint64_t id);
// Ids of the passages added: from *first to *end, those that are gone included.
void rl_delta_ids(const rl_delta_t *self, uint64_t *first, uint64_t *end);

#endif
