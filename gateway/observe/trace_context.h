// trace_context: W3C Trace Context: which trace an answer belongs to, the ids of its spans, and
// the headers of calls that are made for it.
//
// Span ids are not drawn but derived from the answer's own, so that a call's id is known when it is
// sent and is the same when its span is written at the end.
#ifndef TRACE_CONTEXT_H
#define TRACE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRACE_SAMPLED = 1, // trace-flags
    TRACE_RANDOM = 2,  // the trace id is random (Trace Context Level 2)
    TRACESTATE_MAX = 512,
};

// Spans of an answer; several of a kind are numbered from 0.
typedef enum trace_span {
    TRACE_REWRITE, // a call to the LLM
    TRACE_EMBED,   // a call to the embedding server
    TRACE_CHAT,    // the calls to the LLM of one generator
    TRACE_RETRIEVAL,
    TRACE_SEARCH,
    TRACE_SEARCH_QUEUE,
    TRACE_SEARCH_WORK,
    TRACE_STATE,      // of the gateway
    TRACE_GENERATION, // an answer at one generator
    TRACE_PART,       // of a generation
} trace_span_t;

// Reads a traceparent header of version 00, or of a later one that begins like it (W3C Trace
// Context, 3.2 and 4.3): false for what is not valid. Ids are 32 and 16 lower-case hexadecimal
// digits.
bool trace_context_read(const char *header, char trace_id[33], char parent_id[17], unsigned *flags);

// Whether a tracestate header may be passed on: printable, not empty, not too long.
bool trace_context_state_ok(const char *header);

// The id of a span of the answer whose own span has the id `answer`.
void trace_span_id(const char *answer, trace_span_t span, unsigned nth, char out[17]);

// The trace headers of a call that is made for the answer.
typedef struct trace_headers {
    char parent[64];   // traceparent, "" for none
    const char *state; // tracestate, "" for none
} trace_headers_t;

// Whether a trace belongs to this share (0..1) of all: by the last 56 bits of its id, as every
// consistent sampler decides, so that all processes of the trace agree.
bool trace_in_ratio(const char *trace_id, double ratio);

#endif
