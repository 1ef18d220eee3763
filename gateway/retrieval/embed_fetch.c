// embed_fetch: one call to the embedding server (OpenAI's POST /embeddings).
#include "embed_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "embedding.h"
#include "mem.h"

enum {
    MAX_BODY = 4 << 20,
    WHY_BYTES = 512
};

struct embed_fetch {
    rl_fetch_t *fetch;
    embed_done_fn *done;
    void *arg;
    char url[256]; // for messages
};

// The vector of a response, malloc'd and normalised; NULL with `why` filled.
static float *read_vector(const rl_fetch_result_t *result, size_t *dimension, char *why)
{
    rl_embedding_reply_t reply;
    rl_embedding_read_reply(result->body, result->body_size, 1, &reply, why, WHY_BYTES);
    *dimension = reply.dimension;
    return reply.vectors;
}

static void describe_failure(const rl_fetch_result_t *result, char *why)
{
    if (!result->ok)
        snprintf(why, WHY_BYTES, "%s", result->error);
    else if (result->status == 401 || result->status == 403)
        snprintf(why, WHY_BYTES, "it answered %ld: check embed.key", result->status);
    else if (result->status == 404)
        snprintf(why, WHY_BYTES, "it answered 404: check embed.url and embed.model");
    else
        snprintf(why, WHY_BYTES, "it answered %ld: %.160s", result->status, result->body);
}

static void on_done(void *arg, const rl_fetch_result_t *result)
{
    embed_fetch_t *call = arg;
    char why[WHY_BYTES] = "", message[WHY_BYTES + 300] = "";
    embed_result_t out = {
        .why = message, .total_us = result->total_us, .connect_us = result->connect_us};
    float *vector = NULL;
    if (result->ok && result->status / 100 == 2)
        vector = read_vector(result, &out.dimension, why);
    else
        describe_failure(result, why);
    out.vector = vector;
    if (!vector)
        snprintf(message, sizeof message, "embedding server %s: %s", call->url, why);
    call->done(call->arg, &out);
    free(vector);
    free(call);
}

embed_fetch_t *embed_fetch_start(rl_fetcher_t *fetcher, const rl_conf_t *conf, const char *url,
                                 const char *text, const trace_headers_t *trace,
                                 embed_done_fn *done, void *arg)
{
    const char *model = rl_conf_str(conf, "embed.model");
    const char *prefix = rl_conf_in(conf, "model", model, "query_prefix");
    embed_fetch_t *call = rl_new(*call);
    rl_buf_t body = rl_buf_make(MAX_BODY);
    char *input = rl_format("%s%s", prefix, text);
    *call = (embed_fetch_t){.done = done, .arg = arg};
    snprintf(call->url, sizeof call->url, "%s", url);
    rl_buf_adds(&body, "{\"model\":");
    rl_buf_add_json(&body, model, strlen(model));
    rl_buf_adds(&body, ",\"encoding_format\":\"float\",\"input\":[");
    rl_buf_add_json(&body, input, strlen(input));
    rl_buf_adds(&body, "]}");
    free(input);
    rl_fetch_request_t request = {
        .url = url,
        .bearer = rl_conf_secret(conf, "embed.key"),
        .traceparent = trace->parent,
        .tracestate = trace->state,
        .body = body.data,
        .body_size = body.size,
        .timeout_ms = rl_conf_int(conf, "embed.timeout_ms"),
        .max_body = MAX_BODY,
        .on_done = on_done,
        .arg = call,
    };
    call->fetch = !body.full ? rl_fetch_start(fetcher, &request) : NULL;
    rl_buf_free(&body);
    if (!call->fetch) {
        free(call);
        call = NULL;
    }
    return call;
}

void embed_fetch_cancel(embed_fetch_t **call_p)
{
    if (!*call_p)
        return;
    rl_fetch_cancel(&(*call_p)->fetch);
    free(*call_p);
    *call_p = NULL;
}
