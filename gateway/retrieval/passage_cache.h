// passage_cache: what was found a while ago (cache.passages_mb): an lru_t of passage sets,
// destroyed, resized and counted as one.
#ifndef PASSAGE_CACHE_H
#define PASSAGE_CACHE_H

#include "lru.h"
#include "passage_set.h"

lru_t *passage_cache_new(void); // keeps nothing before lru_resize (bytes in all, age)

// A reference for the caller, NULL if it is not there.
passage_set_t *passage_cache_find(lru_t *self, const char *key);
// Of another question of the same rest, the one whose vector is nearest, if its cosine with this
// one (both normalised) is at least `threshold`; compares the 1,000 used last. A reference for the
// caller, or NULL.
passage_set_t *passage_cache_find_near(lru_t *self, const char *rest, const float *vector,
                                       size_t dimension, double threshold);
// Keeps a reference of its own.
void passage_cache_put(lru_t *self, const char *key, passage_set_t *set);

#endif
