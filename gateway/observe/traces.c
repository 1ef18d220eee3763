// traces: a ring of timelines, and the two endpoints that read it.
#include "traces.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http.h"
#include "json_write.h"
#include "mem.h"
#include "trace_chrome.h"

enum {
    LIMIT = 100, // traces of one response, unless asked otherwise
    LIMIT_MOST = 10000,
    RESPONSE_MAX = 64 << 20,
};

struct traces {
    timeline_t **ring; // `most` places
    size_t most, size;
    size_t next; // where the next one goes
    uint64_t total;
};

traces_t *traces_new(size_t most)
{
    traces_t *self = rl_new(*self);
    traces_resize(self, most);
    return self;
}

void traces_destroy(traces_t **self_p)
{
    traces_t *self = *self_p;
    if (!self)
        return;
    traces_resize(self, 0);
    free(self->ring);
    free(self);
    *self_p = NULL;
}

void traces_resize(traces_t *self, size_t most)
{
    if (most == self->most)
        return;
    timeline_t **ring = rl_alloc_array(most + 1, sizeof *ring);
    size_t kept = self->size < most ? self->size : most;
    for (size_t at = 0; at < self->size; at++) { // newest first
        timeline_t *timeline = self->ring[(self->next + self->most - 1 - at) % self->most];
        if (at < kept)
            ring[kept - 1 - at] = timeline;
        else
            timeline_destroy(&timeline);
    }
    free(self->ring);
    self->ring = ring;
    self->most = most;
    self->size = kept;
    self->next = most ? kept % most : 0;
}

void traces_keep(traces_t *self, timeline_t **timeline_p)
{
    if (self->most == 0) {
        timeline_destroy(timeline_p);
        return;
    }
    timeline_destroy(&self->ring[self->next]);
    self->ring[self->next] = *timeline_p;
    self->next = (self->next + 1) % self->most;
    self->size += self->size < self->most;
    self->total++;
    *timeline_p = NULL;
}

size_t traces_size(const traces_t *self)
{
    return self->size;
}

const timeline_t *traces_at(const traces_t *self, size_t at)
{
    return self->ring[(self->next + self->most - 1 - at) % self->most];
}

// Where there are keys, a caller sees its own answers; one marked `operator` sees all.
static bool may_see(const keys_caller_t *caller, const timeline_t *timeline)
{
    return keys_is_operator(caller) || strcmp(keys_name(caller), timeline->caller) == 0;
}

// The newest with this id that the caller may see: a trace id is the client's, and another's may be
// the same.
static const timeline_t *find_visible(const traces_t *self, const char *id,
                                      const keys_caller_t *caller)
{
    for (size_t at = 0; at < self->size; at++) {
        const timeline_t *timeline = traces_at(self, at);
        if ((strcmp(timeline->id, id) == 0 || strcmp(timeline->trace_id, id) == 0) &&
            may_see(caller, timeline))
            return timeline;
    }
    return NULL;
}

// ---- as JSON ------------------------------------------------------------------------------------

// Appends one as a JSON object: what was asked, how it ended, `timings` as clients get it.
static void write_trace(const timeline_t *timeline, rl_buf_t *out)
{
    char when[40];
    time_t seconds = (time_t)(timeline->wall_us / 1000000);
    struct tm parts;
    size_t size = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &parts));
    snprintf(when + size, sizeof when - size, ".%06dZ", (int)(timeline->wall_us % 1000000));
    rl_json_open(out, NULL, '{');
    rl_json_text(out, "id", timeline->id);
    rl_json_text(out, "trace_id", timeline->trace_id);
    rl_json_text(out, "time", when);
    rl_json_ms(out, "unix_ms", (uint64_t)timeline->wall_us);
    rl_json_text(out, "form", timeline->form);
    rl_json_text(out, "caller", timeline->caller);
    rl_json_text(out, "collection", timeline->collection);
    rl_json_text(out, "outcome", request_state_names[timeline->outcome]);
    rl_json_text(out, "error", timeline->error);
    rl_json_text(out, "model", timeline->model);
    rl_json_text(out, "upstream", timeline->upstream);
    rl_json_text(out, "finish_reason", timeline->finish);
    rl_json_count(out, "answered", timeline->answered);
    rl_json_count(out, "of", timeline->of);
    rl_json_count(out, "tokens", timeline->tokens);
    rl_json_count(out, "completion_tokens", timeline->completion_tokens);
    rl_json_name(out, "timings");
    timeline_write(timeline, out);
    rl_json_close(out, '}');
}

// ---- endpoints ----------------------------------------------------------------------------------

