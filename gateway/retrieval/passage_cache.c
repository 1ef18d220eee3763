// passage_cache: passage sets by the question's key, and by how near another question's vector is.
#include "passage_cache.h"

#include <string.h>

#include "clock.h"

enum {
    NEAREST_OF = 1000, // questions that are compared
};

static void unref_value(void *value)
{
    passage_set_t *set = value;
    passage_set_unref(&set);
}

lru_t *passage_cache_new(void)
{
    return lru_new(0, 0, unref_value);
}

passage_set_t *passage_cache_find(lru_t *self, const char *key)
{
    passage_set_t *set = lru_find(self, key, rl_now_us());
    return set ? passage_set_ref(set) : NULL;
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
    passage_set_t *set = value;
    if (set->vector && set->dimension == nearest->dimension &&
        strcmp(set->rest, nearest->rest) == 0) {
        float sum = 0;
        for (size_t at = 0; at < set->dimension; at++)
            sum += set->vector[at] * nearest->vector[at];
        if ((double)sum >= nearest->score) {
            nearest->score = (double)sum;
            nearest->best = set;
        }
    }
    return --nearest->left > 0;
}

passage_set_t *passage_cache_find_near(lru_t *self, const char *rest, const float *vector,
                                       size_t dimension, double threshold)
{
    nearest_t nearest = {.rest = rest,
                         .vector = vector,
                         .dimension = dimension,
                         .left = NEAREST_OF,
                         .score = threshold};
    lru_each(self, rl_now_us(), compare_vector, &nearest);
    return nearest.best ? passage_set_ref(nearest.best) : NULL;
}

void passage_cache_put(lru_t *self, const char *key, passage_set_t *set)
{
    lru_put(self, key, passage_set_ref(set), passage_set_cost(set), rl_now_us());
}
