// embed_reply: JSON of the embedding server.

#include "embed_reply.h"

#include "utf8.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_DIMENSION = 1 << 16
};

// Copies one vector, normalised.
static int take_vector(const json_t *list, float *to, size_t dimension, size_t at, char *why,
                       size_t why_size)
{
    double sum = 0;
    for (size_t i = 0; i < dimension; i++) {
        const json_t *number = json_array_get(list, i);
        double value = json_number_value(number);
        if (!json_is_number(number) || !isfinite((float)value)) {
            snprintf(why, why_size,
                     "vector %zu of its reply holds something that is no finite "
                     "number",
                     at);
            return -1;
        }
        to[i] = (float)value;
        sum += value * value;
    }
    if (!(sum > 0) || !isfinite(sum)) {
        snprintf(why, why_size, "vector %zu of its reply has no length", at);
        return -1;
    }
    double length = sqrt(sum);
    for (size_t i = 0; i < dimension; i++)
        to[i] = (float)(to[i] / length);
    return 0;
}

static int take_all(const json_t *data, size_t count, embed_reply_t *out, bool *seen, char *why,
                    size_t why_size)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(data, i);
        const json_t *list = json_object_get(item, "embedding");
        const json_t *index = json_object_get(item, "index");
        size_t at = json_is_integer(index) ? (size_t)json_integer_value(index) : i;
        size_t dimension = json_array_size(list);
        if (at >= count || seen[at]) {
            snprintf(why, why_size, "its reply has a wrong \"index\"");
            return -1;
        }
        if (dimension == 0 || dimension > MAX_DIMENSION) {
            snprintf(why, why_size, "vector %zu of its reply is missing or no list of numbers", at);
            return -1;
        }
        if (!out->numbers) {
            out->dimension = dimension;
            out->numbers = malloc(count * dimension * sizeof *out->numbers);
            if (!out->numbers) {
                snprintf(why, why_size, "out of memory");
                return -1;
            }
        }
        if (dimension != out->dimension) {
            snprintf(why, why_size, "its reply has vectors of %zu and of %zu numbers",
                     out->dimension, dimension);
            return -1;
        }
        if (take_vector(list, out->numbers + at * dimension, dimension, at, why, why_size) != 0)
            return -1;
        seen[at] = true;
    }
    return 0;
}

int embed_reply(const char *body, size_t size, size_t count, embed_reply_t *out, char *why,
                size_t why_size)
{
    json_error_t error;
    json_t *root = json_loadb(body, size, 0, &error);
    const json_t *data = json_object_get(root, "data");
    *out = (embed_reply_t){.count = count};
    int rc = -1;
    bool *seen = calloc(count, sizeof *seen);
    if (!seen)
        snprintf(why, why_size, "out of memory");
    else if (!root)
        snprintf(why, why_size, "its reply is no JSON: %s", error.text);
    else if (!json_is_array(data))
        snprintf(why, why_size, "its reply has no \"data\": is it an embeddings API?");
    else if (json_array_size(data) != count)
        snprintf(why, why_size, "its reply has %zu vectors for %zu inputs", json_array_size(data),
                 count);
    else
        rc = take_all(data, count, out, seen, why, why_size);
    if (rc != 0) {
        free(out->numbers);
        out->numbers = NULL;
    }
    free(seen);
    json_decref(root);
    return rc;
}

void embed_error(const char *body, size_t body_size, char *out, size_t size)
{
    json_t *root = json_loadb(body, body_size, 0, NULL);
    const json_t *error = json_object_get(root, "error");
    const json_t *message = json_object_get(error, "message");
    if (!json_is_string(message))
        message = error;
    if (!json_is_string(message))
        message = json_object_get(root, "message");
    if (!json_is_string(message))
        message = json_object_get(root, "detail");
    const char *text = json_is_string(message) ? json_string_value(message) : body;
    size_t length = json_is_string(message) ? strlen(text) : body_size;
    const char *newline = memchr(text, '\n', length);
    if (newline)
        length = (size_t)(newline - text);
    if (length >= size)
        length = size - 1;
    memcpy(out, text, length);
    length = rl_utf8_whole(out, length);
    out[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)out[i] < ' ')
            out[i] = ' ';
    json_decref(root);
}

bool embed_too_long(const char *message)
{
    static const char *const signs[] = {"too long",   "too large", "token",    "context",
                                        "max length", "maximum",   "exceed",   "sequence",
                                        "batch size", "n_ctx",     "truncate", "input length"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strcasestr(message, signs[i]))
            return true;
    return false;
}