// A number of the query; answers 400 and returns false if it is none.
static bool read_number(http_req_t **req, const char *name, double most, double *number)
{
    const char *text = http_query(*req, name);
    if (!text)
        return true;
    char *end;
    double value = strtod(text, &end);
    if (*text && !*end && value >= 0 && value <= most) {
        *number = value;
        return true;
    }
    http_reply_error(req, 400, "invalid_value", name, 0, "%s must be a number from 0 to %.15g",
                     name, most);
    return false;
}

typedef struct query {
    double limit, since, until, slower_ms; // Unix time in seconds
    const char *outcome, *collection;      // NULL: any
    bool chrome;                           // as a trace file
} query_t;

// ?format=json or chrome; answers 400 and returns false for another.
static bool read_format(http_req_t **req, bool *chrome)
{
    const char *format = http_query(*req, "format");
    *chrome = format && strcmp(format, "chrome") == 0;
    if (!format || *chrome || strcmp(format, "json") == 0)
        return true;
    http_reply_error(req, 400, "invalid_value", "format", 0,
                     "format must be json or chrome (a trace file for Perfetto)");
    return false;
}

static bool read_query(http_req_t **req, query_t *query)
{
    *query = (query_t){.limit = LIMIT, .until = 1e12};
    if (!read_number(req, "limit", LIMIT_MOST, &query->limit) ||
        !read_number(req, "since", 1e12, &query->since) ||
        !read_number(req, "until", 1e12, &query->until) ||
        !read_number(req, "slower_ms", 1e9, &query->slower_ms) || !read_format(req, &query->chrome))
        return false;
    query->outcome = http_query(*req, "outcome");
    query->collection = http_query(*req, "collection");
    return true;
}

static bool matches_query(const query_t *query, const timeline_t *timeline)
{
    // rounded to the microsecond, since unix_ms / 1000 as the client computes it may be an ulp more
    double us = (double)timeline->wall_us;
    return us >= round(query->since * 1e6) && us <= round(query->until * 1e6) &&
           (double)timeline->end_us / 1000 >= query->slower_ms &&
           (!query->outcome ||
            strcmp(query->outcome, request_state_names[timeline->outcome]) == 0) &&
           (!query->collection || strcmp(query->collection, timeline->collection) == 0);
}

static void reply_json(http_req_t **req, rl_buf_t *out)
{
    if (out->full)
        http_reply_error(req, 500, "answer_too_large", "limit", 0,
                         "the traces do not fit into %d bytes; ask for fewer with limit",
                         RESPONSE_MAX);
    else
        http_reply(req, 200, "application/json", out->data, out->size);
    rl_buf_free(out);
}

static void write_list(const traces_t *traces, const char *gateway, const timeline_t *const *found,
                       size_t size, rl_buf_t *out)
{
    rl_buf_addf(out, "{\"gateway\":\"%s\",\"kept\":%zu,\"most\":%zu,\"total\":%llu,\"traces\":[",
                gateway, traces->size, traces->most, (unsigned long long)traces->total);
    for (size_t at = 0; at < size; at++) {
        if (at > 0)
            rl_buf_adds(out, ",\n");
        write_trace(found[at], out);
    }
    rl_buf_adds(out, "]}\n");
}

void traces_get_list(const traces_t *traces, const char *gateway, http_req_t *req)
{
    query_t query;
    if (!read_query(&req, &query))
        return;
    const timeline_t **found = rl_alloc_array(traces->size, sizeof *found);
    size_t size = 0;
    for (size_t at = 0; at < traces->size && (double)size < query.limit; at++) {
        const timeline_t *timeline = traces_at(traces, at);
        if (may_see(http_caller(req), timeline) && matches_query(&query, timeline))
            found[size++] = timeline;
    }
    rl_buf_t out = rl_buf_make(RESPONSE_MAX);
    if (query.chrome)
        trace_chrome_write(found, size, gateway, &out);
    else
        write_list(traces, gateway, found, size, &out);
    free(found);
    reply_json(&req, &out);
}

void traces_get_one(const traces_t *self, const char *gateway, http_req_t *req)
{
    const char *id = http_path(req) + strlen("/v1/traces/");
    const timeline_t *timeline = find_visible(self, id, http_caller(req));
    if (!timeline) {
        http_reply_error(&req, 404, "unknown_trace", NULL, 0,
                         "no answer with this id (or trace id) is kept here; the last %zu are "
                         "(gateway.traces)",
                         self->most);
        return;
    }
    bool chrome;
    if (!read_format(&req, &chrome))
        return;
    rl_buf_t out = rl_buf_make(RESPONSE_MAX);
    if (chrome) {
        trace_chrome_write(&timeline, 1, gateway, &out);
    } else {
        write_trace(timeline, &out);
        rl_buf_adds(&out, "\n");
    }
    reply_json(&req, &out);
}
