// top_watch: one event stream for each gateway, taken up again when it breaks.
#include "top_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "fetch.h"
#include "mem.h"
#include "sanitize.h"
#include "sse.h"
#include "top_sum.h"

enum {
    MAX_EVENT = 16 << 20,
    MAX_URL = 4096,
    MAX_ERROR = 300, // columns
    SILENCE_MS = 5000,
    ONCE_MS = 10000,
    AGAIN_MS = 500, // at first; doubles
    AGAIN_MOST_MS = 4000,
};

typedef struct gateway {
    top_watch_t *watch;
    char *base, *url; // as it was given, and of the snapshots
    rl_fetch_t *fetch;
    rl_sse_t *sse;
    struct event *again;
    long again_ms;
    json_t *snapshot; // NULL: it is away
    bool failed;      // since its last snapshot
    bool stopping;    // it said so
    bool unreadable;  // what it sends is no snapshot
    char *error;      // what it was
    char *complained; // what was said of it
} gateway_t;

struct top_watch {
    struct event_base *base;
    const rl_conf_t *conf;
    bool once, reached;
    void (*changed)(void *arg);
    void *arg;
    rl_fetcher_t *fetcher;
    gateway_t *gateways;
    size_t size;
};

static void start_stream(gateway_t *self);

// ------------------------------------------------------------------------------ what comes back

static void take_snapshot(gateway_t *self, const char *data, size_t size)
{
    json_t *snapshot = json_loadb(data, size, 0, NULL);
    if (!snapshot || !json_is_object(json_object_get(snapshot, "windows"))) {
        json_decref(snapshot);
        self->unreadable = true;
        return;
    }
    json_decref(self->snapshot);
    self->snapshot = snapshot;
    self->failed = self->stopping = false;
    self->again_ms = AGAIN_MS;
    free(self->error);
    free(self->complained);
    self->error = self->complained = NULL;
    self->watch->reached = true;
    self->watch->changed(self->watch->arg);
}

static bool on_event(void *arg, const char *name, const char *data, size_t size)
{
    gateway_t *self = arg;
    if (strcmp(name, "stopping") == 0)
        self->stopping = true;
    else
        take_snapshot(self, data, size);
    return true;
}

static bool on_data(void *arg, const char *data, size_t size)
{
    gateway_t *self = arg;
    if (rl_sse_feed(self->sse, data, size) != 0)
        self->unreadable = true;
    return true;
}

static const char *advice_for(long status)
{
    return status == 401   ? " Give an API key with --top-key-file FILE or RAGLINE_TOP_KEY."
           : status == 404 ? " Is it a ragline gateway that has GET /v1/live?"
                           : "";
}

static void add_message(rl_buf_t *out, const rl_fetch_result_t *result)
{
    json_t *body = json_loadb(result->body, result->body_size, 0, NULL);
    const char *message =
        json_string_value(json_object_get(json_object_get(body, "error"), "message"));
    if (message && *message)
        rl_sanitize_line(out, message, MAX_ERROR);
    else
        rl_buf_adds(out, "it answered no snapshot");
    rl_buf_addf(out, " (status %ld).%s", result->status, advice_for(result->status));
    json_decref(body);
}

static char *what_went_wrong(const gateway_t *self, const rl_fetch_result_t *result)
{
    rl_buf_t out = rl_buf_make(MAX_URL);
    if (self->stopping)
        rl_buf_adds(&out, "it has stopped");
    else if (result->status >= 300)
        add_message(&out, result);
    else if (result->ok || self->unreadable)
        rl_buf_adds(&out, "what it answers is no snapshot: is it a ragline gateway?");
    else if (result->timed_out)
        rl_buf_adds(&out, "it does not answer");
    else
        rl_buf_adds(&out, result->status ? "the connection was lost" : "it cannot be reached");
    if (!result->ok && *result->error && !self->stopping && result->status < 300) {
        rl_buf_adds(&out, ": ");
        rl_sanitize_line(&out, result->error, MAX_ERROR);
    }
    return rl_buf_take(&out);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    start_stream(arg);
}

