// live_feed: a snapshot of the gateway, for one request or once a second for watchers.
#include "live_feed.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "json_write.h"
#include "live.h"
#include "mem.h"
#include "request.h"
#include "timer.h"

enum {
    SNAPSHOT_MAX_BYTES = 16 << 20, // with thousands of workers
    MAX_WATCHERS = 64,
    MAX_BACKLOG = 1 << 20, // a watcher that has so much to read misses a second
};

typedef struct watcher {
    live_feed_t *feed;
    http_req_t *req;
    unsigned parts;
    uint64_t seen; // snapshots sent
    TAILQ_ENTRY(watcher) all;
} watcher_t;

struct live_feed {
    gateway_t *gateway;
    rl_timer_t *timer;
    TAILQ_HEAD(, watcher) watchers;
    size_t watchers_size;
};

// ---- snapshot -----------------------------------------------------------------------------------

static double unix_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void write_in_flight(pipeline_t *pipeline, rl_buf_t *out)
{
    size_t states[REQUEST_STATES] = {0};
    uint64_t oldest_us = request_count_states(pipeline, states), now = rl_now_us();
    rl_json_open(out, "in_flight", '{');
    rl_json_count(out, "total", pipeline->in_flight);
    rl_json_ms(out, "oldest_ms", oldest_us && now > oldest_us ? now - oldest_us : 0);
    rl_json_open(out, "states", '{');
    for (int state = 0; state < REQUEST_DONE; state++)
        rl_json_count(out, request_state_names[state], states[state]);
    rl_json_close(out, '}');
    rl_json_close(out, '}');
}

static void write_snapshot(gateway_t *gateway, unsigned parts, rl_buf_t *out)
{
    const http_counts_t *http = http_server_counts(gateway->http);
    json_t *workers = registry_workers_json(gateway->pipeline->registry);
    rl_json_open(out, NULL, '{');
    rl_json_text(out, "gateway", rl_proc_id(gateway->proc));
    rl_json_text(out, "version", RAGLINE_VERSION);
    rl_json_count(out, "started", (uint64_t)gateway->started);
    rl_json_name(out, "time");
    rl_buf_addf(out, "%.3f", unix_seconds());
    rl_json_text(out, "state", gateway->draining ? "stopping" : "serving");
    write_in_flight(gateway->pipeline, out);
    rl_json_open(out, "connections", '{');
    rl_json_count(out, "open", http->open_connections);
    rl_json_count(out, "streams", http->open_streams);
    rl_json_close(out, '}');
    live_write(gateway->pipeline->live, parts, out);
    rl_json_value(out, "workers", workers);
    rl_json_close(out, '}');
    json_decref(workers);
}

// ---- watchers -----------------------------------------------------------------------------------

static void remove_watcher(watcher_t *watcher)
{
    live_feed_t *self = watcher->feed;
    TAILQ_REMOVE(&self->watchers, watcher, all);
    self->watchers_size--;
    free(watcher);
}

static void on_gone(void *arg)
{
    watcher_t *watcher = arg;
    http_drop(&watcher->req);
    remove_watcher(watcher);
}

static void send_snapshot(watcher_t *watcher, const rl_buf_t *snapshot)
{
    char head[64];
    if (snapshot->full || http_stream_backlog(watcher->req) > MAX_BACKLOG)
        return;
    snprintf(head, sizeof head,
             "id: %llu\nevent: live\ndata: ", (unsigned long long)++watcher->seen);
    http_stream_send(watcher->req, head, strlen(head));
    http_stream_send(watcher->req, snapshot->data, snapshot->size);
    http_stream_send(watcher->req, "\n\n", 2);
}

