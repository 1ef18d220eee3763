// hits: merged passages, counted, and the cache of them.
#include "passage_set.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "merge.h"

enum {
    LOOK_AT = 1000, // questions of the semantic cache
};

struct passage_cache {
    lru_t *lru;
};

passage_set_t *passage_set_new(merged_passage_t *passages, size_t size, unsigned of)
{
    passage_set_t *self = rl_new(*self);
    *self = (passage_set_t){.references = 1, .passages = passages, .passages_size = size, .of = of};
    return self;
}

passage_set_t *passage_set_ref(passage_set_t *self)
{
    self->references++;
    return self;
}

void passage_set_unref(passage_set_t **self_p)
{
    passage_set_t *self = *self_p;
    *self_p = NULL;
    if (!self || --self->references > 0)
        return;
    merge_free(&self->passages);
    free(self->vector);
    free(self);
}

size_t passage_set_cost(const passage_set_t *self)
{
    size_t cost = sizeof *self + self->dimension * sizeof *self->vector + 256;
    for (size_t at = 0; at < self->passages_size; at++) {
        const rl_passage_t *passage = self->passages[at].passage;
        cost += sizeof self->passages[at] + sizeof *passage + strlen(passage->doc) +
                strlen(passage->title) + strlen(passage->heading) + strlen(passage->source) +
                strlen(passage->text) + strlen(passage->meta);
    }
    return cost;
}

static void drop_value(void *value)
{
    passage_set_t *hits = value;
    passage_set_unref(&hits);
}

passage_cache_t *passage_cache_new(void)
{
    passage_cache_t *self = rl_new(*self);
    self->lru = lru_new(0, 0, drop_value);
    return self;
}

void passage_cache_destroy(passage_cache_t **self_p)
{
    if (!*self_p)
        return;
    lru_destroy(&(*self_p)->lru);
    free(*self_p);
    *self_p = NULL;
}

void passage_cache_resize(passage_cache_t *self, size_t bytes, uint64_t age_us)
{
    lru_resize(self->lru, bytes, age_us);
}

passage_set_t *passage_cache_find(passage_cache_t *self, const char *key)
{
    passage_set_t *hits = lru_find(self->lru, key, rl_now_us());
    return hits ? passage_set_ref(hits) : NULL;
}

typedef struct nearest {
    const char *rest;
    const float *vector;
    size_t dimension, left;
    double score;
    passage_set_t *best;
} nearest_t;

static bool compare_vector(void *arg, void *value)
{
    nearest_t *nearest = arg;
    passage_set_t *hits = value;
    if (hits->vector && hits->dimension == nearest->dimension &&
        strcmp(hits->rest, nearest->rest) == 0) {
        float sum = 0;
        for (size_t at = 0; at < hits->dimension; at++)
            sum += hits->vector[at] * nearest->vector[at];
        if ((double)sum >= nearest->score) {
            nearest->score = (double)sum;
            nearest->best = hits;
        }
    }
    return --nearest->left > 0;
}

passage_set_t *passage_cache_find_near(passage_cache_t *self, const char *rest, const float *vector,
                                       size_t dimension, double threshold)
{
    nearest_t nearest = {.rest = rest,
                         .vector = vector,
                         .dimension = dimension,
                         .left = LOOK_AT,
                         .score = threshold};
    lru_each(self->lru, rl_now_us(), compare_vector, &nearest);
    return nearest.best ? passage_set_ref(nearest.best) : NULL;
}

void passage_cache_put(passage_cache_t *self, const char *key, passage_set_t *hits)
{
    lru_put(self->lru, key, passage_set_ref(hits), passage_set_cost(hits), rl_now_us());
}

const lru_counts_t *passage_cache_counts(const passage_cache_t *self)
{
    return lru_counts(self->lru);
}
