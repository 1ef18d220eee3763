// otlp_spans: the timeline of an answer as OpenTelemetry spans, in OTLP's JSON form.
//
//     POST /v1/ask                     SERVER    the answer
//      ├ chat MODEL                    CLIENT    the LLM makes a follow-up question stand alone
//      ├ retrieval COLLECTION          INTERNAL
//      │  ├ embeddings MODEL           CLIENT    (INTERNAL where a cache had it)
//      │  └ search KIND                INTERNAL  one of each source
//      │     ├ queue                   by the retriever's clock, laid where its task left
//      │     └ work
//      ├ merge, wait                   INTERNAL
//      └ generation                    INTERNAL  one of each generator that was asked
//         ├ generator_queue, prompt
//         └ chat MODEL                 CLIENT
//            └ connect, send, prefill, tokens
//
// Names of spans and attributes are those of OpenTelemetry's semantic conventions for HTTP servers
// and for generative AI where these have one, else they begin with "ragline.".
#ifndef OTLP_SPANS_H
#define OTLP_SPANS_H

#include "timeline.h"

// What a timeline does not have of the servers that were called; "" and 0 where not known.
typedef struct otlp_server {
    char model[128];
    char address[256];
    unsigned port;
} otlp_server_t;

typedef struct otlp_about {
    otlp_server_t embed;
    otlp_server_t llm; // that the gateway itself asks
} otlp_about_t;

// Appends the spans, with commas between them; returns their number. What is not finished by the
// answer's end ends there. out->full is set where they do not fit.
size_t otlp_write_spans(const timeline_t *timeline, const otlp_about_t *about, rl_buf_t *out);

#endif
