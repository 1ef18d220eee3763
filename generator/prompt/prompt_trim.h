// prompt_trim: shortens passages that take the LLM server too long to read: passages that say what
// a better one says are left out, the others are cut to the sentences around what matches the
// question, and the last ones are left out where even that is too much. What stays depends on
// nothing but the question, the passages and the number of tokens.
#ifndef PROMPT_TRIM_H
#define PROMPT_TRIM_H

#include <stdbool.h>
#include <stddef.h>

#include "proto.h"

// What is left of a passage's text.
typedef struct prompt_cut {
    size_t from, size; // bytes
    size_t tokens;     // of them
    size_t around;     // tokens of the form around the text; given
    bool left_out;
    bool repeats; // left out since a better one says the same
} prompt_cut_t;

// Fills `cuts`, one for each passage, so that the passages take at most `tokens` (by
// prompt_tokens), the best one always at least a sentence. Does nothing but measure when they fit
// as they are. Returns how many tokens were cut off.
size_t prompt_trim(const rl_generate_t *generate, size_t tokens, prompt_cut_t *cuts);

#endif
