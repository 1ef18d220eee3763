// embed: questions become vectors: calls to the embedding server, from the gateway's own loop. The
// same text in flight is asked for once, and vectors are kept for a while (cache.embeddings_mb,
// cache.age_ms), by text, model and the rights of the caller: response times must not tell
// what callers with other rights have asked.
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
    bool shared;         // another question's call brought it
} embed_result_t;

typedef void(embed_done_fn)(void *arg, const embed_result_t *result);

// Reads embed.* and [model …]; the fetcher must outlive it.
embedder_t *embedder_new(rl_proc_t *proc, rl_fetcher_t *fetcher);
void embedder_destroy(embedder_t **self_p);
void embedder_reload(embedder_t *self);

// Whether embed.url is set; the embedding model's name.
bool embedder_configured(const embedder_t *self);
const char *embedder_model(const embedder_t *self);

// The vector of a text that was embedded before, NULL if it is not kept. Borrowed, until the next
// turn of the loop.
const float *embedder_find(embedder_t *self, const char *text, const char *rights,
                           size_t *dimension);

typedef struct embed_counts {
    uint64_t hits, misses, shared;
    size_t size, bytes;
} embed_counts_t;
embed_counts_t embedder_counts(const embedder_t *self);

// Embeds a question. `done` is called once, later, from the loop, unless the call is cancelled
// first; it is then gone. NULL if the call could not even start (why, static text, says it).
embed_call_t *embedder_ask(embedder_t *self, const char *text, const char *rights,
                           const trace_headers_t *trace, embed_done_fn *done, void *arg,
                           const char **why);
void embed_cancel(embed_call_t **call_p);

#endif
