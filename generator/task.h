// task: one answer's life, from GENERATE to DONE. (A prompt that is only read goes the same way,
// without waiting and without words; see prefill.h.)
//
//     received ─▶ waiting ─▶ prompted ─▶ asking ─▶ streaming ─▶ done
//         │          ▲           ▲  ◀─retry─┘ │fallback │
//         └──────────┘           └────────────┘         └─▶ failed (from any), cancelled (from any)
//
// One function changes the state and stamps the time. After done and failed the task stays until
// its gateway has acknowledged all of it.
#ifndef GEN_TASK_H
#define GEN_TASK_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "cite.h"
#include "generator.h"
#include "outbox.h"
#include "writer.h"

typedef enum gen_state {
    GEN_RECEIVED, // on no list
    GEN_WAITING,  // tasks->waiting: for a slot
    GEN_PROMPTED, // tasks->running, like the next two
    GEN_ASKING,
    GEN_STREAMING,
    GEN_DONE,      // tasks->ended: until acknowledged
    GEN_FAILED,    // tasks->ended
    GEN_CANCELLED, // on no list
    GEN_STATES,
} gen_state_t;

typedef struct gen_task {
    generator_t *generator;
    gen_gateway_t *gateway;
    uint64_t route, id; // its name: each gateway counts its own
    char *request;      // for logs
    gen_state_t state;
    uint64_t at_us[GEN_STATES]; // when it last came into each state, 0: never
    uint64_t first_token_us, deadline_us;
    outbox_t outbox;
    rl_msg_t *generate;               // until the first words: a retry or fallback needs it
    gen_upstream_t *upstream;         // that is asked, while there is a call
    bool probe;                       // the call is the one that tries a failing server again
    unsigned version;                 // of the order that the next two are about:
    unsigned tried;                   //   a bit for each place that is not to be asked any more
    uint64_t ready_us[UPSTREAMS_MAX]; // when one that was busy may be asked again, 0: it was not
    unsigned retries;                 // of busy ones
    upstream_call_t *call;
    bool paused, overdue;
    bool told;    // how much of the passages is read
    char held[4]; // the start of a character of which only a part has come
    size_t held_size;
    cite_t *cite; // NULL where the upstream cites by itself
    size_t passages_used;
    uint64_t prompt_tokens, tokens;         // estimate; deltas that came
    uint64_t repeated, cut, tokens_trimmed; // as in prompt_t
    uint64_t prompt_hash;                   // of the messages, 0: there is no prompt
    char writer[GEN_WRITER];                // what is asked, as announced; "": not the first
    bool prefill;                           // its prompt is only to be read (prefill.h):
    char *prompt;                           //   the messages that are being read
    struct gen_task *waits_for;             // a prefill that reads this one's prompt
    uint64_t built_us;                      // when its prompt was there, before it waited
    bool waited;                            // for one, once
    struct event deadline, retry;
    TAILQ_ENTRY(gen_task) list;   // of its state
    SLIST_ENTRY(gen_task) bucket; // of tasks' table
} gen_task_t;

// Takes over `generate` (a kept message). Only answers that it has a number for are sent.
gen_task_t *gen_task_new(generator_t *generator, gen_gateway_t *gateway, rl_msg_t *generate);
void gen_task_destroy(gen_task_t **self_p);

// "received", "waiting"…
const char *gen_state_name(gen_state_t state);

// Changes the state; the only place that does. Ended tasks leave their list here.
void gen_task_enter(gen_task_t *self, gen_state_t state);

// Has got a slot: builds the prompt and asks.
void gen_task_start(gen_task_t *self);
// Tells people what it is at.
void gen_task_tell(gen_task_t *self, const char *stage, const char *message);
// Ends it with an error.
void gen_task_fail(gen_task_t *self, int status, const char *code, const char *message, bool retry,
                   long retry_after_s);
// Nobody waits for it: the connection to the LLM server is closed at once.
void gen_task_cancel(gen_task_t *self);
void gen_task_credit(gen_task_t *self, const rl_credit_t *credit);
// Sends again what is not acknowledged.
void gen_task_again(gen_task_t *self);
// Goes on if it is paused and nothing holds it up any more.
void gen_task_resume(gen_task_t *self);

// Nothing of it is needed any more.
static inline bool gen_task_over(const gen_task_t *self)
{
    return self->state >= GEN_DONE && outbox_empty(&self->outbox);
}

#endif
