// openai_server: an LLM server as configured: where it is, its key, its limits, and its model's
// name, which it is asked for where none is configured.
#ifndef GEN_OPENAI_SERVER_H
#define GEN_OPENAI_SERVER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "fetch.h"
#include "upstream.h"

enum {
    OPENAI_MODELS_MS = 5000
}; // longest time for the list of models

typedef struct openai_server {
    struct event_base *loop;
    rl_fetcher_t *fetcher;
    char *url, *key, *model; // model: "" until learnt
    char where[160];         // "llm." or "[upstream NAME] ", before an option's name in messages
    json_t *params;          // option params: sampling fields where the request does not say
    bool learns;             // no model is configured: the server's first is taken
    char peer[200];          // host:port, for messages
    long connect_ms, first_token_ms, idle_ms;
    rl_fetch_t *learning;
    struct event learn_again;
} openai_server_t;

void openai_server_init(openai_server_t *self, struct event_base *loop, rl_fetcher_t *fetcher);
void openai_server_free(openai_server_t *self);

// Whether these settings hold; false with what is wrong in `why`.
bool openai_server_check(const upstream_settings_t *settings, char *why, size_t why_size);
// Takes over settings that hold, and begins to learn the model's name if need be. Returns whether
// it is another server from now on.
bool openai_server_configure(openai_server_t *self, const upstream_settings_t *settings);

// Starts a request for this path behind the url; url, key and connection limit are filled in.
rl_fetch_t *openai_server_fetch(const openai_server_t *self, const char *path,
                                rl_fetch_request_t *request);

// Takes the first model of a list that the server answered with. False when it names none.
bool openai_server_learn(openai_server_t *self, const rl_fetch_result_t *result);

#endif
