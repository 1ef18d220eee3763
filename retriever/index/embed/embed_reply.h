// embed_reply: what an embedding server answers, taken apart and checked.
#ifndef EMBED_REPLY_H
#define EMBED_REPLY_H

#include <stdbool.h>
#include <stddef.h>

// Vectors of a reply, one after the other, in the order of the inputs.
typedef struct embed_reply {
    float *numbers; // count × dimension, each vector of length 1; malloc'd
    size_t count, dimension;
} embed_reply_t;

// Reads {"data": [{"index": 0, "embedding": […]}, …]} for `count` inputs. Returns 0, or -1 with
// what is wrong in `why`: no JSON, an input without a vector or with two, vectors of different
// dimensions, a number that is not finite, a vector of zeros. The caller frees out->numbers.
int embed_reply(const char *body, size_t size, size_t count, embed_reply_t *out, char *why,
                size_t why_size);

// What an error's body says, for people: {"error": {"message"}}, {"error"}, {"message"} or
// {"detail"}, else its first line. Cut to `size` bytes; control characters become blanks.
void embed_error(const char *body, size_t body_size, char *out, size_t size);

// Whether this is how servers say that an input has more tokens than the model reads.
bool embed_too_long(const char *message);

#endif
