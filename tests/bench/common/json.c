// What it takes to read a chunk of an LLM's stream, and an embedding: simdjson beside jansson, best
// of 7 rounds each. build/bench/json
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "embedding.h"
#include "json.h"

enum {
    ROUNDS = 7,
    DIMENSION = 384,
};

static const char chunk[] =
    "{\"id\":\"chatcmpl-8Qz3x0V5Yw2kTn7eRb1LhUoPj4Gd9Fs6\",\"object\":\"chat.completion.chunk\","
    "\"created\":1735689600,\"model\":\"SmolLM2-135M-Instruct\",\"system_fingerprint\":\"b4529\","
    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" socket\"},\"finish_reason\":null}]}";
static char reply[DIMENSION * 32];

static size_t chunk_by_simdjson(const char *text, size_t size)
{
    const char *why;
    size_t words = 0;
    rl_json_doc_t *doc = rl_json_parse(text, size, &why);
    rl_json_t choice = rl_json_at(rl_json_get(rl_json_root(doc), "choices"), 0);
    rl_json_string(rl_json_get(rl_json_get(choice, "delta"), "content"), &words);
    rl_json_free(&doc);
    return words;
}

static size_t chunk_by_jansson(const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, 0, NULL);
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    size_t words = json_string_length(json_object_get(json_object_get(choice, "delta"), "content"));
    json_decref(root);
    return words;
}

static size_t vector_by_simdjson(const char *text, size_t size)
{
    rl_embedding_reply_t out;
    char why[200];
    rl_embedding_read_reply(text, size, 1, &out, why, sizeof why);
    free(out.vectors);
    return out.dimension;
}

static size_t vector_by_jansson(const char *text, size_t size)
{
    static float out[DIMENSION];
    json_t *root = json_loadb(text, size, 0, NULL);
    const json_t *item = json_array_get(json_object_get(root, "data"), 0);
    const json_t *list = json_object_get(item, "embedding");
    size_t dimension = json_array_size(list);
    for (size_t at = 0; at < dimension && at < DIMENSION; at++)
        out[at] = (float)json_number_value(json_array_get(list, at));
    rl_embedding_normalise(out, DIMENSION, out);
    json_decref(root);
    return dimension;
}

static void measure(const char *what, size_t (*read)(const char *, size_t), const char *text,
                    unsigned times, size_t expected)
{
    double best = 1e9;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = rl_now_us();
        for (unsigned at = 0; at < times; at++)
            if (read(text, strlen(text)) != expected)
                abort();
        double each = (double)(rl_now_us() - start) / times;
        best = each < best ? each : best;
    }
    printf("%-20s %9.3f us\n", what, best);
}

int main(void)
{
    size_t used = (size_t)sprintf(reply, "{\"data\":[{\"index\":0,\"embedding\":[");
    for (unsigned at = 0; at < DIMENSION; at++)
        used += (size_t)sprintf(reply + used, "%s%.17g", at ? "," : "",
                                ((double)(at * 2654435761u % 1000003) / 1000003 - 0.5) / 5);
    sprintf(reply + used, "]}],\"model\":\"m\"}");
    measure("chunk, simdjson", chunk_by_simdjson, chunk, 100000, 7);
    measure("chunk, jansson", chunk_by_jansson, chunk, 20000, 7);
    measure("vector, simdjson", vector_by_simdjson, reply, 5000, DIMENSION);
    measure("vector, jansson", vector_by_jansson, reply, 500, DIMENSION);
    return 0;
}
