// openai_server: an LLM server as configured: where it is, its key, its limits; and what it says of
// itself: its model's name, where none is configured, and what kind of server it is. It is asked
// for its list of models, which also keeps a connection to it open (openai_learn.c).
#ifndef OPENAI_SERVER_H
#define OPENAI_SERVER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "backend.h"
#include "fetch.h"

enum {
    OPENAI_MODELS_MS = 5000
}; // longest time for the list of models

typedef enum openai_kind {
    OPENAI_UNKNOWN,
    OPENAI_LLAMA, // llama.cpp's llama-server: keeps the prompt of each slot, tells how far it read
    OPENAI_VLLM,  // keeps prompts in blocks
    OPENAI_OTHER,
} openai_kind_t;

typedef struct openai_server {
    struct event_base *loop;
    rl_fetcher_t *fetcher;
    char *url, *key, *model; // model: "" until learnt
    char where[160];         // "llm." or "[upstream NAME] ", before an option's name in messages
    json_t *params;          // option params: sampling fields where the request does not say
    bool learns;             // no model is configured: the server's first is taken
    char peer[200];          // host:port, for messages
    long connect_ms, first_token_ms, idle_ms, warm_ms;
    openai_kind_t kind;
    bool asks_kind;    // the kind is not configured: the server's word is taken
    bool reads_ahead;  // prompts may be read ahead there, if its kind keeps them
    size_t slots;      // 0: not known
    uint64_t heard_us; // when it answered last
    uint64_t warmed;   // small requests that kept the connection open
    rl_fetch_t *learning;
    struct event learn_again;
} openai_server_t;

void openai_server_init(openai_server_t *self, struct event_base *loop, rl_fetcher_t *fetcher);
void openai_server_free(openai_server_t *self);

// Whether these settings hold; false with what is wrong in `why`.
bool openai_server_check(const backend_settings_t *settings, char *why, size_t why_size);
// Takes over settings that hold, and begins to learn the model's name if need be. Returns whether
// it is another server from now on.
bool openai_server_configure(openai_server_t *self, const backend_settings_t *settings);

// Starts a request for this path behind the url ("/props": behind its host); url, key and
// connection limit are filled in.
rl_fetch_t *openai_server_fetch(const openai_server_t *self, const char *path,
                                rl_fetch_request_t *request);

// openai_learn.c

// Takes the first model of a list that the server answered with, and the server's kind. False when
// it names no model.
bool openai_server_learn(openai_server_t *self, const rl_fetch_result_t *result);
// Asks for what is not known, and again when the connection was idle for warm_ms; goes on by
// itself. Settings may have changed.
void openai_server_keep_learning(openai_server_t *self);
// Its timer.
void openai_server_learn_again(evutil_socket_t fd, short what, void *arg);

#endif
