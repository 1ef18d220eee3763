// backend: what writes answers: an LLM server, or the passages' own sentences. A backend is a
// struct of functions; a new one is one file and one line in upstreams.c, which has the order in
// which they are asked.
#ifndef BACKEND_H
#define BACKEND_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch.h"
#include "prompt.h"
#include "proto.h"

typedef struct backend backend_t;           // a backend, set up
typedef struct backend_call backend_call_t; // one answer being written

// What an answer is made from. Everything is only looked at during start; but `generate` stays as
// it is until the first text.
typedef struct backend_request {
    const rl_generate_t *generate;
    prompt_t *prompt; // its messages may be taken
    uint64_t max_tokens;
    bool prefill; // only to be read: no more words than the server cannot do without
} backend_request_t;

// Whether a server keeps the prompts that it has read, so that the same beginning is not read
// again.
typedef struct prompt_cache {
    bool kept;
    bool per_slot; // by slot: what another slot is reading just now is read once more
    bool per_salt; // it can keep apart what it reads for one salt and for another
    size_t slots;  // answers that it writes at a time, 0: not known
} prompt_cache_t;

typedef enum backend_failure_kind {
    BACKEND_MISTAKE, // configuration or request is wrong: never tried again, nor elsewhere
    BACKEND_BUSY,    // it asks to be tried later
    BACKEND_DOWN,    // not reached, no answer in time, an error of its own: another may do better
    BACKEND_BROKEN,  // what came is no answer
} backend_failure_kind_t;

typedef struct backend_failure {
    backend_failure_kind_t kind;
    int status;       // HTTP status for the client
    const char *code; // stable: "llm_unreachable"…
    const char *message;
    long retry_after_s; // -1: not said
} backend_failure_t;

typedef struct backend_times { // µs from the start of the call; 0: not known
    uint64_t connect_us, sent_us, first_byte_us;
} backend_times_t;

typedef struct backend_end {
    const char *finish; // "stop", "length"…
    const char *model;
    const char *server; // host:port of the server that was asked, NULL if none was
    bool counted;
    uint64_t prompt_tokens, completion_tokens;
    int64_t cached_tokens; // of the prompt, -1: not known
    int64_t read_tokens;   // of the prompt, those that were not cached, -1: not known
    double prefill_ms;     // the server's own time for them, < 0: not known
} backend_end_t;

// Calls come from the loop, never from within start; none after done, failed or cancel. The call
// is gone after done and failed.
typedef struct backend_events {
    // Text as it comes, any bytes. Returns false to pause the call after these.
    bool (*text)(void *arg, const char *text, size_t size);
    // The sentence just given is from this passage (from 1).
    void (*cite)(void *arg, unsigned passage, double score);
    void (*progress)(void *arg, const char *stage, const char *message);
    // So much of the prompt is read, in percent: first when it is begun, then a few times a second
    // at most.
    void (*reading)(void *arg, unsigned percent);
    void (*done)(void *arg, const backend_end_t *end, const backend_times_t *times);
    void (*failed)(void *arg, const backend_failure_t *failure);
} backend_events_t;

// The options of one, from llm.* or a section "[upstream NAME]". Only looked at.
typedef struct backend_settings {
    const char *where; // comes before an option's name in messages: "llm.", "[upstream NAME] "
    const char *url, *key, *model;
    const char *params;  // JSON object or ""
    const char *prefill; // "auto", "off", "llama", "vllm"
    long connect_ms, first_token_ms, idle_ms;
    long warm_ms; // 0: its connection is not kept warm
} backend_settings_t;

typedef struct backend_type {
    const char *name; // in DONE: "openai", "extractive"
    // Whether these settings hold; false with what is wrong in `why`.
    bool (*check)(const backend_settings_t *settings, char *why, size_t why_size);
    // Takes over settings that hold. Returns whether it is another server from now on.
    bool (*configure)(backend_t *self, const backend_settings_t *settings);
    // What it answers with, "" if not known yet.
    const char *(*model)(const backend_t *self);
    // How it keeps prompts; NULL: it reads none.
    prompt_cache_t (*prompt_cache)(const backend_t *self);
    // NULL if the request cannot be made.
    backend_call_t *(*start)(backend_t *self, const backend_request_t *ask,
                             const backend_events_t *events, void *arg);
    void (*resume)(backend_call_t *call);
    // Ends it at once, with the connection behind it. *call_p becomes NULL.
    void (*cancel)(backend_call_t **call_p);
    void (*destroy)(backend_t **self_p);
} backend_type_t;

// First member of every backend's own struct, and of every call's.
struct backend {
    const backend_type_t *type;
};

backend_t *backend_openai_new(struct event_base *base, rl_fetcher_t *fetcher);
backend_t *backend_extractive_new(struct event_base *base);

#endif
