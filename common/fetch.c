// fetch: HTTP requests in the process's own loop. fetch_lane.c carries them; time limits are
// ours, since libcurl's own run on while a transfer is paused.
#include "fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "clock.h"
#include "fetch_private.h"
#include "log.h"
#include "mem.h"

enum {
    ERROR_BODY = 16384, // as much of an error's body is kept for its message
    LONGEST_RETRY_S = 86400,
};

// ---- the end of a transfer --------------------------------------------------------------

static void drop_fetch(rl_fetch_t *fetch)
{
    rl_fetcher_t *self = fetch->fetcher;
    evtimer_del(&fetch->limit);
    if (fetch->queued) {
        rl_fetch_t **at = &self->due;
        while (*at != fetch)
            at = &(*at)->next_due;
        *at = fetch->next_due;
    }
    if (fetch->next)
        fetch->next->prev = fetch->prev;
    if (fetch->prev)
        fetch->prev->next = fetch->next;
    else
        self->all = fetch->next;
    rl_fetch_lane_leave(fetch->lane);
    if (fetch->added)
        curl_multi_remove_handle(fetch->lane->multi, fetch->easy);
    rl_fetch_free(fetch);
}

static uint64_t info_us(const rl_fetch_t *fetch, CURLINFO info)
{
    curl_off_t value = 0;
    curl_easy_getinfo(fetch->easy, info, &value);
    return value > 0 ? (uint64_t)value : 0;
}

static bool is_connect_error(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
           code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
}

// What went wrong, in words that name the peer. libcurl's own words come last: they hold no header
// and no body.
static void describe_error(const rl_fetch_t *fetch, CURLcode code, char *out, size_t size)
{
    const char *more = fetch->error[0] ? fetch->error : curl_easy_strerror(code);
    if (fetch->timed_out)
        snprintf(out, size, "%s: %s", fetch->peer, fetch->timed_out);
    else if (fetch->too_large)
        snprintf(out, size, "%s: the response is larger than %zu bytes", fetch->peer,
                 fetch->body.max);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        snprintf(out, size, "%s: no connection within %llu ms", fetch->peer,
                 (unsigned long long)fetch->connect_limit / 1000);
    else if (code == CURLE_COULDNT_CONNECT)
        snprintf(out, size, "%s: connection refused or unreachable (%s)", fetch->peer, more);
    else if (code == CURLE_COULDNT_RESOLVE_HOST)
        snprintf(out, size, "%s: the host name cannot be resolved", fetch->peer);
    else if (code == CURLE_GOT_NOTHING)
        snprintf(out, size, "%s: the connection was closed without a response", fetch->peer);
    else if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR)
        snprintf(out, size, "%s: the connection was lost within the response (%s)", fetch->peer,
                 more);
    else
        snprintf(out, size, "%s: %s", fetch->peer, more);
}

void rl_fetch_times(const rl_fetch_t *fetch, uint64_t *connect_us, uint64_t *sent_us,
                    uint64_t *first_byte_us)
{
    long connects = 0;
    curl_easy_getinfo(fetch->easy, CURLINFO_NUM_CONNECTS, &connects);
    uint64_t connected = info_us(fetch, CURLINFO_APPCONNECT_TIME_T); // with TLS
    if (!connected)
        connected = info_us(fetch, CURLINFO_CONNECT_TIME_T);
    *connect_us = connects > 0 ? connected : 0;
    *sent_us = info_us(fetch, CURLINFO_PRETRANSFER_TIME_T);
    *first_byte_us = fetch->first_byte ? fetch->first_byte - fetch->started : 0;
}

static void finish_fetch(rl_fetch_t *fetch, CURLcode code)
{
    if (fetch->cancelled) {
        drop_fetch(fetch);
        return;
    }
    char error[CURL_ERROR_SIZE + 256] = "";
    char *type = NULL;
    bool ok = code == CURLE_OK && !fetch->timed_out && !fetch->too_large;
    if (!ok)
        describe_error(fetch, code, error, sizeof error);
    curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &fetch->status);
    rl_fetch_result_t result = {
        .ok = ok,
        .timed_out = fetch->timed_out || code == CURLE_OPERATION_TIMEDOUT,
        .status = fetch->status,
        .error = error,
        .type = type ? type : "",
        .retry_after_s = fetch->retry_after_s,
        .total_us = rl_now_us() - fetch->started,
        .body = fetch->body.data ? fetch->body.data : "",
        .body_size = fetch->body.size,
    };
    rl_fetch_times(fetch, &result.connect_us, &result.sent_us, &result.first_byte_us);
    result.refused = !ok && (is_connect_error(code) || (!result.sent_us && !result.first_byte_us));
    // on_done may start another transfer, or cancel this one, which then does nothing
    fetch->cancelled = true;
    fetch->on_done(fetch->arg, &result);
    drop_fetch(fetch);
}

