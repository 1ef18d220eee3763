// terms: what is indexed and asked of a text: the same for passages and questions, so it is here
// once. Words are folded to lower case and stemmed; technical names are kept whole beside their
// parts ("CURLOPT_TIMEOUT_MS", "--max-time", "http/2", "c++"); scripts that are written without
// spaces become single characters and pairs.
#ifndef RL_TERMS_H
#define RL_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RL_TERM_MAX = 64, // bytes of a term; longer words are passed over
};

typedef struct rl_terms rl_terms_t; // not for two threads at a time

// Whether there are rules for this language; rl_terms_languages names them all.
bool rl_terms_knows(const char *language);
const char *rl_terms_languages(void);

// NULL for an unknown language, or if memory runs out.
rl_terms_t *rl_terms_new(const char *language);
void rl_terms_destroy(rl_terms_t **self_p);

// Calls `fn` for each term of the text (valid UTF-8; anything else is passed over), in order, with
// repetitions. `stop`: the word is so common in the language that it says little (it is indexed,
// but left out of a question that has other words). `term` is followed by a NUL.
typedef void(rl_terms_fn)(void *arg, const char *term, size_t size, bool stop);
void rl_terms_each(rl_terms_t *self, const char *text, size_t size, rl_terms_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
