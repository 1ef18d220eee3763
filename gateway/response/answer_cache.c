// answer_cache: complete answers, counted, and the cache of them.
#include "answer_cache.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"

struct answer_cache {
    lru_t *lru;
    size_t most;
    uint64_t age_us;
};

static void *copy_of(const void *data, size_t size)
{
    void *copy = rl_must(malloc(size > 0 ? size : 1));
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

static char *text_of(const char *text)
{
    return copy_of(text ? text : "", strlen(text ? text : "") + 1);
}

cached_answer_t *cached_answer_new(const answer_t *answer, passage_set_t *hits, uint32_t *ends,
                                   size_t ends_size)
{
    cached_answer_t *self = rl_new(*self);
    *self = (cached_answer_t){
        .references = 1,
        .hits = passage_set_ref(hits),
        .text = copy_of(answer->text.data, answer->text.size),
        .text_size = answer->text.size,
        .ends = ends,
        .ends_size = ends_size,
        .citations = copy_of(answer->citations, answer->citations_size * sizeof *answer->citations),
        .citations_size = answer->citations_size,
        .finish = text_of(answer->finish),
        .model = text_of(answer->model),
        .upstream = text_of(answer->upstream),
        .prompt_tokens = answer->prompt_tokens,
        .completion_tokens = answer->completion_tokens,
        .passages_used = answer->passages_used,
        .written_us = rl_now_us(),
    };
    return self;
}

cached_answer_t *cached_answer_ref(cached_answer_t *self)
{
    self->references++;
    return self;
}

void cached_answer_unref(cached_answer_t **self_p)
{
    cached_answer_t *self = *self_p;
    *self_p = NULL;
    if (!self || --self->references > 0)
        return;
    passage_set_unref(&self->hits);
    free(self->text);
    free(self->ends);
    free(self->citations);
    free(self->finish);
    free(self->model);
    free(self->upstream);
    free(self);
}

// Bytes of memory, about. Passages that another cache keeps as well are counted all the same.
static size_t cost_of(const cached_answer_t *self)
{
    return sizeof *self + 256 + self->text_size + self->ends_size * sizeof *self->ends +
           self->citations_size * sizeof *self->citations + passage_set_cost(self->hits);
}

static void drop_value(void *value)
{
    cached_answer_t *answer = value;
    cached_answer_unref(&answer);
}

answer_cache_t *answer_cache_new(void)
{
    answer_cache_t *self = rl_new(*self);
    self->lru = lru_new(0, 0, drop_value);
    return self;
}

void answer_cache_destroy(answer_cache_t **self_p)
{
    if (!*self_p)
        return;
    lru_destroy(&(*self_p)->lru);
    free(*self_p);
    *self_p = NULL;
}

void answer_cache_resize(answer_cache_t *self, size_t bytes, uint64_t age_us)
{
    self->most = bytes;
    self->age_us = age_us;
    lru_resize(self->lru, bytes, age_us);
}

bool answer_cache_on(const answer_cache_t *self)
{
    return self->most > 0;
}

void answer_cache_clear(answer_cache_t *self)
{
    lru_resize(self->lru, 0, self->age_us);
    lru_resize(self->lru, self->most, self->age_us);
}

cached_answer_t *answer_cache_find(answer_cache_t *self, const char *key)
{
    cached_answer_t *answer = lru_find(self->lru, key, rl_now_us());
    return answer ? cached_answer_ref(answer) : NULL;
}

void answer_cache_put(answer_cache_t *self, const char *key, cached_answer_t *answer)
{
    lru_put(self->lru, key, answer, cost_of(answer), rl_now_us());
}

const lru_counts_t *answer_cache_counts(const answer_cache_t *self)
{
    return lru_counts(self->lru);
}