void rl_fetch_take_finished(rl_fetch_lane_t *lane)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(lane->multi, &left))) {
        rl_fetch_t *fetch = NULL;
        CURLcode code = msg->data.result;
        if (msg->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&fetch);
        finish_fetch(fetch, code);
    }
}

// ---- libcurl's callbacks ----------------------------------------------------------------

static long retry_after(const char *value)
{
    char *end;
    long seconds = strtol(value, &end, 10);
    while (*end == ' ' || *end == '\t')
        end++;
    if (*value < '0' || *value > '9' || *end != '\0') {
        time_t date = curl_getdate(value, NULL);
        if (date < 0)
            return -1;
        seconds = (long)(date - time(NULL));
    }
    return seconds < 0 ? 0 : seconds > LONGEST_RETRY_S ? LONGEST_RETRY_S : seconds;
}

size_t rl_fetch_on_header(char *data, size_t unit, size_t size, void *arg)
{
    rl_fetch_t *fetch = arg;
    static const char name[] = "retry-after:";
    size *= unit;
    fetch->last_byte = rl_now_us();
    if (!fetch->first_byte)
        fetch->first_byte = fetch->last_byte;
    if (size > sizeof name && strncasecmp(data, name, sizeof name - 1) == 0) {
        char value[64];
        size_t from = sizeof name - 1, used = 0;
        while (from < size && (data[from] == ' ' || data[from] == '\t'))
            from++;
        while (from < size && data[from] != '\r' && data[from] != '\n' && used + 1 < sizeof value)
            value[used++] = data[from++];
        value[used] = '\0';
        fetch->retry_after_s = retry_after(value);
    }
    return size;
}

// Gathers a body. An error's body is only read for its message: what is beyond is passed over.
static bool gather_body(rl_fetch_t *fetch, const char *data, size_t size)
{
    bool success = fetch->status >= 200 && fetch->status < 300;
    if (!success) {
        size_t max = fetch->body.max < ERROR_BODY ? fetch->body.max : ERROR_BODY;
        size_t room = fetch->body.size < max ? max - fetch->body.size : 0;
        rl_buf_add(&fetch->body, data, size < room ? size : room);
        return true;
    }
    if (rl_buf_add(&fetch->body, data, size) == 0)
        return true;
    fetch->too_large = true;
    return false;
}

// The request's body is not needed once all of it is sent and the answer has begun: a prompt is
// what an open stream would cost most.
static void drop_payload(rl_fetch_t *fetch)
{
    curl_off_t sent = 0;
    curl_easy_getinfo(fetch->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    if ((size_t)sent < fetch->payload_size)
        return;
    free(fetch->payload);
    fetch->payload = NULL;
}

size_t rl_fetch_on_body(char *data, size_t unit, size_t size, void *arg)
{
    rl_fetch_t *fetch = arg;
    size *= unit;
    if (fetch->cancelled || fetch->timed_out)
        return size + 1; // not what came: libcurl ends the transfer
    fetch->last_byte = rl_now_us();
    if (!fetch->status)
        curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &fetch->status);
    if (fetch->payload)
        drop_payload(fetch);
    if (!fetch->on_data || fetch->status < 200 || fetch->status > 299)
        return gather_body(fetch, data, size) ? size : size + 1;
    if (!fetch->on_data(fetch->arg, data, size) && !fetch->cancelled && !fetch->paused) {
        fetch->paused = true;
        curl_easy_pause(fetch->easy, CURLPAUSE_RECV);
    }
    return fetch->cancelled ? size + 1 : size;
}

// ---- time limits ------------------------------------------------------------------------

// When the next limit runs out (0: never), and what to say then. Bytes only move last_byte: the
// timer is looked at again when it fires, so a token costs no timer.
static uint64_t next_limit(const rl_fetch_t *fetch, const char **what)
{
    uint64_t at = 0;
    *what = "";
    if (fetch->total_limit) {
        at = fetch->started + fetch->total_limit;
        *what = "the time for the whole transfer ran out";
    }
    if (!fetch->first_byte && fetch->first_limit &&
        (!at || fetch->started + fetch->first_limit < at)) {
        at = fetch->started + fetch->first_limit;
        *what = "no response came in time";
    }
    if (fetch->first_byte && fetch->idle_limit && !fetch->paused &&
        (!at || fetch->last_byte + fetch->idle_limit < at)) {
        at = fetch->last_byte + fetch->idle_limit;
        *what = "the response fell silent";
    }
    return at;
}

