// hits: merged passages that more than one question may use: the cache of them, and the form in
// which they are handed from the question that searched to those that asked the same meanwhile.
#ifndef HITS_H
#define HITS_H

#include "merged_passage.h"
#include "lru.h"

// What a complete retrieval found. Counted references; never changed.
typedef struct passage_set {
    unsigned references;
    merged_passage_t *passages; // of merge; owned
    size_t passages_size;
    unsigned of;        // sources, which all answered
    bool sound;         // from the generations in force, with all the effort that was wanted: an
                        // answer from them may be kept
    char rest[LRU_KEY]; // key of everything but the question's words
    float *vector;      // the question's, NULL without dense retrieval; owned
    size_t dimension;
} passage_set_t;

// Takes the passages.
passage_set_t *passage_set_new(merged_passage_t *passages, size_t size, unsigned of);
passage_set_t *passage_set_ref(passage_set_t *self);
void passage_set_unref(passage_set_t **self_p);
// Bytes of memory, about.
size_t passage_set_cost(const passage_set_t *self);

typedef struct passage_cache passage_cache_t;

// Bounds: bytes in all (0 keeps nothing), age.
passage_cache_t *passage_cache_new(void);
void passage_cache_destroy(passage_cache_t **self_p);
void passage_cache_resize(passage_cache_t *self, size_t bytes, uint64_t age_us);

// A reference for the caller, NULL if it is not there.
passage_set_t *passage_cache_find(passage_cache_t *self, const char *key);
// Of another question of the same rest, the one whose vector is nearest, if its cosine with this
// one (both normalised) is at least `threshold`; looks at the 1,000 used last. A reference for the
// caller, or NULL.
passage_set_t *passage_cache_find_near(passage_cache_t *self, const char *rest, const float *vector,
                                       size_t dimension, double threshold);
// Keeps a reference of its own.
void passage_cache_put(passage_cache_t *self, const char *key, passage_set_t *hits);

const lru_counts_t *passage_cache_counts(const passage_cache_t *self);

#endif
