// answer_cache: complete answers, for those who ask exactly the same again (cache.answers_mb). One
// is kept with its passages and in the pieces in which it came, so that it can go out as a stream
// once more.
#ifndef ANSWER_CACHE_H
#define ANSWER_CACHE_H

#include "answer.h"
#include "passage_set.h"

// Counted references; never changed.
typedef struct cached_answer {
    unsigned references;
    passage_set_t *hits; // its passages
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

// A copy of a complete answer; keeps a reference of the hits, takes `ends` (malloc'd).
cached_answer_t *cached_answer_new(const answer_t *answer, passage_set_t *hits, uint32_t *ends,
                                   size_t ends_size);
cached_answer_t *cached_answer_ref(cached_answer_t *self);
void cached_answer_unref(cached_answer_t **self_p);

typedef struct answer_cache answer_cache_t;

answer_cache_t *answer_cache_new(void);
void answer_cache_destroy(answer_cache_t **self_p);
// Bounds: bytes in all (0 keeps nothing), age.
void answer_cache_resize(answer_cache_t *self, size_t bytes, uint64_t age_us);
bool answer_cache_on(const answer_cache_t *self);
// Forgets everything: what answers depend on may have changed.
void answer_cache_clear(answer_cache_t *self);

// A reference for the caller, NULL if it is not there.
cached_answer_t *answer_cache_find(answer_cache_t *self, const char *key);
// Takes the answer.
void answer_cache_put(answer_cache_t *self, const char *key, cached_answer_t *answer);

const lru_counts_t *answer_cache_counts(const answer_cache_t *self);

#endif
