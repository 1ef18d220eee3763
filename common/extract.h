// extract: the sentences of passages that match a question best. Best means: the sum, over the
// question's terms that the sentence has, of how rare they are among all sentences looked at
// (ln (1 + N / df)), less for very long sentences and a little for lower passages.
#ifndef RL_EXTRACT_H
#define RL_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>

#include "proto.h"

typedef struct rl_extracted {
    const char *text; // in its passage; not terminated
    size_t size;
    size_t passage; // from 0
    double score;   // 0 to 1, against the best that the question could reach
} rl_extracted_t;

// At most `max` sentences (of the first 2,048) into `out`, none twice: the best one first, the
// others, which score at least 0.6 of it, in the passages' order. Returns their number.
size_t rl_extract(const char *question, const rl_passage_t *passages, size_t passages_size,
                  rl_extracted_t *out, size_t max);

// A sentence with its lines joined, a full stop at its end, and a blank in front unless it is the
// first one. The caller owns it.
char *rl_extract_wording(const char *text, size_t size, bool first);

// A quotation that answers the question: the best sentence of a passage and those around it, as
// long as it stays short. Looks at the best passages alone, and at so much of them as takes little
// time (80 µs for five passages of 120 words, about). NULL if no sentence has much to do with the
// question. The caller owns the text; *passage is from 0, *score as above.
char *rl_extract_quote(const char *question, const rl_passage_t *passages, size_t passages_size,
                       size_t *passage, double *score);

#endif
