// check_sample: questions made of a shard's vectors, and what exact search finds for them.
#ifndef CHECK_SAMPLE_H
#define CHECK_SAMPLE_H

#include <stddef.h>

typedef struct check_sample {
    size_t size;
    float *questions; // size x dimension
    float *least;     // inner product of each question with its k-th best row
} check_sample_t;

// Makes at most `most` questions of `count` rows. A question is a row with noise added: as a
// question is near what answers it, and not the same, and lies where no vector of the index does (a
// vector itself is found too easily).
void check_sample_make(check_sample_t *self, const float *rows, size_t count, size_t dimension,
                       size_t most, size_t k);
void check_sample_clear(check_sample_t *self);

#endif
