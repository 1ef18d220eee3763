// talk: the requests of this program to one gateway, and the conversation that its answers make.
#ifndef TALK_H
#define TALK_H

#include <event2/event.h>
#include <stdbool.h>

#include "conf.h"

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
} talk_form_t;

typedef struct talk talk_t;

// `conf` is borrowed. `json`: bodies are written as they are.
talk_t *talk_new(struct event_base *base, const rl_conf_t *conf, talk_form_t form, bool json,
                 bool quiet);
void talk_destroy(talk_t **self_p);

// Starts one request; `question` is valid UTF-8 (NULL for TALK_WORKERS). `on_end` is called once,
// from the loop, with one of the exit statuses.
void talk_start(talk_t *self, const char *question, void (*on_end)(void *arg, int status),
                void *arg);

// Closes the connection at once, which ends the work behind it; on_end is not called.
void talk_stop(talk_t *self);

bool talk_busy(const talk_t *self);

#endif
