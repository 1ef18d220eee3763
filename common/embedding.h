// embedding: what an embedding server answers to POST /embeddings (OpenAI's), read and checked
// as a whole, for the gateway's questions and the index's passages.
#ifndef RL_EMBEDDING_H
#define RL_EMBEDDING_H

#include <stddef.h>

// Vectors of a reply, one after the other, in the order of the inputs.
typedef struct rl_embedding_reply {
    float *vectors; // count × dimension, each of length 1; malloc'd
    size_t count, dimension;
} rl_embedding_reply_t;

// Reads {"data": [{"index": 0, "embedding": […]}, …]} for `count` inputs. Returns 0, or -1 with
// what is wrong in `why`: no JSON, an input without a vector or with two, vectors of different
// dimensions or of more than RL_MAX_DIMENSION, a number that is not finite, a vector of zeros. The
// caller frees out->vectors.
int rl_embedding_read_reply(const char *body, size_t size, size_t count, rl_embedding_reply_t *out,
                            char *why, size_t why_size);

// Scales a vector to length 1; `out` may be the vector itself. -1 if it has no length (all zeros)
// or none that can be told.
int rl_embedding_normalise(const float *vector, size_t dimension, float *out);

#endif
