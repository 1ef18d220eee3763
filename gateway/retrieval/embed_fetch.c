// embed_fetch: one call to the embedding server (OpenAI's POST /embeddings).
#include "embed_fetch.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "mem.h"
#include "proto.h"

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

// Goes into the object that comes next, up to the value of this member.
static bool find_member(rl_scan_t *scan, const char *wanted)
{
    const char *name;
    size_t size;
    if (rl_scan_peek(scan) != '{')
        return false;
    rl_scan_enter_object(scan);
    while (rl_scan_member(scan, &name, &size)) {
        if (size == strlen(wanted) && memcmp(name, wanted, size) == 0)
            return true;
        rl_scan_skip(scan);
    }
    return false;
}

// The numbers of the array that comes next, malloc'd; NULL if it holds anything else, or nothing,
// or too many.
static float *scan_numbers(rl_scan_t *scan, size_t *dimension)
{
    size_t room = 512;
    float *vector = NULL;
    double number;
    rl_scan_enter_array(scan);
    for (*dimension = 0; rl_scan_item(scan) && rl_scan_number(scan, &number); ++*dimension) {
        if (*dimension == RL_MAX_DIMENSION)
            scan->bad = true;
        if (!vector || *dimension == room) {
            room *= 2;
            vector = rl_realloc(vector, room, sizeof *vector);
        }
        vector[*dimension] = (float)number;
    }
    if (!scan->bad)
        return vector;
    free(vector);
    return NULL;
}

// The numbers in {"data":[{"embedding":[…]}]}, malloc'd; NULL with `why` if they are not there.
// What comes behind them does not matter.
static float *scan_vector(const rl_fetch_result_t *result, size_t *dimension, const char **why)
{
    rl_scan_t scan = rl_scan_make(result->body, result->body_size);
    bool there = find_member(&scan, "data") && rl_scan_peek(&scan) == '[' &&
                 rl_scan_enter_array(&scan) && rl_scan_item(&scan) &&
                 find_member(&scan, "embedding") && rl_scan_peek(&scan) == '[';
    if (there) {
        *why = "data[0].embedding is not all numbers, or too long";
        return scan_numbers(&scan, dimension);
    }
    *why = scan.bad || scan.at == result->body ? "it is no JSON object" : "no data[0].embedding";
    return NULL;
}

// The vector of a response, malloc'd and normalised; NULL with `why` filled.
static float *read_vector(const rl_fetch_result_t *result, size_t *dimension, char *why)
{
    const char *trouble = NULL;
    float *vector = scan_vector(result, dimension, &trouble);
    double norm = 0;
    for (size_t at = 0; vector && at < *dimension; at++)
        norm += (double)vector[at] * (double)vector[at];
    if (!vector || !isfinite(norm) || norm <= 0) {
        snprintf(why, WHY_BYTES, "its answer holds no embedding (%s)",
                 vector ? "all zeros, or too large" : trouble);
        free(vector);
        return NULL;
    }
    for (size_t at = 0; at < *dimension; at++)
        vector[at] = (float)(vector[at] / sqrt(norm));
    return vector;
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