static void again_later(gateway_t *self)
{
    struct timeval wait = {self->again_ms / 1000, self->again_ms % 1000 * 1000};
    self->again_ms = self->again_ms * 2 < AGAIN_MOST_MS ? self->again_ms * 2 : AGAIN_MOST_MS;
    if (event_add(self->again, &wait) != 0)
        rl_out_of_memory();
}

static void on_done(void *arg, const rl_fetch_result_t *result)
{
    gateway_t *self = arg;
    self->fetch = NULL;
    rl_sse_destroy(&self->sse);
    if (self->watch->once && result->ok && result->status == 200)
        take_snapshot(self, result->body, result->body_size);
    if (self->watch->once && self->snapshot)
        return;
    self->failed = true;
    json_decref(self->snapshot);
    self->snapshot = NULL;
    free(self->error);
    self->error = what_went_wrong(self, result);
    if (!self->watch->once)
        again_later(self);
    self->watch->changed(self->watch->arg);
}

// ----------------------------------------------------------------------------------- connections

static bool begin_stream(gateway_t *self)
{
    bool once = self->watch->once;
    self->unreadable = self->stopping = false;
    self->sse = rl_sse_new(MAX_EVENT, on_event, self);
    rl_fetch_request_t request = {
        .url = self->url,
        .bearer = rl_conf_secret(self->watch->conf, "top.key"),
        .accept = once ? NULL : "text/event-stream",
        .first_byte_timeout_ms = SILENCE_MS,
        .idle_timeout_ms = SILENCE_MS,
        .timeout_ms = once ? ONCE_MS : 0,
        .max_body = MAX_EVENT,
        .on_data = once ? NULL : on_data,
        .on_done = on_done,
        .arg = self,
    };
    if (!self->sse)
        rl_out_of_memory();
    self->fetch = rl_fetch_start(self->watch->fetcher, &request);
    return self->fetch != NULL;
}

static void start_stream(gateway_t *self)
{
    if (!begin_stream(self))
        abort(); // the same address was good before
}

// The address with the path of the snapshots; ".../v1" is taken as well, as other clients want it.
static char *url_of(const char *base)
{
    rl_buf_t url = rl_buf_make(MAX_URL);
    size_t size = strlen(base);
    while (size > 0 && base[size - 1] == '/')
        size--;
    if (size >= 3 && memcmp(base + size - 3, "/v1", 3) == 0)
        size -= 3;
    rl_buf_add(&url, base, size);
    rl_buf_adds(&url, "/v1/live?buckets=1");
    return rl_buf_take(&url);
}

static const char *base_at(const rl_conf_t *conf, size_t at)
{
    return rl_conf_args(conf) > 0 ? rl_conf_arg(conf, at) : rl_conf_list_at(conf, "top.urls", at);
}

static bool add_gateway(top_watch_t *self, const char *base)
{
    gateway_t *gateway = &self->gateways[self->size++];
    *gateway = (gateway_t){.watch = self, .again_ms = AGAIN_MS};
    gateway->base = rl_strdup(base);
    gateway->url = url_of(base);
    gateway->again = rl_must(evtimer_new(self->base, on_again, gateway));
    if (begin_stream(gateway))
        return true;
    rl_buf_t name = rl_buf_make(MAX_URL);
    rl_sanitize_line(&name, base, MAX_ERROR);
    fprintf(stderr, "ragline-top: %s is not an http:// or https:// address\n",
            name.data ? name.data : "");
    rl_buf_free(&name);
    return false;
}

