// fetch_private: what the files of fetch share.
#ifndef RL_FETCH_PRIVATE_H
#define RL_FETCH_PRIVATE_H

#include <curl/curl.h>
#include <event2/event_struct.h>

#include "buf.h"
#include "fetch.h"

// One multi handle of libcurl's with its connections. libcurl looks through all connections of a
// multi handle for each transfer that begins and for each that ends (0.9 ms more for one of 10,000,
// on average while they began and ended): so a lane takes a bounded number, and there are more.
typedef struct rl_fetch_lane {
    rl_fetcher_t *fetcher;
    struct rl_fetch_lane *next;
    CURLM *multi;
    struct event timer;  // libcurl's one timer
    long size, max_idle; // transfers; connections that are kept without one
} rl_fetch_lane_t;

struct rl_fetcher {
    struct event_base *base;
    rl_fetch_lane_t *lanes; // at least one; filled in order, so that idle connections are found
    struct event later;     // what may not be done inside libcurl is done from here
    rl_fetch_t *all;        // transfers
    rl_fetch_t *due;        // transfers with something to do later
    long max_idle;
    bool inside; // libcurl is on the stack: it must not be told to add, remove or unpause
};

// What has to be done with a transfer as soon as libcurl is off the stack.
enum {
    RL_FETCH_DUE_START = 1,
    RL_FETCH_DUE_RESUME = 2,
    RL_FETCH_DUE_REMOVE = 4
};

struct rl_fetch {
    rl_fetcher_t *fetcher;
    rl_fetch_lane_t *lane;
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

// A transfer as the request says, on no list yet; NULL if the URL or a header cannot be used.
// rl_fetch_free takes it as it is then: not with libcurl's multi handle any more.
rl_fetch_t *rl_fetch_make(rl_fetcher_t *self, const rl_fetch_request_t *request);
void rl_fetch_free(rl_fetch_t *fetch);

// A lane at the end of the fetcher's.
rl_fetch_lane_t *rl_fetch_lane_new(rl_fetcher_t *self);
// Takes the first of a list of lanes away, which has no transfer any more.
void rl_fetch_lane_destroy(rl_fetch_lane_t **lane_p);
// The first one that takes another transfer, a new one if need be.
rl_fetch_lane_t *rl_fetch_lane_with_room(rl_fetcher_t *self);
// A transfer belongs to the lane from join to leave, whether libcurl has it by then or not.
void rl_fetch_lane_join(rl_fetch_lane_t *lane);
void rl_fetch_lane_leave(rl_fetch_lane_t *lane);
// Ends the transfers that libcurl has come to the end of (in fetch.c).
void rl_fetch_take_finished(rl_fetch_lane_t *lane);

// libcurl's callbacks for what comes.
size_t rl_fetch_on_header(char *data, size_t unit, size_t size, void *arg);
size_t rl_fetch_on_body(char *data, size_t unit, size_t size, void *arg);

#endif
