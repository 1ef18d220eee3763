// otlp: the exporter: a queue, one request at a time, retries.
//
//     idle → (enough spans, or the delay is over) → sending → 2xx: idle
//                                                     ↑  ↓ 429 502 503 504, no answer
//                                                    waiting
#include "otlp.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "timer.h"

enum {
    ANSWER_MAX_BYTES = 4 << 20, // spans of one answer
    BATCH_MAX_BYTES = 8 << 20,  // of a request, and one answer more; collectors take 20 MiB
    QUEUE_MAX_BYTES = 64 << 20,
    RETRY_MAX_MS = 30000,
    FINISH_MS = 2000,   // for the last spans, at the process's end
    QUIET_MS = 60000,   // between two log lines on drops
    LOGGED_BYTES = 160, // of a collector's words in the log
    REPLY_MAX = 65536,  // bytes of a collector's reply
};

// Spans of one answer.
typedef struct entry {
    STAILQ_ENTRY(entry) list;
    size_t spans, size;
    char text[];
} entry_t;

struct otlp {
    rl_fetcher_t *fetcher;
    otlp_settings_t *settings;
    STAILQ_HEAD(entries, entry) queue;
    size_t queue_spans, queue_bytes;
    rl_buf_t spans; // scratch
    // the batch that is on its way
    rl_buf_t batch;
    size_t batch_spans;
    rl_fetch_t *fetch;
    uint64_t first_try_us; // of this batch
    unsigned tries;
    rl_timer_t *timer;  // the delay is over; the next try
    bool failing;       // the last request failed, and the log says so
    uint64_t finish_us; // since when the process is ending; 0: it is not
    uint64_t logged_us, unlogged;
    otlp_counts_t counts;
};

static void send_batch(otlp_t *self);
static void plan_next(otlp_t *self);

bool otlp_enabled(const otlp_t *self)
{
    return self->settings->url[0] != '\0';
}

otlp_counts_t otlp_counts(const otlp_t *self)
{
    otlp_counts_t counts = self->counts;
    counts.waiting = self->queue_spans + self->batch_spans;
    return counts;
}

// ---- context ------------------------------------------------------------------------------------

// Whether the spans of this answer will be exported: decided from what is known at its beginning.
static bool is_sampled(const otlp_t *self, const timeline_t *timeline)
{
    if (!otlp_enabled(self))
        return false;
    if (timeline->parent_id[0])
        return timeline->sampled;
    return trace_in_ratio(timeline->trace_id, self->settings->ratio);
}

trace_headers_t otlp_headers(const otlp_t *self, const timeline_t *timeline, trace_span_t call,
                             unsigned nth)
{
    trace_headers_t out = {.parent = "", .state = timeline->tracestate};
    char id[17], trace_id[33], parent_id[17];
    unsigned flags = 0;
    trace_context_read(timeline->traceparent, trace_id, parent_id, &flags);
    if (!otlp_enabled(self)) {
        snprintf(out.parent, sizeof out.parent, "%s", timeline->traceparent);
        return out;
    }
    trace_span_id(timeline->span_id, call, nth, id);
    flags = (flags & TRACE_RANDOM) | (is_sampled(self, timeline) ? TRACE_SAMPLED : 0u);
    snprintf(out.parent, sizeof out.parent, "00-%s-%s-%02x", timeline->trace_id, id, flags);
    return out;
}

// ---- timer --------------------------------------------------------------------------------------

static void on_timer(void *arg)
{
    otlp_t *self = arg;
    if (!self->fetch)
        send_batch(self);
}

// ---- results ------------------------------------------------------------------------------------

static void end_batch(otlp_t *self, size_t exported)
{
    self->counts.exported += exported;
    self->counts.failed += self->batch_spans - exported;
    self->batch_spans = 0;
    self->tries = 0;
    rl_buf_free(&self->batch);
    plan_next(self);
}

static void log_failure(otlp_t *self, const char *what, const char *why)
{
    if (!self->failing)
        rl_warn("traces: %zu spans %s: %s", self->batch_spans, what, why);
    self->failing = true;
}

// OpenTelemetry protocol specification, "Retryable Response Codes"; no answer counts as one.
static bool may_retry(const rl_fetch_result_t *result)
{
    return !result->ok || result->status == 429 || result->status == 502 || result->status == 503 ||
           result->status == 504;
}

// As the collector says; else twice as long each time, less a random part, so that gateways do not
// retry all at once.
static uint64_t retry_wait_ms(const otlp_t *self, const rl_fetch_result_t *result)
{
    if (result->ok && result->retry_after_s >= 0)
        return (uint64_t)result->retry_after_s * 1000;
    uint64_t wait = (uint64_t)self->settings->retry_ms;
    for (unsigned at = 1; at < self->tries && wait < RETRY_MAX_MS; at++)
        wait *= 2;
    if (wait > RETRY_MAX_MS)
        wait = RETRY_MAX_MS;
    return wait - (uint64_t)random() % (wait / 2 + 1);
}

