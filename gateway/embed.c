// embed: calls to the embedding server (OpenAI's POST /embeddings).
#include "embed.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json_scan.h"
#include "log.h"
#include "proto.h"

enum {
    MAX_BODY = 4 << 20,
    WHY_BYTES = 512
};

struct embedder {
    rl_proc_t *proc;
    rl_fetcher_t *fetcher;
    char *url;
    rl_buf_t body; // scratch
};

struct embed_call {
    rl_fetch_t *fetch;
    embed_done_fn *done;
    void *arg;
    char url[256]; // for complaints
};

static void read_settings(embedder_t *self)
{
    const char *base = rl_conf_str(rl_proc_conf(self->proc), "embed.url");
    free(self->url);
    self->url = NULL;
    if (*base && asprintf(&self->url, "%.*s/embeddings",
                          (int)(strlen(base) - (base[strlen(base) - 1] == '/')), base) < 0)
        abort();
}

embedder_t *embedder_new(rl_proc_t *proc, rl_fetcher_t *fetcher)
{
    embedder_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    *self = (embedder_t){.proc = proc, .fetcher = fetcher, .body = rl_buf_make(MAX_BODY)};
    read_settings(self);
    return self;
}

void embedder_destroy(embedder_t **self_p)
{
    embedder_t *self = *self_p;
    if (!self)
        return;
    free(self->url);
    rl_buf_free(&self->body);
    free(self);
    *self_p = NULL;
}

void embedder_reload(embedder_t *self)
{
    read_settings(self);
}

bool embedder_configured(const embedder_t *self)
{
    return self->url != NULL;
}

const char *embedder_space(const embedder_t *self)
{
    return rl_conf_str(rl_proc_conf(self->proc), "embed.model");
}

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
            vector = realloc(vector, room * sizeof *vector);
            if (!vector)
                abort();
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
    embed_call_t *call = arg;
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

embed_call_t *embedder_ask(embedder_t *self, const char *text, const trace_headers_t *trace,
                           embed_done_fn *done, void *arg, const char **why)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    const char *model = rl_conf_str(conf, "embed.model");
    const char *prefix = rl_conf_in(conf, "model", model, "query_prefix");
    embed_call_t *call = calloc(1, sizeof *call);
    char *input = NULL;
    if (!call || asprintf(&input, "%s%s", prefix, text) < 0)
        abort();
    *call = (embed_call_t){.done = done, .arg = arg};
    snprintf(call->url, sizeof call->url, "%s", self->url ? self->url : "");
    rl_buf_clear(&self->body);
    rl_buf_adds(&self->body, "{\"model\":");
    rl_buf_add_json(&self->body, model, strlen(model));
    rl_buf_adds(&self->body, ",\"encoding_format\":\"float\",\"input\":[");
    rl_buf_add_json(&self->body, input, strlen(input));
    rl_buf_adds(&self->body, "]}");
    free(input);
    rl_fetch_request_t request = {
        .url = self->url,
        .bearer = rl_conf_secret(conf, "embed.key"),
        .traceparent = trace->parent,
        .tracestate = trace->state,
        .body = self->body.data,
        .body_size = self->body.size,
        .timeout_ms = rl_conf_int(conf, "embed.timeout_ms"),
        .max_body = MAX_BODY,
        .on_done = on_done,
        .arg = call,
    };
    call->fetch = self->url && !self->body.full ? rl_fetch_start(self->fetcher, &request) : NULL;
    if (call->fetch)
        return call;
    *why = self->url ? "embed.url is no http:// or https:// address" : "embed.url is not set";
    free(call);
    return NULL;
}

void embed_cancel(embed_call_t **call_p)
{
    if (!*call_p)
        return;
    rl_fetch_cancel(&(*call_p)->fetch);
    free(*call_p);
    *call_p = NULL;
}
