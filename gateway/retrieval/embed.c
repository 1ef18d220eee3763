// embed: vectors by text: from the cache, from a call that is under way for the same text, or from
// a call of its own.
#include "embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "embed_fetch.h"
#include "lru.h"
#include "mem.h"
#include "timer.h"

typedef struct vector {
    size_t dimension;
    float values[];
} vector_t;

// A call to the server and those who wait for it.
typedef struct flight {
    embedder_t *embedder;
    char key[LRU_KEY];
    embed_fetch_t *fetch;
    TAILQ_HEAD(waiters, embed_call) waiters;
    LIST_ENTRY(flight) all;
} flight_t;

struct embed_call {
    flight_t *flight;
    embed_done_fn *done;
    void *arg;
    bool shared; // the call was under way when it joined
    TAILQ_ENTRY(embed_call) waiting;
};

struct embedder {
    rl_proc_t *proc;
    rl_fetcher_t *fetcher;
    char *url;
    lru_t *cache;
    LIST_HEAD(, flight) flights;
    uint64_t shared;
    // the connection is kept open, and open before the first question
    rl_timer_t *warm;
    rl_fetch_t *warming;
    long warm_ms;
    uint64_t heard_us; // when the server answered last
};

static void on_warm(void *arg);

static void read_settings(embedder_t *self)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    const char *base = rl_conf_str(conf, "embed.url");
    size_t size = strlen(base);
    free(self->url);
    self->url =
        size ? rl_format("%.*s/embeddings", (int)(size - (base[size - 1] == '/')), base) : NULL;
    lru_resize(self->cache, (size_t)rl_conf_int(conf, "cache.embeddings_mb") << 20,
               (uint64_t)rl_conf_int(conf, "cache.age_ms") * 1000);
    self->warm_ms = rl_conf_int(conf, "embed.warm_ms");
    if (self->warm_ms > 0 && self->url)
        rl_timer_after(self->warm, 0); // when the loop runs
    else
        rl_timer_stop(self->warm);
}

embedder_t *embedder_new(rl_proc_t *proc, rl_fetcher_t *fetcher)
{
    embedder_t *self = rl_new(*self);
    *self = (embedder_t){.proc = proc, .fetcher = fetcher, .cache = lru_new(0, 0, free)};
    LIST_INIT(&self->flights);
    self->warm = rl_timer_new(rl_proc_base(proc), on_warm, self);
    read_settings(self);
    return self;
}

void embedder_destroy(embedder_t **self_p)
{
    embedder_t *self = *self_p;
    if (!self)
        return;
    if (self->warming)
        rl_fetch_cancel(&self->warming);
    rl_timer_destroy(&self->warm);
    lru_destroy(&self->cache);
    free(self->url);
    free(self);
    *self_p = NULL;
}

void embedder_reload(embedder_t *self)
{
    read_settings(self);
}

bool embedder_configured(const embedder_t *self)
{
    return self->url != NULL;
}

const char *embedder_model(const embedder_t *self)
{
    return rl_conf_str(rl_proc_conf(self->proc), "embed.model");
}

// ---- a warm connection --------------------------------------------------------------------------

static void on_warmed(void *arg, const rl_fetch_result_t *result)
{
    embedder_t *self = arg;
    self->warming = NULL;
    if (result->ok)
        self->heard_us = rl_now_us();
    if (self->warm_ms > 0)
        rl_timer_after(self->warm, (uint64_t)self->warm_ms * 1000);
}

// A small request, where the server has not been asked for a while.
static void on_warm(void *arg)
{
    embedder_t *self = arg;
    uint64_t idle_ms = (rl_now_us() - self->heard_us) / 1000;
    if (self->warming || !self->url || self->warm_ms <= 0)
        return;
    if (self->heard_us && idle_ms < (uint64_t)self->warm_ms) {
        rl_timer_after(self->warm, ((uint64_t)self->warm_ms - idle_ms) * 1000);
        return;
    }
    char url[2048];
    snprintf(url, sizeof url, "%.*s/models", (int)(strlen(self->url) - strlen("/embeddings")),
             self->url);
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    rl_fetch_request_t request = {.url = url,
                                  .bearer = rl_conf_secret(conf, "embed.key"),
                                  .timeout_ms = rl_conf_int(conf, "embed.timeout_ms"),
                                  .on_done = on_warmed,
                                  .arg = self};
    self->warming = rl_fetch_start(self->fetcher, &request);
}

// ---- the cache ----------------------------------------------------------------------------------