static void try_again(otlp_t *self, const rl_fetch_result_t *result, const char *why)
{
    uint64_t wait = retry_wait_ms(self, result);
    uint64_t used = (rl_now_us() - self->first_try_us) / 1000;
    if (self->finish_us || used + wait > (uint64_t)self->settings->give_up_ms) {
        log_failure(self, "are given up", why);
        end_batch(self, 0);
        return;
    }
    log_failure(self, "could not be exported yet and are tried again", why);
    rl_timer_after(self->timer, wait * 1000);
}

// How many spans of a batch the collector rejected, by its answer:
// ExportTraceServiceResponse, {"partialSuccess":{"rejectedSpans":"1","errorMessage":""}}; an empty
// body means none. −1 if it is no such answer.
static long long rejected_spans(const rl_fetch_result_t *result, char *why, size_t why_size)
{
    if (result->body_size == 0)
        return 0;
    json_t *root = json_loadb(result->body, result->body_size, 0, NULL);
    long long rejected = json_is_object(root) ? 0 : -1;
    const json_t *partial = json_object_get(root, "partialSuccess");
    const json_t *number = json_object_get(partial, "rejectedSpans");
    const char *words = json_string_value(json_object_get(partial, "errorMessage"));
    if (json_is_integer(number))
        rejected = json_integer_value(number);
    else if (json_is_string(number))
        rejected = strtoll(json_string_value(number), NULL, 10);
    if (rejected < 0)
        snprintf(why, why_size, "it answered %ld with what is no OTLP: is it the collector? %.*s",
                 result->status, LOGGED_BYTES, result->body);
    else
        snprintf(why, why_size, "it took only a part: %.*s", LOGGED_BYTES, words ? words : "");
    json_decref(root);
    return rejected;
}

static void end_accepted(otlp_t *self, const rl_fetch_result_t *result)
{
    char why[LOGGED_BYTES + 100];
    long long rejected = rejected_spans(result, why, sizeof why);
    if (rejected < 0 || (size_t)rejected > self->batch_spans)
        rejected = (long long)self->batch_spans;
    if (rejected > 0) {
        log_failure(self, "were sent", why);
    } else if (self->failing) {
        rl_info("traces are exported again");
        self->failing = false;
    }
    end_batch(self, self->batch_spans - (size_t)rejected);
}

static void on_done(void *arg, const rl_fetch_result_t *result)
{
    otlp_t *self = arg;
    char why[LOGGED_BYTES + 100];
    self->fetch = NULL;
    if (result->ok && result->status / 100 == 2) {
        end_accepted(self, result);
        return;
    }
    if (result->ok)
        snprintf(why, sizeof why, "the collector answered %ld: %.*s", result->status, LOGGED_BYTES,
                 result->body);
    else
        snprintf(why, sizeof why, "%s", result->error);
    if (may_retry(result)) {
        try_again(self, result, why);
        return;
    }
    log_failure(self, "were refused", why);
    end_batch(self, 0);
}

// ---- sending ------------------------------------------------------------------------------------

static void drop_first(otlp_t *self, entry_t *entry)
{
    STAILQ_REMOVE_HEAD(&self->queue, list);
    self->queue_spans -= entry->spans;
    self->queue_bytes -= entry->size;
    free(entry);
}

// Whole answers, oldest first, up to the size of a batch.
static void make_batch(otlp_t *self)
{
    self->batch = rl_buf_make(BATCH_MAX_BYTES + ANSWER_MAX_BYTES + 65536);
    rl_buf_addf(&self->batch,
                "{\"resourceSpans\":[{\"resource\":{\"attributes\":[%s]},\"scopeSpans\":[{"
                "\"scope\":{\"name\":\"ragline\",\"version\":\"%s\"},\"spans\":[",
                self->settings->resource, RAGLINE_VERSION);
    while (!STAILQ_EMPTY(&self->queue)) {
        entry_t *entry = STAILQ_FIRST(&self->queue);
        if (self->batch_spans > 0 && (self->batch_spans + entry->spans > self->settings->batch ||
                                      self->batch.size + entry->size > BATCH_MAX_BYTES))
            break;
        if (self->batch_spans > 0)
            rl_buf_adds(&self->batch, ",");
        rl_buf_add(&self->batch, entry->text, entry->size);
        self->batch_spans += entry->spans;
        drop_first(self, entry);
    }
    rl_buf_adds(&self->batch, "]}]}]}");
    self->first_try_us = rl_now_us();
}

