// cite: finds, sentence by sentence while an answer is written, the passage that supports it. Small
// models cannot be trusted to cite, so the text itself is compared.
//
// The score of a passage for a sentence is the share of the sentence's terms, weighted by how few
// of the passages have them (1 + ln ((N + 1) / (df + 1))), that the passage has too; a quarter of
// it is the same share of pairs of neighbouring terms, which tells passages with the same
// vocabulary apart.
#ifndef CITE_H
#define CITE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto.h"

enum {
    CITE_MAX = 4
}; // citations of one sentence

typedef struct cite cite_t;

typedef struct cite_found {
    unsigned passage; // from 1
    double score;     // 0..1
} cite_found_t;

// The passages may be given later with cite_learn; nothing is found before.
cite_t *cite_new(void);
void cite_destroy(cite_t **self_p);

// Takes what it needs of the first `size` passages; they may be freed afterwards.
void cite_learn(cite_t *self, const rl_passage_t *passages, size_t size);

// Takes text as it comes. Returns how many of these bytes to pass on before the citations in
// `found` (of CITE_MAX; *found_size is 0 if there are none), then the rest is to be given again:
// until it has taken everything and found nothing. Numbers that the model wrote itself, "[2]", in a
// sentence or right after it are what is found for it; otherwise the best passage, if it is good
// enough.
size_t cite_take(cite_t *self, const char *text, size_t size, cite_found_t *found,
                 size_t *found_size);

// The text has ended; what is found for its last sentence. Returns how many.
size_t cite_end(cite_t *self, cite_found_t *found);

// How well the passage supports the text, 0..1.
double cite_score(const cite_t *self, size_t passage, const char *text, size_t size);

#endif
