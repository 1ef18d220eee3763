// text_terms: the words of a text as hashes, for matching sentences with passages: no index, no
// dictionary, cheap enough to run over every passage of a prompt.
#ifndef RL_TEXT_TERMS_H
#define RL_TEXT_TERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rl_text_terms {
    const char *at, *end; // what is left of the text
} rl_text_terms_t;

static inline rl_text_terms_t rl_text_terms(const char *text, size_t size)
{
    return (rl_text_terms_t){text, text + size};
}

// The next term: letters, digits and _ in a row, lower case (ASCII), English plural and -ing/-ed
// endings dropped; each character of a script without spaces (from U+2E80) by itself. Frequent
// English words and single letters are passed over. Returns false at the end.
bool rl_text_terms_next(rl_text_terms_t *self, uint32_t *hash);

#endif
