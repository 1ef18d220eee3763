// bulk_embed: embeds many texts by any server that speaks OpenAI's /v1/embeddings: in batches,
// several requests under way, patient with a server that is busy or restarts. A text that the
// server cannot embed costs that text: its batch is halved until it is alone.
#ifndef BULK_EMBED_H
#define BULK_EMBED_H

#include "buf.h"
#include "conf.h"
#include "fetch.h"
#include "vector_cache.h"

typedef struct bulk_embed bulk_embed_t;

enum {
    BULK_MAX_TEXT = 16 << 20
}; // bytes of one text

typedef struct bulk_settings {
    const char *url; // base, ends in /v1
    const char *model;
    const char *key;  // "" for none
    size_t batch;     // texts in a request
    size_t requests;  // under way at a time
    unsigned retries; // of one request that failed for a passing reason
    long timeout_ms;  // of one request
} bulk_settings_t;

typedef struct bulk_calls {
    // Gives the next text and its key. Returns 1, 0 if there are no more, -1 to fail (the caller
    // knows why).
    int (*next)(void *arg, vector_key_t *key, rl_buf_t *text);
    // A vector of length 1 has come. Returns 0, or -1 to fail.
    int (*vector)(void *arg, const vector_key_t *key, const float *vector, size_t dimension);
    // The server embeds other texts, but not this one; `why` is what it answers. Nothing else comes
    // of the text.
    void (*refused)(void *arg, const vector_key_t *key, const char *why);
    // Something worth a line happened and is handled ("busy (429): again in 2 s").
    void (*note)(void *arg, const char *what);
    // All done (why is NULL), or it cannot go on. Called once, from the loop; nothing follows.
    void (*done)(void *arg, const char *why);
    void *arg;
} bulk_calls_t;

// What the configuration says, which owns the strings.
void bulk_embed_configure(bulk_settings_t *settings, const rl_conf_t *conf);

// Starts; calls come from the loop. Strings of the settings must outlive it.
bulk_embed_t *bulk_embed_new(struct event_base *base, const bulk_settings_t *settings,
                             const bulk_calls_t *calls);

// Stops at once; no further calls.
void bulk_embed_destroy(bulk_embed_t **self_p);

// Texts that the server found too long and that were cut.
uint64_t bulk_embed_cut(const bulk_embed_t *self);

#endif
