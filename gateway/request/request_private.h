// request_private: what the parts of a request share. Each part has a struct of its own, which its
// own files alone know; a part calls what is declared here, never the sequence (request_run.c).
#ifndef REQUEST_PRIVATE_H
#define REQUEST_PRIVATE_H

#include "passage_set.h"
#include "request.h"
#include "response.h"
#include "timeline.h"

typedef struct request_failure request_failure_t;

struct request {
    pipeline_t *pipeline;
    question_t *question;
    response_t *response;
    answer_t answer;
    char id[40];
    timeline_t *timeline;
    const keys_caller_t *caller;
    request_state_t state;
    request_state_t end;        // what an event has ended it with; REQUEST_RECEIVED: nothing has
    request_failure_t *failure; // what the client is told then, NULL: nothing
    void (*run)(request_t *self);
    bool running; // a step is at work
    uint64_t received_us;
    rl_timer_t *timer;     // the whole answer
    rl_timer_t *phase;     // of the phase at hand: a check, retrieval's deadlines, a generator
    char *search_text;     // what is looked for: the question, made to stand on its own
    uint64_t retrieval_us; // when its deadlines begin: at the question's first byte, or when it was
                           // rewritten, or has waited for another's search that failed
    passage_set_t *passage_set; // the passages
    missing_source_t *missing;
    char *prefilled_by; // id of the generator that has read the passages ahead, NULL if none
    bool drafting;      // a draft that its session knows of
    bool previewed;     // a preview was looked for
    size_t text_length; // of the answer, in code points
    uint64_t tokens;    // that came for it
    // the parts; NULL until they have something to do
    struct rewriting *rewriting;
    struct search *search;
    struct revalidation *revalidation;
    struct coalesce *coalesce;
    struct cached_reply *cached_reply;
    struct provisional *provisional;
    struct progressive *progressive;
    struct generation *generation;
    TAILQ_ENTRY(request) all;
};

// The one function that changes the state; stamps the time.
void request_enter(request_t *self, request_state_t state);

// It is to end with an error to the client; returns REQUEST_FAILED, which a step returns in turn.
request_state_t request_fail(request_t *self, int status, const char *code, long retry_after_s,
                             const char *format, ...) __attribute__((format(printf, 5, 6)));
// The same, but nothing went wrong: it is ended as cancelled.
void request_cancel_with(request_t *self, const char *code, const char *message);

// To be called last in every event: the sequence goes on from what the event has recorded. The
// request may be gone afterwards.
void request_wake(request_t *self);

void request_status(request_t *self, const char *state, const char *message, const json_t *detail);
// Passages for which a message had no room: the client is told, they stand in the timings and are
// counted.
void request_note_left_out(request_t *self, size_t passages, const char *message);

// Milliseconds left until the whole answer's deadline, at least 1.
uint64_t request_limit_ms(const request_t *self);
uint64_t request_time_left_ms(const request_t *self);

// Sets or ends a timer, made when it is first set (us < 0: it ends; 0: in the next turn).
void request_set_timer(request_t *self, rl_timer_t **timer, int64_t us, rl_timer_fn *fn, void *arg);
// The phase's timer; `fn` gets the request. There is one phase at a time.
void request_set_phase(request_t *self, long ms, rl_timer_fn *fn);

// What an event has ended it with (request_base.c).
answer_error_t request_error(const request_t *self);
void request_forget_failure(request_t *self);

#endif