static void set_limit(rl_fetch_t *fetch)
{
    const char *what;
    uint64_t at = next_limit(fetch, &what), now = rl_now_us();
    // before the first byte its limit may be later than the first idle one would be
    if (!fetch->first_byte && fetch->idle_limit && (!at || now + fetch->idle_limit < at))
        at = now + fetch->idle_limit;
    if (!at) {
        evtimer_del(&fetch->limit);
        return;
    }
    uint64_t left = at > now ? at - now : 0;
    struct timeval time = {(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
    evtimer_add(&fetch->limit, &time);
}

static void on_limit(evutil_socket_t fd, short event, void *arg)
{
    rl_fetch_t *fetch = arg;
    const char *what;
    uint64_t at = next_limit(fetch, &what);
    (void)fd;
    (void)event;
    if (!at || at > rl_now_us()) {
        set_limit(fetch);
        return;
    }
    fetch->timed_out = what;
    curl_multi_remove_handle(fetch->lane->multi, fetch->easy);
    fetch->added = false;
    finish_fetch(fetch, CURLE_OPERATION_TIMEDOUT);
}

// ---- what waits until libcurl is off the stack ------------------------------------------

static void do_later(rl_fetch_t *fetch, unsigned what)
{
    rl_fetcher_t *self = fetch->fetcher;
    fetch->due |= what;
    if (!fetch->queued) {
        fetch->queued = true;
        fetch->next_due = self->due;
        self->due = fetch;
    }
    event_active(&self->later, EV_TIMEOUT, 1);
}

static void resume_now(rl_fetch_t *fetch)
{
    rl_fetcher_t *self = fetch->fetcher;
    if (!fetch->paused || !fetch->added)
        return;
    fetch->paused = false;
    fetch->last_byte = rl_now_us(); // the silence while it was paused was ours
    set_limit(fetch);
    self->inside = true; // what libcurl kept is handed over from within
    curl_easy_pause(fetch->easy, CURLPAUSE_CONT);
    self->inside = false;
}

static void add_now(rl_fetch_t *fetch)
{
    CURLMcode code = curl_multi_add_handle(fetch->lane->multi, fetch->easy);
    if (code == CURLM_OK) {
        fetch->added = true;
        return;
    }
    snprintf(fetch->error, sizeof fetch->error, "%s", curl_multi_strerror(code));
    finish_fetch(fetch, CURLE_FAILED_INIT);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    rl_fetcher_t *self = arg;
    (void)fd;
    (void)what;
    while (self->due) {
        rl_fetch_t *fetch = self->due;
        unsigned due = fetch->due;
        self->due = fetch->next_due;
        fetch->queued = false;
        fetch->due = 0;
        if (due & RL_FETCH_DUE_REMOVE)
            drop_fetch(fetch);
        else if (due & RL_FETCH_DUE_START)
            add_now(fetch);
        else if (due & RL_FETCH_DUE_RESUME)
            resume_now(fetch);
    }
    for (rl_fetch_lane_t *lane = self->lanes; lane; lane = lane->next)
        rl_fetch_take_finished(lane);
}

// ---- the public side --------------------------------------------------------------------

rl_fetcher_t *rl_fetcher_new(struct event_base *base, long max_idle)
{
    rl_fetcher_t *self = rl_new(*self);
    self->base = base;
    self->max_idle = max_idle > 0 ? max_idle : 1;
    rl_fetch_lane_new(self);
    evtimer_assign(&self->later, base, on_later, self);
    return self;
}

void rl_fetcher_destroy(rl_fetcher_t **self_p)
{
    rl_fetcher_t *self = *self_p;
    if (!self)
        return;
    while (self->all)
        drop_fetch(self->all);
    while (self->lanes)
        rl_fetch_lane_destroy(&self->lanes);
    event_del(&self->later);
    free(self);
    *self_p = NULL;
}

rl_fetch_t *rl_fetch_start(rl_fetcher_t *self, const rl_fetch_request_t *request)
{
    rl_fetch_t *fetch = rl_fetch_make(self, request);
    if (!fetch)
        return NULL;
    rl_fetch_lane_t *lane = rl_fetch_lane_with_room(self);
    fetch->lane = lane;
    rl_fetch_lane_join(lane);
    evtimer_assign(&fetch->limit, self->base, on_limit, fetch);
    fetch->next = self->all;
    if (self->all)
        self->all->prev = fetch;
    self->all = fetch;
    fetch->started = rl_now_us();
    set_limit(fetch);
    if (self->inside)
        do_later(fetch, RL_FETCH_DUE_START);
    else if (curl_multi_add_handle(lane->multi, fetch->easy) == CURLM_OK)
        fetch->added = true;
    else
        do_later(fetch,
                 RL_FETCH_DUE_START); // tried again from the loop, where a failure can be reported
    return fetch;
}

void rl_fetch_cancel(rl_fetch_t **fetch_p)
{
    rl_fetch_t *fetch = *fetch_p;
    if (!fetch)
        return;
    *fetch_p = NULL;
    if (fetch->cancelled)
        return; // on_done is running, or it was cancelled before
    fetch->cancelled = true;
    if (fetch->fetcher->inside)
        do_later(fetch, RL_FETCH_DUE_REMOVE);
    else
        drop_fetch(fetch);
}

void rl_fetch_resume(rl_fetch_t *fetch)
{
    if (fetch && fetch->paused && !fetch->cancelled)
        do_later(fetch, RL_FETCH_DUE_RESUME);
}
