// answer_cache: complete answers, with a count of references, and the cache of them.
#include "answer_cache.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"

static void *copy_of(const void *data, size_t size)
{
    void *copy = rl_alloc(size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

static char *text_of(const char *text)
{
    return rl_strdup(text ? text : "");
}

cached_answer_t *cached_answer_new(const answer_t *answer, passage_set_t *set, uint32_t *ends,
                                   size_t ends_size)
{
    cached_answer_t *self = rl_new(*self);
    *self = (cached_answer_t){
        .references = 1,
        .passage_set = passage_set_ref(set),
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

static cached_answer_t *cached_answer_ref(cached_answer_t *self)
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
    passage_set_unref(&self->passage_set);
    free(self->text);
    free(self->ends);
    free(self->citations);
    free(self->finish);
    free(self->model);
    free(self->upstream);
    free(self);
}

// Bytes of memory, about. Passages that the passage cache keeps as well are counted here too.
static size_t cost_of(const cached_answer_t *self)
{
    return sizeof *self + 256 + self->text_size + self->ends_size * sizeof *self->ends +
           self->citations_size * sizeof *self->citations + passage_set_cost(self->passage_set);
}

static void unref_value(void *value)
{
    cached_answer_t *answer = value;
    cached_answer_unref(&answer);
}

lru_t *answer_cache_new(void)
{
    return lru_new(0, 0, unref_value);
}

cached_answer_t *answer_cache_find(lru_t *self, const char *key)
{
    cached_answer_t *answer = lru_find(self, key, rl_now_us());
    return answer ? cached_answer_ref(answer) : NULL;
}

void answer_cache_put(lru_t *self, const char *key, cached_answer_t *answer)
{
    lru_put(self, key, answer, cost_of(answer), rl_now_us());
}
