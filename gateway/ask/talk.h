// talk: the requests of this program to one gateway, and the conversation that its answers make.
#ifndef TALK_H
#define TALK_H

#include <event2/event.h>
#include <stdbool.h>

#include "conf.h"
#include "fetch.h"

// Exit status, for scripts.
enum {
    TALK_ANSWERED = 0,
    TALK_NO_ANSWER = 1, // an error event, or nothing found
    TALK_WRONG_USE = 2,
    TALK_UNREACHED = 3,  // no connection, or the gateway refused
    TALK_INCOMPLETE = 4, // answered, with sources missing
    TALK_STOPPED = 130,  // Ctrl-C
};

typedef enum talk_form {
    TALK_STREAM,  // POST /v1/ask, shown as it comes
    TALK_WHOLE,   // the same, as one JSON
    TALK_SEARCH,  // POST /v1/search
    TALK_WORKERS, // GET /v1/workers
    TALK_DRAFT,   // POST /v1/draft, beside a conversation (talk_beside)
} talk_form_t;

typedef struct talk talk_t;

// `conf` is borrowed. `json`: bodies are written as they are.
talk_t *talk_new(struct event_base *base, const rl_conf_t *conf, talk_form_t form, bool json,
                 bool quiet);
void talk_destroy(talk_t **self_p);

// Starts one request; `question` is valid UTF-8 (NULL for TALK_WORKERS), `draft` the name that its
// drafts had, or NULL. `on_end` is called once, from the loop, with one of the exit statuses.
void talk_start(talk_t *self, const char *question, const char *draft,
                void (*on_end)(void *arg, int status), void *arg);

// Closes the connection at once, which ends the work behind it; on_end is not called.
void talk_stop(talk_t *self);

bool talk_busy(const talk_t *self);

// What is sent to ask this question in this form, as part of the conversation; malloc'd.
char *talk_body(const talk_t *self, talk_form_t form, const char *question, const char *draft);
// A small request to the same gateway, at "/v1/" and `path`, while nobody or another is asked; GET
// where `body` is NULL. As rl_fetch_start, but for the talk's death, which it does not outlive.
rl_fetch_t *talk_beside(talk_t *self, const char *path, const char *body, long timeout_ms,
                        void (*on_end)(void *arg, const rl_fetch_result_t *result), void *arg);

#endif
