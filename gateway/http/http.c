// http: the server: its listening socket, accepting, time limits, reload and drain.
#include "http_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "http_listen.h"
#include "log.h"
#include "mem.h"

enum {
    FLUSH_LIMIT_S = 60, // a client that reads nothing of a complete response for so long is dropped
    LINGER_LIMIT_S = 2,
    DRAIN_LIMIT_S = 1,      // for requests that are coming in when no more are wanted
    HANDSHAKES_US = 200000, // draining a shared socket: for connections that are being made
    KERNEL_UNSENT = 65536,  // bytes that the kernel takes of a client's unsent ones: its own limit
                            // is megabytes, which would hide a slow client and add up over many
    OTHER_FDS = 256,        // descriptors that are not for clients: workers, logs, transfers
    RETRY_ACCEPT_US = 100000, // after an accept that failed for want of descriptors or memory
    SILENT_US = 1000000,      // a connection silent for so long is closed where there are too many
    WARN_EVERY_US = 10000000, // that accepting fails
};

// ---- time ---------------------------------------------------------------------------------------

static void stop_listening(http_server_t *self)
{
    if (self->accepting)
        event_free(self->accepting);
    self->accepting = NULL;
    self->close_us = 0;
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
}

static void on_timer(void *arg)
{
    http_server_t *self = arg;
    self->armed_us = 0;
    uint64_t now = rl_now_us();
    if (self->close_us > 0 && self->close_us <= now)
        stop_listening(self);
    else if (self->close_us > 0)
        http_state_arm_timer(self, self->close_us);
    for (int state = 0; state < HTTP_STATES; state++) {
        http_list_t *list = &self->lists[state];
        while (list->limit_us > 0 && list->first && list->first->since_us + list->limit_us <= now)
            http_conn_out_of_time(list->first);
        if (list->limit_us > 0 && list->first)
            http_state_arm_timer(self, list->first->since_us + list->limit_us);
    }
    http_state_resume_accepting(self);
}

// ---- accepting ----------------------------------------------------------------------------------

static void pause_accepting(http_server_t *self)
{
    self->paused = true;
    event_del(self->accepting);
    http_state_arm_timer(self, rl_now_us() + RETRY_ACCEPT_US);
}

// An idle connection, or one that has been silent for a while, is closed to make room for another.
static bool close_idle(http_server_t *self)
{
    http_conn_t *idle = self->lists[HTTP_IDLE].first, *silent = self->lists[HTTP_READING].first;
    if (!idle && silent && !silent->req && rl_now_us() - silent->since_us > SILENT_US)
        idle = silent;
    if (idle)
        http_conn_close(idle);
    return idle != NULL;
}

// Accepting failed. Returns whether to try again at once.
static bool accept_failed(http_server_t *self, int error)
{
    if (error == ECONNABORTED || error == EINTR)
        return true;
    if (error == EAGAIN)
        return false;
    if ((error == EMFILE || error == ENFILE) && close_idle(self))
        return true;
    uint64_t now = rl_now_us();
    if (now - self->warned_us > WARN_EVERY_US || !self->warned_us)
        rl_warn("cannot accept a client: %s", strerror(error));
    self->warned_us = now;
    pause_accepting(self);
    return false;
}

// Accepts one client. Returns false when there is no further one now.
static bool accept_one(http_server_t *self)
{
    if (self->counts.open_connections >= self->max_connections && !close_idle(self)) {
        pause_accepting(self);
        return false;
    }
    int fd = accept4(self->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return accept_failed(self, errno);
    int on = 1, unsent = KERNEL_UNSENT;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    http_conn_open(self, fd);
    return true;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    http_server_t *self = arg;
    (void)fd;
    (void)what;
    for (int at = 0; at < HTTP_ACCEPTS_PER_TURN && accept_one(self); at++)
        ;
}

// ---- the server ---------------------------------------------------------------------------------

static uint64_t conf_us(const rl_conf_t *conf, const char *name)
{
    return (uint64_t)rl_conf_int(conf, name) * 1000;
}

// The settings that a reload can change.
static void read_limits(http_server_t *self)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    self->max_headers = (size_t)rl_conf_int(conf, "gateway.max_headers");
    self->max_body = (size_t)rl_conf_int(conf, "gateway.max_body");
    self->client_buffer = (size_t)rl_conf_int(conf, "gateway.client_buffer");
    self->max_connections = (size_t)rl_conf_int(conf, "gateway.max_connections");
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > 2 * OTHER_FDS &&
        self->max_connections > files.rlim_cur - OTHER_FDS)
        self->max_connections = files.rlim_cur - OTHER_FDS;
    self->lists[HTTP_READING].limit_us = conf_us(conf, "gateway.request_timeout_ms");
    self->lists[HTTP_IDLE].limit_us = conf_us(conf, "gateway.keepalive_ms");
    self->lists[HTTP_STREAMING].limit_us = conf_us(conf, "gateway.comment_ms");
    self->lists[HTTP_FLUSHING].limit_us = FLUSH_LIMIT_S * 1000000u;
    self->lists[HTTP_LINGERING].limit_us = LINGER_LIMIT_S * 1000000u;
    free(self->cors);
    self->cors = rl_strdup(rl_conf_str(conf, "gateway.cors_origin"));
}

static http_tls_t *read_tls(const http_server_t *self, bool *wanted, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    const char *cert = rl_conf_str(conf, "gateway.tls_cert");
    const char *key = rl_conf_str(conf, "gateway.tls_key");
    *wanted = *cert || *key;
    if (!*wanted)
        return NULL;
    if (!*cert || !*key) {
        snprintf(why, why_size, "gateway.tls_cert and gateway.tls_key must be given together");
        return NULL;
    }
    return http_tls_new(cert, key, why, why_size);
}