static void make_key(const embedder_t *self, const char *text, const char *rights,
                     char out[LRU_KEY])
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    const char *model = embedder_model(self);
    const char *const parts[] = {self->url ? self->url : "", model,
                                 rl_conf_in(conf, "model", model, "query_prefix"), rights, text};
    lru_key(out, parts, sizeof parts / sizeof *parts);
}

const float *embedder_find(embedder_t *self, const char *text, const char *rights,
                           size_t *dimension)
{
    char key[LRU_KEY];
    make_key(self, text, rights, key);
    const vector_t *vector = lru_find(self->cache, key, rl_now_us());
    if (!vector)
        return NULL;
    *dimension = vector->dimension;
    return vector->values;
}

static void keep_vector(flight_t *flight, const embed_result_t *result)
{
    size_t size = result->dimension * sizeof(float);
    vector_t *vector = rl_must(malloc(sizeof *vector + size));
    vector->dimension = result->dimension;
    memcpy(vector->values, result->vector, size);
    lru_put(flight->embedder->cache, flight->key, vector, sizeof *vector + size + 200, rl_now_us());
}

embed_counts_t embedder_counts(const embedder_t *self)
{
    const lru_counts_t *cache = lru_counts(self->cache);
    return (embed_counts_t){.hits = cache->hits,
                            .misses = cache->misses,
                            .shared = self->shared,
                            .size = cache->size,
                            .bytes = cache->cost};
}

// ---- calls --------------------------------------------------------------------------------------

static void on_done(void *arg, const embed_result_t *result)
{
    flight_t *flight = arg;
    embed_call_t *call;
    flight->fetch = NULL;
    LIST_REMOVE(flight, all);
    if (result->vector) {
        flight->embedder->heard_us = rl_now_us();
        keep_vector(flight, result);
    }
    while ((call = TAILQ_FIRST(&flight->waiters))) {
        embed_result_t own = *result;
        own.shared = call->shared;
        TAILQ_REMOVE(&flight->waiters, call, waiting);
        call->flight = NULL;
        embed_done_fn *done = call->done;
        void *whose = call->arg;
        free(call);
        done(whose, &own); // may cancel others that wait here
    }
    free(flight);
}

static flight_t *find_flight(embedder_t *self, const char *key)
{
    flight_t *flight;
    LIST_FOREACH(flight, &self->flights, all)
    {
        if (strcmp(flight->key, key) == 0)
            return flight;
    }
    return NULL;
}

static flight_t *start_flight(embedder_t *self, const char *key, const char *text,
                              const trace_headers_t *trace, const char **why)
{
    flight_t *flight = rl_new(*flight);
    flight->embedder = self;
    snprintf(flight->key, sizeof flight->key, "%s", key);
    TAILQ_INIT(&flight->waiters);
    *why = "embed.url is not set";
    if (self->url) {
        *why = "embed.url is no http:// or https:// address";
        flight->fetch = embed_fetch_start(self->fetcher, rl_proc_conf(self->proc), self->url, text,
                                          trace, on_done, flight);
    }
    if (!flight->fetch) {
        free(flight);
        return NULL;
    }
    LIST_INSERT_HEAD(&self->flights, flight, all);
    return flight;
}

embed_call_t *embedder_ask(embedder_t *self, const char *text, const char *rights,
                           const trace_headers_t *trace, embed_done_fn *done, void *arg,
                           const char **why)
{
    char key[LRU_KEY];
    make_key(self, text, rights, key);
    flight_t *flight = find_flight(self, key);
    bool shared = flight != NULL;
    if (!flight)
        flight = start_flight(self, key, text, trace, why);
    if (!flight)
        return NULL;
    embed_call_t *call = rl_new(*call);
    *call = (embed_call_t){.flight = flight, .done = done, .arg = arg, .shared = shared};
    TAILQ_INSERT_TAIL(&flight->waiters, call, waiting);
    self->shared += shared;
    return call;
}

void embed_cancel(embed_call_t **call_p)
{
    embed_call_t *call = *call_p;
    if (!call)
        return;
    flight_t *flight = call->flight;
    TAILQ_REMOVE(&flight->waiters, call, waiting);
    free(call);
    *call_p = NULL;
    if (!TAILQ_EMPTY(&flight->waiters) || !flight->fetch)
        return; // others wait, or it has just come
    embed_fetch_cancel(&flight->fetch);
    LIST_REMOVE(flight, all);
    free(flight);
}