top_watch_t *top_watch_new(struct event_base *base, const rl_conf_t *conf, bool once,
                           void (*changed)(void *arg), void *arg)
{
    size_t size = rl_conf_args(conf) > 0 ? rl_conf_args(conf) : rl_conf_list_size(conf, "top.urls");
    if (size == 0 || size > TOP_MAX_GATEWAYS) {
        fprintf(stderr, "ragline-top: %s\n",
                size ? "at most 64 gateways can be watched"
                     : "no gateway is named: top.urls is empty");
        return NULL;
    }
    top_watch_t *self = rl_new(*self);
    *self = (top_watch_t){.base = base, .conf = conf, .once = once, .changed = changed, .arg = arg};
    self->fetcher = rl_must(rl_fetcher_new(base, (long)size));
    self->gateways = rl_alloc_array(size, sizeof *self->gateways);
    for (size_t at = 0; self && at < size; at++)
        if (!add_gateway(self, base_at(conf, at)))
            top_watch_destroy(&self);
    return self;
}

void top_watch_destroy(top_watch_t **self_p)
{
    top_watch_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->size; at++) {
        gateway_t *gateway = &self->gateways[at];
        if (gateway->fetch)
            rl_fetch_cancel(&gateway->fetch);
        rl_sse_destroy(&gateway->sse);
        event_free(gateway->again);
        json_decref(gateway->snapshot);
        free(gateway->base);
        free(gateway->url);
        free(gateway->error);
        free(gateway->complained);
    }
    free(self->gateways);
    rl_fetcher_destroy(&self->fetcher);
    free(self);
    *self_p = NULL;
}

// ------------------------------------------------------------------------------------- the whole

static json_t *gateway_json(const gateway_t *self)
{
    json_t *out = json_object();
    json_object_set_new(out, "url", json_string(self->base));
    if (!self->snapshot) {
        json_object_set_new(out, "state", json_string(self->failed ? "away" : "asked"));
        json_object_set_new(out, "error", json_string(self->error ? self->error : ""));
        return out;
    }
    static const char *const keys[] = {"gateway", "state", "version", "started", "time"};
    for (size_t at = 0; at < sizeof keys / sizeof *keys; at++)
        json_object_set(out, keys[at], json_object_get(self->snapshot, keys[at]));
    return out;
}

json_t *top_watch_sum(const top_watch_t *self)
{
    json_t *snapshots[TOP_MAX_GATEWAYS], *gateways = json_array();
    size_t size = 0;
    for (size_t at = 0; at < self->size; at++) {
        json_array_append_new(gateways, gateway_json(&self->gateways[at]));
        if (self->gateways[at].snapshot)
            snapshots[size++] = self->gateways[at].snapshot;
    }
    json_t *sum = top_sum(snapshots, size);
    json_object_set_new(sum, "gateways", gateways);
    return sum;
}

size_t top_watch_size(const top_watch_t *self)
{
    return self->size;
}

size_t top_watch_there(const top_watch_t *self)
{
    size_t there = 0;
    for (size_t at = 0; at < self->size; at++)
        there += self->gateways[at].snapshot != NULL;
    return there;
}

bool top_watch_settled(const top_watch_t *self)
{
    for (size_t at = 0; at < self->size; at++)
        if (!self->gateways[at].snapshot && !self->gateways[at].failed)
            return false;
    return true;
}

bool top_watch_reached(const top_watch_t *self)
{
    return self->reached;
}

void top_watch_complain(top_watch_t *self)
{
    for (size_t at = 0; at < self->size; at++) {
        gateway_t *gateway = &self->gateways[at];
        if (!gateway->failed || !gateway->error ||
            (gateway->complained && strcmp(gateway->complained, gateway->error) == 0))
            continue;
        rl_buf_t line = rl_buf_make(2 * MAX_URL);
        rl_sanitize_line(&line, gateway->base, MAX_ERROR);
        rl_buf_addf(&line, ": %s", gateway->error);
        fprintf(stderr, "ragline-top: %s\n", line.data ? line.data : "");
        rl_buf_free(&line);
        free(gateway->complained);
        gateway->complained = rl_strdup(gateway->error);
    }
}