static void send_batch(otlp_t *self)
{
    if (self->batch_spans == 0) {
        if (STAILQ_EMPTY(&self->queue))
            return;
        make_batch(self);
    }
    if (otlp_enabled(self)) {
        rl_fetch_request_t request = {.url = self->settings->url,
                                      .headers = (const char *const *)self->settings->headers,
                                      .body = self->batch.data,
                                      .body_size = self->batch.size,
                                      .timeout_ms = self->settings->timeout_ms,
                                      .max_body = REPLY_MAX,
                                      .on_done = on_done,
                                      .arg = self};
        self->tries++;
        self->fetch = rl_fetch_start(self->fetcher, &request);
    }
    if (!self->fetch) { // a reload removed the collector, or its address is wrong
        log_failure(self, "are lost", "there is no collector at otlp.endpoint");
        end_batch(self, 0);
    }
}

// Sends now or sets the timer, unless a batch is on its way.
static void plan_next(otlp_t *self)
{
    if (self->fetch || self->batch_spans > 0 || STAILQ_EMPTY(&self->queue))
        return; // on its way, waits for its next try, or nothing is there
    if (self->finish_us || self->queue_spans >= self->settings->batch)
        rl_timer_after(self->timer, 0);
    else if (!rl_timer_is_set(self->timer))
        rl_timer_after(self->timer, (uint64_t)self->settings->delay_ms * 1000);
}

bool otlp_finish(otlp_t *self)
{
    uint64_t now = rl_now_us();
    if (!self->finish_us) {
        self->finish_us = now;
        if (!self->fetch && (self->batch_spans > 0 || !STAILQ_EMPTY(&self->queue)))
            rl_timer_after(self->timer, 0);
    }
    if (self->batch_spans == 0 && STAILQ_EMPTY(&self->queue))
        return true;
    return now - self->finish_us > FINISH_MS * UINT64_C(1000);
}

// ---- taking -------------------------------------------------------------------------------------

static void count_dropped(otlp_t *self, size_t spans)
{
    uint64_t now = rl_now_us();
    self->counts.dropped += spans;
    self->unlogged += spans;
    if (self->logged_us && now - self->logged_us < QUIET_MS * UINT64_C(1000))
        return;
    rl_warn("traces: %llu spans dropped: %zu wait for the collector already (otlp.queue)",
            (unsigned long long)self->unlogged, self->queue_spans);
    self->logged_us = now;
    self->unlogged = 0;
}

void otlp_answer(otlp_t *self, const timeline_t *timeline)
{
    if (!is_sampled(self, timeline))
        return;
    rl_buf_clear(&self->spans);
    self->spans.full = false;
    size_t spans = otlp_write_spans(timeline, &self->settings->about, &self->spans);
    if (self->spans.full || self->queue_spans + spans > self->settings->queue ||
        self->queue_bytes + self->spans.size > QUEUE_MAX_BYTES) {
        count_dropped(self, spans);
        return;
    }
    entry_t *entry = rl_must(malloc(sizeof *entry + self->spans.size));
    entry->spans = spans;
    entry->size = self->spans.size;
    memcpy(entry->text, self->spans.data, self->spans.size);
    STAILQ_INSERT_TAIL(&self->queue, entry, list);
    self->queue_spans += entry->spans;
    self->queue_bytes += entry->size;
    plan_next(self);
}

// ---- making -------------------------------------------------------------------------------------

otlp_t *otlp_new(struct event_base *base, rl_fetcher_t *fetcher, otlp_settings_t **settings_p)
{
    otlp_t *self = rl_new(*self);
    self->fetcher = fetcher;
    self->settings = *settings_p;
    *settings_p = NULL;
    STAILQ_INIT(&self->queue);
    self->spans = rl_buf_make(ANSWER_MAX_BYTES);
    self->timer = rl_timer_new(base, on_timer, self);
    if (otlp_enabled(self))
        rl_info("traces are exported to %s",
                strchr(self->settings->url, '@') ? "the collector" : self->settings->url);
    return self;
}

void otlp_reload(otlp_t *self, otlp_settings_t **settings_p)
{
    otlp_settings_destroy(&self->settings);
    self->settings = *settings_p;
    *settings_p = NULL;
}

void otlp_destroy(otlp_t **self_p)
{
    otlp_t *self = *self_p;
    if (!self)
        return;
    size_t left = self->queue_spans + self->batch_spans;
    if (left > 0)
        rl_warn("traces: %zu spans were not exported", left);
    rl_fetch_cancel(&self->fetch);
    while (!STAILQ_EMPTY(&self->queue))
        drop_first(self, STAILQ_FIRST(&self->queue));
    rl_timer_destroy(&self->timer);
    rl_buf_free(&self->spans);
    rl_buf_free(&self->batch);
    otlp_settings_destroy(&self->settings);
    free(self);
    *self_p = NULL;
}
