// hits: merged passages that more than one question may use: the cache of them, and the form in
// which they are handed from the question that searched to those that asked the same meanwhile.
#ifndef HITS_H
#define HITS_H

#include "answer.h"
#include "lru.h"

// What a complete retrieval found. Counted references; never changed.
typedef struct hits {
    unsigned references;
    answer_passage_t *passages; // of merge; owned
    size_t passages_size;
    unsigned of;        // sources, which all answered
    bool sound;         // from the generations in force, with all the effort that was wanted: an
                        // answer from them may be kept
    char rest[LRU_KEY]; // key of everything but the question's words
    float *vector;      // the question's, NULL without dense retrieval; owned
    size_t dimension;
} hits_t;

// Takes the passages.
hits_t *hits_new(answer_passage_t *passages, size_t size, unsigned of);
hits_t *hits_keep(hits_t *self);
void hits_drop(hits_t **self_p);
// Bytes of memory, about.
size_t hits_cost(const hits_t *self);

typedef struct hits_cache hits_cache_t;

// Bounds: bytes in all (0 keeps nothing), age.
hits_cache_t *hits_cache_new(void);
void hits_cache_destroy(hits_cache_t **self_p);
void hits_cache_resize(hits_cache_t *self, size_t bytes, uint64_t age_us);

// A reference for the caller, NULL if it is not there.
hits_t *hits_cache_find(hits_cache_t *self, const char *key);
// Of another question of the same rest, the one whose vector is nearest, if its cosine with this
// one (both normalised) is at least `threshold`; looks at the 1,000 used last. A reference for the
// caller, or NULL.
hits_t *hits_cache_near(hits_cache_t *self, const char *rest, const float *vector, size_t dimension,
                        double threshold);
// Keeps a reference of its own.
void hits_cache_put(hits_cache_t *self, const char *key, hits_t *hits);

const lru_counts_t *hits_cache_counts(const hits_cache_t *self);

#endif
