// embedding: vectors out of the JSON of an embedding server.
#include "embedding.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fail.h"
#include "json.h"
#include "mem.h"
#include "proto.h"

int rl_embedding_normalise(const float *vector, size_t dimension, float *out)
{
    double sum = 0;
    for (size_t at = 0; at < dimension; at++)
        sum += (double)vector[at] * (double)vector[at];
    if (!isfinite(sum) || sum <= 0)
        return -1;
    double scale = 1 / sqrt(sum);
    for (size_t at = 0; at < dimension; at++)
        out[at] = (float)((double)vector[at] * scale);
    return 0;
}

// The first vector says what dimension all have, and so how much memory they take.
static int set_dimension(rl_embedding_reply_t *out, size_t dimension, char *why, size_t why_size)
{
    out->dimension = dimension;
    out->vectors = calloc(out->count, dimension * sizeof *out->vectors);
    return out->vectors ? 0 : rl_fail(why, why_size, "out of memory");
}

// Where the `place`-th item's vector belongs: servers may answer in another order.
static int read_index(rl_json_t item, size_t place, const bool *seen, size_t count, size_t *index,
                      char *why, size_t why_size)
{
    int64_t given = (int64_t)place;
    rl_json_integer(rl_json_get(item, "index"), &given);
    if (given < 0 || (uint64_t)given >= count || seen[given])
        return rl_fail(why, why_size, "its reply has a wrong \"index\"");
    *index = (size_t)given;
    return 0;
}

static int read_vector(rl_json_t item, size_t index, rl_embedding_reply_t *out, char *why,
                       size_t why_size)
{
    rl_json_t list = rl_json_get(item, "embedding");
    size_t dimension = rl_json_size(list);
    if (dimension == 0 || dimension > RL_MAX_DIMENSION)
        return rl_fail(why, why_size, "vector %zu of its reply is missing or no list of numbers",
                       index);
    if (!out->vectors && set_dimension(out, dimension, why, why_size) != 0)
        return -1;
    if (dimension != out->dimension)
        return rl_fail(why, why_size, "its reply has vectors of %zu and of %zu numbers",
                       out->dimension, dimension);
    float *vector = out->vectors + index * dimension;
    if (!rl_json_floats(list, vector, dimension))
        return rl_fail(why, why_size,
                       "vector %zu of its reply holds something that is no finite number", index);
    if (rl_embedding_normalise(vector, dimension, vector) != 0)
        return rl_fail(why, why_size, "vector %zu of its reply has no length", index);
    return 0;
}

static int read_data(rl_json_t data, rl_embedding_reply_t *out, char *why, size_t why_size)
{
    if (!rl_json_is_array(data))
        return rl_fail(why, why_size, "its reply has no \"data\": is it an embeddings API?");
    if (rl_json_size(data) != out->count)
        return rl_fail(why, why_size, "its reply has %zu vectors for %zu inputs",
                       rl_json_size(data), out->count);
    bool *seen = rl_alloc_array(out->count, sizeof *seen);
    int rc = 0;
    for (size_t place = 0, index = 0; place < out->count && rc == 0; place++) {
        rl_json_t item = rl_json_at(data, place);
        rc = read_index(item, place, seen, out->count, &index, why, why_size);
        if (rc == 0)
            rc = read_vector(item, index, out, why, why_size);
        if (rc == 0)
            seen[index] = true;
    }
    free(seen);
    return rc;
}

int rl_embedding_read_reply(const char *body, size_t size, size_t count, rl_embedding_reply_t *out,
                            char *why, size_t why_size)
{
    const char *problem;
    rl_json_doc_t *doc = rl_json_parse(body, size, &problem);
    *out = (rl_embedding_reply_t){.count = count};
    int rc = doc ? read_data(rl_json_get(rl_json_root(doc), "data"), out, why, why_size)
                 : rl_fail(why, why_size, "its reply is no JSON: %s", problem);
    if (rc != 0) {
        free(out->vectors);
        out->vectors = NULL;
    }
    rl_json_free(&doc);
    return rc;
}