static int open_socket(http_server_t *self, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    bool public = rl_conf_bool(conf, "gateway.allow_public");
    bool tls = false;
    self->keys = keys_new(rl_conf_str(conf, "gateway.keys_file"), why, why_size);
    if (!self->keys)
        return -1;
    self->tls = read_tls(self, &tls, why, why_size);
    if (tls && !self->tls)
        return -1;
    self->check_host = !keys_needed(self->keys) && !public;
    self->shared = rl_conf_bool(conf, "gateway.shared");
    self->fd = http_listen(rl_conf_str(conf, "gateway.listen"), self->shared, !self->check_host,
                           &self->passed, why, why_size);
    if (self->fd < 0)
        return -1;
    self->shared = self->shared && !self->passed;
    self->waits = self->shared || self->passed;
    char name[256];
    http_listen_name(self->fd, name, sizeof name);
    snprintf(self->url, sizeof self->url, "%s://%s", tls ? "https" : "http", name);
    return 0;
}

http_server_t *http_server_new(rl_proc_t *proc, const http_route_t *routes, void *arg, char *why,
                               size_t why_size)
{
    http_server_t *self = rl_new(*self);
    struct event_base *base = rl_proc_base(proc);
    *self = (http_server_t){.proc = proc,
                            .routes = routes,
                            .arg = arg,
                            .fd = -1,
                            .scratch = rl_alloc(HTTP_SCRATCH),
                            .timer = rl_timer_new(base, on_timer, self)};
    read_limits(self);
    if (open_socket(self, why, why_size) != 0) {
        http_server_destroy(&self);
        return NULL;
    }
    self->accepting = rl_must(event_new(base, self->fd, EV_READ | EV_PERSIST, on_accept, self));
    if (!self->waits)
        event_add(self->accepting, NULL);
    rl_proc_on_turn_end(proc, http_conn_turn_end, self);
    return self;
}

void http_server_destroy(http_server_t **self_p)
{
    http_server_t *self = *self_p;
    if (!self)
        return;
    self->draining = true;
    rl_proc_remove_hook(self->proc, http_conn_turn_end, self);
    for (int state = 0; state < HTTP_STATES; state++)
        while (self->lists[state].first)
            http_conn_close(self->lists[state].first);
    stop_listening(self);
    rl_timer_destroy(&self->timer);
    http_tls_destroy(&self->tls);
    keys_destroy(&self->keys);
    free(self->scratch);
    free(self->cors);
    free(self);
    *self_p = NULL;
}

static void reload_keys(http_server_t *self)
{
    char why[512];
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    const char *file = rl_conf_str(conf, "gateway.keys_file");
    bool public = rl_conf_bool(conf, "gateway.allow_public");
    if (!*file && !public && !http_listen_local(self->fd))
        rl_error(
            "gateway.keys_file is gone and others can reach gateway.listen: the old keys stay in "
            "force");
    else if (keys_reload(self->keys, file, why, sizeof why) != 0)
        rl_error("%s: the old keys stay in force", why);
    self->check_host = !keys_needed(self->keys) && !public;
}

void http_server_reload(http_server_t *self)
{
    char why[512];
    bool wanted = false;
    read_limits(self);
    reload_keys(self);
    http_tls_t *tls = read_tls(self, &wanted, why, sizeof why);
    if (wanted && !tls)
        rl_error("%s: the old certificate stays in force", why);
    else if (wanted != (self->tls != NULL))
        rl_error("TLS cannot be switched on or off without a restart");
    if (tls && self->tls) {
        http_tls_t *old = self->tls;
        self->tls = tls;
        tls = old;
    }
    http_tls_destroy(&tls);
}

const char *http_server_url(const http_server_t *self)
{
    return self->url;
}

bool http_server_waits(const http_server_t *self)
{
    return self->waits;
}

void http_server_open(http_server_t *self)
{
    if (!self->waits || self->draining)
        return;
    if (self->shared && http_listen_begin(self->fd) != 0)
        rl_error("gateway.listen: %s", strerror(errno));
    self->waits = false;
    event_add(self->accepting, NULL);
}

// Closes the listening socket so that nobody who is connecting is reset.
static void end_listening(http_server_t *self)
{
    if (self->passed || self->waits) {
        stop_listening(self);
        return;
    }
    if (self->shared && http_listen_no_more(self->fd) == 0) {
        self->close_us = rl_now_us() + HANDSHAKES_US;
        return; // accepts until then
    }
    while (self->accepting && accept_one(self))
        ;
    stop_listening(self);
}

void http_server_drain(http_server_t *self)
{
    if (self->draining)
        return;
    self->draining = true;
    end_listening(self);
    // connections that have sent nothing yet are not waited for long
    http_list_t *reading = &self->lists[HTTP_READING];
    if (reading->limit_us > DRAIN_LIMIT_S * 1000000u)
        reading->limit_us = DRAIN_LIMIT_S * 1000000u;
    http_state_arm_timer(self, rl_now_us());
    while (self->lists[HTTP_IDLE].first)
        http_conn_close(self->lists[HTTP_IDLE].first);
}

const http_counts_t *http_server_counts(const http_server_t *self)
{
    http_server_t *mine = (http_server_t *)self;
    mine->counts.open_streams = self->lists[HTTP_STREAMING].size;
    mine->counts.unfinished = self->lists[HTTP_READING].size + self->lists[HTTP_WORKING].size +
                              self->lists[HTTP_STREAMING].size + self->lists[HTTP_FLUSHING].size +
                              (self->close_us > 0 ? 1 : 0);
    return &self->counts;
}