// Each kind of snapshot is made once for all its watchers.
static void on_second(void *arg)
{
    live_feed_t *self = arg;
    gateway_t *gateway = self->gateway;
    rl_buf_t made[LIVE_BUCKETS + 1];
    watcher_t *watcher;
    live_tick(gateway->pipeline->live, gateway->pipeline->metrics, gateway->pipeline->in_flight,
              rl_now_us());
    for (unsigned parts = 0; parts <= LIVE_BUCKETS; parts++)
        made[parts] = rl_buf_make(SNAPSHOT_MAX_BYTES);
    TAILQ_FOREACH(watcher, &self->watchers, all)
    {
        rl_buf_t *snapshot = &made[watcher->parts & LIVE_BUCKETS];
        if (snapshot->size == 0)
            write_snapshot(gateway, watcher->parts & LIVE_BUCKETS, snapshot);
        send_snapshot(watcher, snapshot);
    }
    for (unsigned parts = 0; parts <= LIVE_BUCKETS; parts++)
        rl_buf_free(&made[parts]);
}

static bool is_true(const char *value)
{
    return value && strcmp(value, "1") == 0;
}

static void add_watcher(live_feed_t *self, http_req_t *req, unsigned parts)
{
    if (self->watchers_size >= MAX_WATCHERS) {
        http_reply_error(&req, 429, "too_many_watchers", NULL, 5,
                         "%d watch this gateway already; GET /v1/live without stream=1 gives one "
                         "snapshot",
                         MAX_WATCHERS);
        return;
    }
    watcher_t *watcher = rl_new(*watcher);
    *watcher = (watcher_t){.feed = self, .req = req, .parts = parts};
    TAILQ_INSERT_TAIL(&self->watchers, watcher, all);
    self->watchers_size++;
    http_on_client(req, on_gone, NULL, watcher);
    http_set_header(req, "Cache-Control", "no-store");
    http_stream_begin(req);
    rl_buf_t first = rl_buf_make(SNAPSHOT_MAX_BYTES);
    write_snapshot(self->gateway, parts | LIVE_HISTORY, &first);
    send_snapshot(watcher, &first);
    rl_buf_free(&first);
}

void gateway_get_live(void *arg, http_req_t *req)
{
    gateway_t *gateway = arg;
    const char *accept = http_header(req, "Accept");
    unsigned parts = is_true(http_query(req, "buckets")) ? LIVE_BUCKETS : 0;
    bool stream =
        is_true(http_query(req, "stream")) || (accept && strstr(accept, "text/event-stream"));
    if (stream && strcmp(http_method(req), "HEAD") != 0) {
        add_watcher(gateway->live_feed, req, parts);
        return;
    }
    rl_buf_t out = rl_buf_make(SNAPSHOT_MAX_BYTES);
    write_snapshot(gateway, parts | LIVE_HISTORY, &out);
    http_set_header(req, "Cache-Control", "no-store");
    if (out.full)
        http_reply_error(&req, 500, "too_large", NULL, 0, "the snapshot is larger than %d bytes",
                         SNAPSHOT_MAX_BYTES);
    else
        http_reply(&req, 200, "application/json", out.data, out.size);
    rl_buf_free(&out);
}

// ---- begin and end ------------------------------------------------------------------------------

live_feed_t *live_feed_new(gateway_t *gateway)
{
    live_feed_t *self = rl_new(*self);
    self->gateway = gateway;
    TAILQ_INIT(&self->watchers);
    self->timer = rl_timer_new(rl_proc_base(gateway->proc), on_second, self);
    rl_timer_every(self->timer, 1000000);
    return self;
}

void live_feed_stop(live_feed_t *self)
{
    static const char event[] = "event: stopping\ndata: {}\n\n";
    while (!TAILQ_EMPTY(&self->watchers)) {
        watcher_t *watcher = TAILQ_FIRST(&self->watchers);
        http_stream_send(watcher->req, event, sizeof event - 1);
        http_stream_end(&watcher->req);
        remove_watcher(watcher);
    }
}

void live_feed_destroy(live_feed_t **self_p)
{
    live_feed_t *self = *self_p;
    if (!self)
        return;
    live_feed_stop(self);
    rl_timer_destroy(&self->timer);
    free(self);
    *self_p = NULL;
}
