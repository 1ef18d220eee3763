// synthetic: a corpus made up on the spot, the same at every call, for measuring: vectors that lie
// in clusters, as embeddings do, and texts with word frequencies as in real ones. Row i is made
// from i alone, so that the first n rows of a larger corpus are the corpus of n.
#ifndef SYNTHETIC_H
#define SYNTHETIC_H

#include <stddef.h>
#include <stdint.h>

enum {
    SYNTHETIC_TEXT = 8192, // bytes that hold any text made here
    SYNTHETIC_BLOCK = 1024 // rows made at a time go fastest in blocks of so many
};

typedef struct synthetic synthetic_t;

// To be used by one thread at a time.
synthetic_t *synthetic_new(size_t dimension);
void synthetic_destroy(synthetic_t **self_p);

// Vectors of length 1 of the rows first, first + 1, …: `count` x dimension floats into `out`.
//
// Each is of one of 10,000 clusters, each cluster of one of 200 topics. Squared lengths: topic
// 0.25, cluster 0.45, the vector's own part 0.30, so that the cosine is about 0.7 within a cluster,
// 0.25 within a topic and 0 beyond: about what all-MiniLM-L6-v2 gives passages of one article, of
// one field, of anything. Own parts have variances as 1 / (1 + i) in a turned basis, which is as if
// they had 26 dimensions (participation ratio), not 384: noise of 384 even dimensions would make
// all neighbours equally far, and recall a lottery.
void synthetic_vectors(synthetic_t *self, uint64_t first, size_t count, float *out);

// The same of questions: near the clusters that the passages are in, a quarter further out than
// they are, copies of none.
void synthetic_questions(synthetic_t *self, uint64_t first, size_t count, float *out);

// A passage of 20 to 400 words, 110 on average (labelled sets: 83 to 202), in sentences. Ranks of
// words follow Zipf's and Mandelbrot's law over 500,000 words; the most frequent are English stop
// words. `out` has room for SYNTHETIC_TEXT bytes; returns the length.
size_t synthetic_passage(uint64_t row, char *out);

// A question of 4 to 18 words, 10 on average, as in the labelled sets (6 to 12.5).
size_t synthetic_question(uint64_t row, char *out);

// The number of the topic that row i's vector is of, 0..199.
unsigned synthetic_topic(uint64_t row);

#endif
