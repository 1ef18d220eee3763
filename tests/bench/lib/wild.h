// wild: answers as LLM servers were seen to give them, good and bad, drawn at random: the catalogue
// of tests/e2e/fakes/llm.py for a million questions. An answer that says "stop" has all its tokens;
// one that has not says so, or is an error.
#ifndef BENCH_WILD_H
#define BENCH_WILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wild_answer {
    char *bytes; // the whole response, head and all; to be freed
    size_t size;
    bool closes; // the connection ends behind it
    bool resets; //   with a reset
    bool hangs;  // nothing comes behind it, for good
} wild_answer_t;

// A number below `below`.
unsigned wild_below(uint64_t *state, unsigned below);

// An answer of so many tokens to a streamed request.
void wild_draw(uint64_t *state, unsigned tokens, wild_answer_t *out);

#endif
