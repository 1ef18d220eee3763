// task: one answer's life, from GENERATE to DONE. (A prefill goes the same way, but
// never waits for a slot and streams no text; see prefill.h.)
//
//     received ─▶ waiting ─▶ prompted ─▶ asking ─▶ streaming ─▶ done
//         │          ▲           ▲  ◀─retry─┘ │fallback │
//         └──────────┘           └────────────┘         └─▶ failed (from any), cancelled (from any)
//
// One function changes the state and stamps the time. After done and failed the task stays until
// its gateway has acknowledged all of it.
#ifndef TASK_H
#define TASK_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "cite.h"
#include "generator.h"
#include "model_fingerprint.h"
#include "outbox.h"

typedef enum task_state {
    TASK_RECEIVED, // on no list
    TASK_WAITING,  // tasks->waiting: for a slot
    TASK_PROMPTED, // tasks->running, like the next two
    TASK_ASKING,
    TASK_STREAMING,
    TASK_DONE,      // tasks->ended: until acknowledged
    TASK_FAILED,    // tasks->ended
    TASK_CANCELLED, // on no list
    TASK_STATES,
} task_state_t;

typedef struct task {
    generator_t *generator;
    gateway_link_t *gateway;
    uint64_t route, id; // its name: each gateway counts its own
    char *request;      // for logs
    task_state_t state;
    uint64_t at_us[TASK_STATES]; // when it last came into each state, 0: never
    uint64_t first_token_us, deadline_us;
    outbox_t outbox;
    rl_msg_t *generate;               // until the first words: a retry or fallback needs it
    upstream_t *upstream;             // that is asked, while there is a call
    bool probe;                       // the call is the one that tries a failing server again
    unsigned version;                 // of the order that the next two are about:
    unsigned tried;                   //   a bit for each place that is not to be asked any more
    uint64_t ready_us[UPSTREAMS_MAX]; // when one that was busy may be asked again, 0: it was not
    unsigned retries;                 // of busy ones
    backend_call_t *call;
    bool paused, overdue;
    bool told;    // the gateway knows how many passages are read
    char held[4]; // the start of a character of which only a part has come
    size_t held_size;
    cite_t *cite; // NULL where the upstream cites by itself
    size_t passages_used;
    uint64_t prompt_tokens, tokens;            // estimate; deltas that came
    uint64_t repeated, cut, tokens_trimmed;    // as in prompt_t
    uint64_t prompt_hash;                      // of the messages, 0: there is no prompt
    char model_fingerprint[MODEL_FINGERPRINT]; // what is asked, as announced; "": not the first
    bool prefill;                              // its prompt is only to be read (prefill.h):
    char *prompt;                              //   the messages that are being read
    struct task *waits_for;                    // a prefill that reads this one's prompt
    uint64_t built_us;                         // when its prompt was there, before it waited
    bool waited;                               // for one, once
    struct event deadline, retry;
    TAILQ_ENTRY(task) list;   // of its state
    SLIST_ENTRY(task) bucket; // of tasks' table
} task_t;

// What a backend calls while it writes an answer.
extern const backend_events_t task_stream_events;

// Takes over `generate` (a message of its own). Only answers that it has a number for are sent.
task_t *task_new(generator_t *generator, gateway_link_t *gateway, rl_msg_t *generate);
void task_destroy(task_t **self_p);

// "received", "waiting"…
const char *task_state_name(task_state_t state);

// Changes the state; the only place that does. Ended tasks leave their list here.
void task_set_state(task_t *self, task_state_t state);

// A slot is free: builds the prompt and asks an upstream.
void task_start(task_t *self);
// Sends PROGRESS with a message for people.
void task_report(task_t *self, const char *stage, const char *message);
// Ends it with an error.
void task_fail(task_t *self, int status, const char *code, const char *message, bool retry,
               long retry_after_s);
// Cancels it: the connection to the LLM server is closed at once.
void task_cancel(task_t *self);
void task_credit(task_t *self, const rl_credit_t *credit);
// Sends all unacknowledged messages again.
void task_resend(task_t *self);
// Resumes it if it is paused and neither window nor gateway block it any more.
void task_resume(task_t *self);

// It has ended and all of it is acknowledged.
static inline bool task_is_over(const task_t *self)
{
    return self->state >= TASK_DONE && outbox_is_empty(&self->outbox);
}

#endif
