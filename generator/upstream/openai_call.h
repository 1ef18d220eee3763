// openai_call: one request for a chat completion while its response comes: the stream, its time
// limits, its end. For backend_openai.c alone, which starts and cancels it.
#ifndef OPENAI_CALL_H
#define OPENAI_CALL_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "backend.h"
#include "openai_server.h"
#include "sse.h"

enum {
    OPENAI_WHOLE_MAX = 1 << 20, // bytes of an answer that is not streamed
    OPENAI_BLANKS_MAX = 4096,   // of white space that is kept until a word comes
};

// What the response is, by its first byte: servers do not always label it rightly.
typedef enum openai_body {
    NOT_BEGUN,
    EVENT_STREAM,
    WHOLE
} openai_body_t;

typedef struct openai_call {
    openai_server_t *server;
    LIST_ENTRY(openai_call) list;
    backend_events_t events;
    void *arg;
    rl_fetch_t *fetch;
    rl_sse_t *sse;
    rl_buf_t request; // while the model's name is awaited: what comes behind it
    char traceparent[64], *tracestate;
    char name[64];  // of the request, for the log
    char salt[128]; // rl_generate_t's
    bool has_params;
    openai_body_t kind;
    rl_buf_t whole;           // an answer that is no stream
    struct event limit;       // first token, then silence
    uint64_t started, active; // µs; active: of the last sign of life
    uint64_t asked_after;     // µs spent on the model's name
    uint64_t told_reading;    // when the reading progress was last reported
    backend_times_t times;
    rl_buf_t blanks; // white space that came before the first word: no answer yet
    uint64_t max_tokens;
    bool must_say; // an answer without words is a failure
    bool spoke;    // text or thoughts have come
    bool thought;  // reasoning was reported
    bool worded;   // a word has come
    bool refused;  // words of a refusal, too
    bool called;   // a tool
    bool vague;    // words came after a finish_reason: it marks no end here
    bool paused;
    bool answered;      // the answer came whole
    bool over;          // the end was reported, or the call was cancelled
    bool busy;          // a callback of ours is on the stack
    const char *finish; // OpenAI's name of it, NULL until it came
    char *model;        // as the server calls it
    backend_end_t end;
} openai_call_t;

void openai_call_destroy(openai_call_t *call);

// Ends it with what the server sent in place of an answer, and a sample of that; or with a result
// that is a failure. The call is still to be destroyed.
void openai_call_broken(openai_call_t *call, const char *what, const char *sample, size_t size);
void openai_call_fail(openai_call_t *call, const rl_fetch_result_t *result);

// Looks in so long whether there were signs of life; its timer's function.
void openai_call_set_limit(openai_call_t *call, long ms);
void openai_call_on_limit(evutil_socket_t fd, short what, void *arg);

// The response: rl_fetch_request_t's on_data and on_done.
bool openai_call_on_data(void *arg, const char *data, size_t size);
void openai_call_on_done(void *arg, const rl_fetch_result_t *result);

#endif
