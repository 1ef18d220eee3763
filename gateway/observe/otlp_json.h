// otlp_json: spans in OTLP's JSON form: names in lowerCamelCase, ids in hexadecimal, 64-bit numbers
// as text (OpenTelemetry protocol specification, "JSON Protobuf Encoding"). Written by hand, since
// every answer that is traced has about twenty of them.
#ifndef OTLP_JSON_H
#define OTLP_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

// Span.SpanKind of opentelemetry/proto/trace/v1/trace.proto.
typedef enum otlp_kind {
    OTLP_INTERNAL = 1,
    OTLP_SERVER = 2,
    OTLP_CLIENT = 3,
} otlp_kind_t;

typedef struct otlp_span {
    const char *trace_id, *id, *parent; // parent: "" for none
    bool remote;                        // the parent is another process's
    const char *state;                  // tracestate, "" for none
    otlp_kind_t kind;
    const char *name, *of;     // the name is one word, or two; of: NULL or "" for one
    uint64_t start_us, end_us; // Unix time
} otlp_span_t;

// Writes spans, with commas between them, to `out`: for each otlp_begin, attributes, then perhaps
// otlp_event, then otlp_end.
typedef struct otlp_writer {
    rl_buf_t *out;
    size_t spans;
    bool some, events; // of the span at hand: attributes, events are written
} otlp_writer_t;

void otlp_begin(otlp_writer_t *self, const otlp_span_t *span);

// Attributes, whose keys need no escape. One without a value (NULL or "") is left out.
void otlp_text(otlp_writer_t *self, const char *key, const char *value);
void otlp_list(otlp_writer_t *self, const char *key, const char *value); // of one
void otlp_number(otlp_writer_t *self, const char *key, uint64_t value);
void otlp_seconds(otlp_writer_t *self, const char *key, uint64_t us);
void otlp_true(otlp_writer_t *self, const char *key);

void otlp_event(otlp_writer_t *self, const char *name, uint64_t unix_us);

// `error` is a short code, which error.type has as well, or NULL where nothing went wrong; `words`
// say what it means.
void otlp_end(otlp_writer_t *self, const char *error, const char *words);

// One attribute of its own, for any key.
void otlp_write_text(rl_buf_t *out, const char *key, const char *value);

#endif
