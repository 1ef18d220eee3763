// text: what the stand-ins say, and reading it back.
//
// Each token of the stand-in LLM is " WORD#N@STAMP": its number in the answer, from 1, and the time
// it was written, in µs of this machine's monotonic clock. So whoever reads it on the same machine
// knows how long it took, and that none is lost, doubled or out of order.
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum {
    TEXT_DIMENSION = 384
};

// The n-th token's text (n from 1) into `out` of at least 64 bytes; sentences end every 12 tokens.
// Returns its length.
size_t text_token(char *out, unsigned n, uint64_t stamp_us);

// The next token within [at, end): sets *n and *stamp_us and returns where to go on; NULL if there
// is no more.
const char *text_next_token(const char *at, const char *end, unsigned *n, uint64_t *stamp_us);

// A unit vector of TEXT_DIMENSION components that depends on the bytes of `text` only.
void text_vector(const char *text, size_t size, float *out);

// The vector as JSON numbers with commas between, into `out` of at least 12 * TEXT_DIMENSION bytes.
// Returns the length.
size_t text_vector_json(const float *vector, char *out);

// Words of a passage: `count` words, with sentences, into `out` (at least 16 bytes a word); the
// same for the same `seed`. Word frequencies fall off as in real text. Returns the length.
size_t text_passage(char *out, unsigned count, uint64_t seed);
// A question of `count` words, one of which is sure to be found.
size_t text_question(char *out, unsigned count, uint64_t seed);

#endif
