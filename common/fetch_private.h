// fetch_private: what the files of fetch share.
#ifndef RL_FETCH_PRIVATE_H
#define RL_FETCH_PRIVATE_H

#include <curl/curl.h>
#include <event2/event_struct.h>

#include "buf.h"
#include "fetch.h"

struct rl_fetcher {
    struct event_base *base;
    CURLM *multi;
    struct event timer; // libcurl's one timer
    struct event later; // what may not be done inside libcurl is done from here
    rl_fetch_t *all;    // transfers
    rl_fetch_t *due;    // transfers with something to do later
    long max_idle, size;
    bool inside; // libcurl is on the stack: it must not be told to add, remove or unpause
};

// What has to be done with a transfer as soon as libcurl is off the stack.
enum {
    DUE_START = 1,
    DUE_RESUME = 2,
    DUE_REMOVE = 4
};

struct rl_fetch {
    rl_fetcher_t *fetcher;
    rl_fetch_t *next, *prev; // in fetcher->all
    rl_fetch_t *next_due;
    unsigned due;
    bool queued; // in fetcher->due
    CURL *easy;
    struct curl_slist *headers;
    char *payload; // the request's body, until it is sent
    size_t payload_size;
    bool (*on_data)(void *, const char *, size_t);
    void (*on_done)(void *, const rl_fetch_result_t *);
    void *arg;
    rl_buf_t body;
    struct event limit; // the next time limit that could run out
    uint64_t started, first_byte, last_byte;
    uint64_t connect_limit, first_limit, idle_limit, total_limit; // µs, 0: none
    long status;
    long retry_after_s;
    bool added, paused, cancelled, too_large;
    const char *timed_out; // which limit ran out, NULL: none
    char peer[160];        // host:port
    char error[CURL_ERROR_SIZE];
};

// A transfer as the request says, on no list yet; NULL if memory runs out or the URL or a header
// cannot be used. fetch_free takes it as it is then: not with libcurl's multi handle any more.
rl_fetch_t *fetch_make(rl_fetcher_t *self, const rl_fetch_request_t *request);
void fetch_free(rl_fetch_t *fetch);

// libcurl's callbacks for what comes.
size_t fetch_on_header(char *data, size_t unit, size_t size, void *arg);
size_t fetch_on_body(char *data, size_t unit, size_t size, void *arg);

#endif
