// fetch_lane: libcurl in the loop. It says which sockets and which one timer a multi handle
// wants (multi-socket interface); libevent watches them.
#include <stdlib.h>

#include "fetch_private.h"
#include "log.h"
#include "mem.h"

enum {
    LANE_TRANSFERS = 256, // in one multi handle
    IDLE_SHARE = 8, // the first lane keeps max_idle connections, each other one this part of it
};

// A socket of libcurl's and its event.
typedef struct watch {
    struct event event;
    rl_fetch_lane_t *lane;
    int wanted;
} watch_t;

static void socket_action(rl_fetch_lane_t *lane, curl_socket_t fd, int what)
{
    int running;
    lane->fetcher->inside = true;
    CURLMcode code = curl_multi_socket_action(lane->multi, fd, what, &running);
    lane->fetcher->inside = false;
    if (code != CURLM_OK)
        rl_error("libcurl: %s", curl_multi_strerror(code));
    rl_fetch_take_finished(lane);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    watch_t *watch = arg;
    socket_action(watch->lane, fd,
                  ((what & EV_READ) ? CURL_CSELECT_IN : 0) |
                      ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    socket_action(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    rl_fetch_lane_t *lane = arg;
    watch_t *watch = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            event_del(&watch->event);
            free(watch);
            curl_multi_assign(lane->multi, fd, NULL);
        }
        return 0;
    }
    if (!watch) {
        watch = rl_new(*watch);
        watch->lane = lane;
        curl_multi_assign(lane->multi, fd, watch);
    } else if (watch->wanted == what) {
        return 0;
    } else {
        event_del(&watch->event);
    }
    watch->wanted = what;
    short events = EV_PERSIST | ((what & CURL_POLL_IN) ? EV_READ : 0) |
                   ((what & CURL_POLL_OUT) ? EV_WRITE : 0);
    event_assign(&watch->event, lane->fetcher->base, fd, events, on_socket, watch);
    return event_add(&watch->event, NULL);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    rl_fetch_lane_t *lane = arg;
    (void)multi;
    if (timeout_ms < 0) {
        evtimer_del(&lane->timer);
        return 0;
    }
    struct timeval time = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    return evtimer_add(&lane->timer, &time);
}

rl_fetch_lane_t *rl_fetch_lane_new(rl_fetcher_t *self)
{
    rl_fetch_lane_t *lane = rl_new(*lane), **end = &self->lanes;
    lane->multi = rl_must(curl_multi_init());
    lane->fetcher = self;
    lane->max_idle = self->lanes ? (self->max_idle + IDLE_SHARE - 1) / IDLE_SHARE : self->max_idle;
    evtimer_assign(&lane->timer, self->base, on_timer, lane);
    curl_multi_setopt(lane->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(lane->multi, CURLMOPT_SOCKETDATA, lane);
    curl_multi_setopt(lane->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(lane->multi, CURLMOPT_TIMERDATA, lane);
    curl_multi_setopt(lane->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, lane->max_idle);
    while (*end)
        end = &(*end)->next;
    *end = lane;
    return lane;
}

void rl_fetch_lane_destroy(rl_fetch_lane_t **lane_p)
{
    rl_fetch_lane_t *lane = *lane_p;
    *lane_p = lane->next;
    curl_multi_cleanup(lane->multi);
    evtimer_del(&lane->timer);
    free(lane);
}

rl_fetch_lane_t *rl_fetch_lane_with_room(rl_fetcher_t *self)
{
    rl_fetch_lane_t *lane = self->lanes;
    while (lane && lane->size >= LANE_TRANSFERS)
        lane = lane->next;
    return lane ? lane : rl_fetch_lane_new(self);
}

// libcurl counts connections in use among those that it keeps, and looks at the limit while the
// transfer that ends is still counted here.
static void keep_idle(rl_fetch_lane_t *lane)
{
    long others = lane->size > 0 ? lane->size - 1 : 0;
    curl_multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, others + lane->max_idle);
}

void rl_fetch_lane_join(rl_fetch_lane_t *lane)
{
    lane->size++;
    keep_idle(lane);
}

void rl_fetch_lane_leave(rl_fetch_lane_t *lane)
{
    lane->size--;
    keep_idle(lane);
}
