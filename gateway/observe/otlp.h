// otlp: traces of answers leave for an OpenTelemetry collector, over OTLP/HTTP in JSON.
//
// An answer that has ended is written as spans at once; they wait in a bounded queue and are sent
// in batches, one request at a time. A collector that is down, slow or full is tried again with
// growing delays; spans that the queue has no room for are dropped and counted. Answers never wait
// for it.
#ifndef OTLP_H
#define OTLP_H

#include "conf.h"
#include "fetch.h"
#include "otlp_spans.h"
#include "timeline.h"
#include "trace_context.h"

typedef struct otlp otlp_t;

typedef struct otlp_settings {
    char *url;          // of the collector's traces, "" if nothing is exported
    char **headers;     // "Name: value", up to a NULL
    char *resource;     // attributes of this process in OTLP's JSON, with commas
    double ratio;       // of the answers whose client sends no traceparent
    size_t queue;       // spans that wait, at most
    size_t batch;       // spans in a request, about
    long delay_ms;      // that a span waits for others
    long timeout_ms;    // of a request
    long retry_ms;      // before the first retry; doubles with each, up to RETRY_MAX_MS
    long give_up_ms;    // a batch is tried again for so long
    otlp_about_t about; // the servers that are called
} otlp_settings_t;

// Reads otlp.* and, where an option is not given, the environment variables of OpenTelemetry that
// stand for it. `instance` is this process's id. NULL with `why` filled if they do not hold.
otlp_settings_t *otlp_settings_read(const rl_conf_t *conf, const char *instance, char *why,
                                    size_t why_size);
void otlp_settings_destroy(otlp_settings_t **self_p);

// Takes over the settings. `fetcher` must outlive it.
otlp_t *otlp_new(struct event_base *base, rl_fetcher_t *fetcher, otlp_settings_t **settings_p);
void otlp_destroy(otlp_t **self_p);
// Takes over new settings; what waits goes where they say.
void otlp_reload(otlp_t *self, otlp_settings_t **settings_p);

// The headers of a call that is made for the answer: the call's own span is the parent of the
// server's spans. Where nothing is exported there will be no such span: then the client's own
// traceparent is passed on, if there is one.
trace_headers_t otlp_headers(const otlp_t *self, const timeline_t *timeline, trace_span_t call,
                             unsigned nth);

// Takes the spans of an answer that has ended.
void otlp_answer(otlp_t *self, const timeline_t *timeline);

// To be called repeatedly at the process's end: sends what waits, without retries. True when
// nothing is left, or when it has taken too long.
bool otlp_finish(otlp_t *self);

typedef struct otlp_counts { // of spans
    uint64_t exported;       // taken by the collector
    uint64_t dropped;        // no room in the queue
    uint64_t failed;         // refused by the collector, or given up
    uint64_t waiting;        // in the queue or on their way
} otlp_counts_t;

otlp_counts_t otlp_counts(const otlp_t *self);
// Whether there is a collector to export to.
bool otlp_enabled(const otlp_t *self);

#endif
