// answer_cache: complete answers, for those who ask exactly the same again (cache.answers_mb). Each
// is kept with its passages and in the pieces in which it came, so that it can be streamed again.
#ifndef ANSWER_CACHE_H
#define ANSWER_CACHE_H

#include "answer.h"
#include "passage_set.h"

// Counted references; never changed.
typedef struct cached_answer {
    unsigned references;
    passage_set_t *passage_set; // its passages
    char *text;
    size_t text_size;
    uint32_t *ends; // where each piece ends, in bytes of the text
    size_t ends_size;
    answer_citation_t *citations; // in the order of their ends
    size_t citations_size;
    char *finish, *model, *upstream;
    uint64_t prompt_tokens, completion_tokens, passages_used;
    uint64_t written_us; // when it was complete, by rl_now_us
} cached_answer_t;

// A copy of a complete answer; keeps a reference of the passages, takes `ends` (malloc'd).
cached_answer_t *cached_answer_new(const answer_t *answer, passage_set_t *set, uint32_t *ends,
                                   size_t ends_size);
void cached_answer_unref(cached_answer_t **self_p);

// An lru_t, destroyed, resized, cleared and counted as one. Keeps nothing before lru_resize.
lru_t *answer_cache_new(void);

// A reference for the caller, NULL if it is not there.
cached_answer_t *answer_cache_find(lru_t *self, const char *key);
// Takes the answer.
void answer_cache_put(lru_t *self, const char *key, cached_answer_t *answer);

#endif
