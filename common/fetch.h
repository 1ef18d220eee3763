// fetch: HTTP requests to other servers (LLM, embeddings, rerank) in the process's own loop, by
// libcurl's multi-socket interface.
#ifndef RL_FETCH_H
#define RL_FETCH_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rl_fetcher rl_fetcher_t; // connections of one process
typedef struct rl_fetch rl_fetch_t;     // one transfer

// At most `max_idle` connections are kept open between transfers.
rl_fetcher_t *rl_fetcher_new(struct event_base *base, long max_idle);
// Transfers still under way are closed without a call to on_done.
void rl_fetcher_destroy(rl_fetcher_t **self_p);

typedef struct rl_fetch_result {
    bool ok;                // a response came completely (whatever its status)
    bool timed_out;         // one of the time limits below ran out
    bool refused;           // no connection could be made
    long status;            // HTTP status, 0 if none came
    const char *error;      // what went wrong, in words, "" if ok; never holds a secret
    const char *type;       // Content-Type, "" if none
    long retry_after_s;     // Retry-After in seconds (a date counts from now), -1 if none
    uint64_t connect_us;    // from start to connected (TLS included), 0 if reused
    uint64_t sent_us;       // from start to request sent
    uint64_t first_byte_us; // from start to the first byte of the response
    uint64_t total_us;      // from start to its end
    const char *body;       // what came, if no on_data was given or the status was not 2xx
    size_t body_size;       //   (at most max_body bytes, NUL-terminated), else ""
} rl_fetch_result_t;

typedef struct rl_fetch_request {
    const char *url;
    const char *method;      // NULL: POST if there is a body, else GET
    const char *bearer;      // sent as Authorization: Bearer; NULL or "" for none
    const char *traceparent; // W3C headers, NULL or "" for none
    const char *tracestate;
    const char *const *headers; // more lines, "Name: value", up to a NULL; NULL for none
    const char *accept;         // NULL: application/json
    const char *body;           // JSON; copied
    size_t body_size;
    long connect_timeout_ms;    // 0: 3,000
    long first_byte_timeout_ms; // 0: none
    long idle_timeout_ms; // longest silence once the response began and while not paused; 0: none
    long timeout_ms;      // the whole transfer; 0: none
    size_t max_body;      // bound of result.body; 0: 1 MiB; a larger 2xx body is an error
    // Bytes of a 2xx response as they come; NULL: gathered in result.body. Returns false to pause
    // the transfer after these bytes (which are taken).
    bool (*on_data)(void *arg, const char *data, size_t size);
    // Called once, from the loop, never from within rl_fetch_start. The fetch is freed afterwards.
    void (*on_done)(void *arg, const rl_fetch_result_t *result);
    void *arg;
} rl_fetch_request_t;

// Starts a transfer; NULL if the URL is no http(s) URL or a header is none (then on_done is not
// called). The fetch belongs to the fetcher and is gone after on_done or rl_fetch_cancel.
rl_fetch_t *rl_fetch_start(rl_fetcher_t *self, const rl_fetch_request_t *request);

// Closes a transfer at once; no further calls are made for it. *fetch_p becomes NULL. May be
// called from within on_data.
void rl_fetch_cancel(rl_fetch_t **fetch_p);

// Goes on with a paused transfer, from the loop, never from within this call.
void rl_fetch_resume(rl_fetch_t *fetch);

// The result's times of a transfer under way, as far as they are known (else 0): for callers that
// have all they need before the response ends.
void rl_fetch_times(const rl_fetch_t *fetch, uint64_t *connect_us, uint64_t *sent_us,
                    uint64_t *first_byte_us);

#endif
