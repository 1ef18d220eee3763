// response: how an answer is sent to its client: one small struct of functions per form (events of
// /v1/ask, JSON of /v1/ask and /v1/search, OpenAI's chunks, OpenAI's JSON).
//
// The request calls these in the order of the path: status* and found*, sources, status* and
// preview (once at most, if at all), token/cite*, then done or error, once. A form that does not
// stream gathers nothing itself: it writes everything from the answer at done.
#ifndef RESPONSE_H
#define RESPONSE_H

#include "answer.h"
#include "http.h"
#include "question.h"
#include "replay.h"

typedef struct response response_t;

typedef struct response_form {
    const char *name;
    // Progress: `state` is a word of the API, `message` for people; `detail` (may be NULL) is a
    // JSON object whose members are added to the event; borrowed.
    void (*status)(response_t *self, const char *state, const char *message, const json_t *detail);
    // The passages so far: sources are still awaited (answer->awaited). NULL where nobody sees it.
    void (*found)(response_t *self, const answer_t *answer);
    void (*sources)(response_t *self, const answer_t *answer);
    // A quotation for the time until the first token. NULL where nobody sees it.
    void (*preview)(response_t *self, const answer_preview_t *preview);
    void (*token)(response_t *self, const char *text, size_t size);
    void (*cite)(response_t *self, const answer_citation_t *citation);
    // Everything has come: timings, done (or the whole JSON), and the end of the response.
    void (*done)(response_t *self, const answer_t *answer);
    // Before the response has begun: a JSON error with its status; after: an error event and the
    // end.
    void (*error)(response_t *self, const answer_t *answer, const answer_error_t *error);
} response_form_t;

// Which citations a text carries itself, so that "[2]" is put in only where the model did not.
typedef struct citation_marks {
    bool open;       // behind a "["
    unsigned number; // read so far behind it
    uint64_t cited;  // bit n: "[n]" has come since the last citation
    char last;       // byte of the text
} citation_marks_t;

struct response {
    const response_form_t *ops;
    http_req_t *req;            // NULL once the response is complete, or with its replay
    replay_t *replay;           // of a resumable answer: its events go there
    const question_t *question; // borrowed
    uint64_t next_id;           // of the next event
    rl_buf_t out;               // scratch for one event
    // OpenAI's forms
    int64_t created;
    rl_buf_t prefix; // what every chunk begins with
    citation_marks_t marks;
};

// Takes the request; picks the form by the question. `replay` is NULL but for a resumable
// answer; it then takes the request with the first event.
response_t *response_new(http_req_t **req_p, const question_t *question, replay_t *replay);
// For how long output has waited for the client to read, in µs.
uint64_t response_blocked_us(const response_t *self);
// Bytes that the client has not taken.
size_t response_backlog(const response_t *self);
// Frees it; a response not complete is given up (http_drop).
void response_destroy(response_t **self_p);

#endif
