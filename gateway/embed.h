// embed: questions become vectors: calls to the embedding server, from the gateway's own loop.
#ifndef EMBED_H
#define EMBED_H

#include "fetch.h"
#include "proc.h"
#include "trace_context.h"

typedef struct embedder embedder_t;
typedef struct embed_call embed_call_t;

typedef struct embed_result {
    const float *vector; // L2-normalised; NULL if there is none
    size_t dimension;
    const char *why;     // if there is none: what is wrong and what to do; "" otherwise
    uint64_t total_us;   // of the call
    uint64_t connect_us; // 0 if a connection was there
} embed_result_t;

typedef void(embed_done_fn)(void *arg, const embed_result_t *result);

// Reads embed.* and [model …]; the fetcher must outlive it.
embedder_t *embedder_new(rl_proc_t *proc, rl_fetcher_t *fetcher);
void embedder_destroy(embedder_t **self_p);
void embedder_reload(embedder_t *self);

// Whether embed.url is set; the model's name (the embedding space).
bool embedder_configured(const embedder_t *self);
const char *embedder_space(const embedder_t *self);

// Embeds a question. `done` is called once, later, from the loop, unless the call is cancelled
// first; it is then gone. NULL if the call could not even start (why, static text, says it).
embed_call_t *embedder_ask(embedder_t *self, const char *text, const trace_headers_t *trace,
                           embed_done_fn *done, void *arg, const char **why);
void embed_cancel(embed_call_t **call_p);

#endif
