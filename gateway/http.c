// http: the server: accepts clients, finds the handler and the caller of each request.
#include "http_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "http_listen.h"
#include "log.h"

enum {
    FLUSH_LIMIT_S = 60, // a client that takes nothing of a complete response for so long is gone
    LINGER_LIMIT_S = 2,
    DRAIN_LIMIT_S = 1,       // for requests that are coming in when no more are wanted
    KERNEL_UNSENT = 65536,   // bytes that the kernel takes of a client's unsent ones: its own limit
                             // is megabytes, which would hide a slow client and add up over many
    OTHER_FDS = 256,         // descriptors kept for what is no client: workers, logs, transfers
    RETRY_ACCEPT_US = 100000 // after an accept that failed for want of something
};

// ---- time
// ---------------------------------------------------------------------------------------------------

void http_arm(http_server_t *self, uint64_t at_us)
{
    if (self->armed_us > 0 && self->armed_us <= at_us)
        return;
    uint64_t now = rl_now_us();
    uint64_t left = at_us > now ? at_us - now : 0;
    struct timeval after = {(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
    self->armed_us = at_us;
    evtimer_add(self->timer, &after);
}

static void resume_accepting(http_server_t *self)
{
    if (self->paused && !self->draining) {
        self->paused = false;
        event_add(self->accepting, NULL);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    http_server_t *self = arg;
    (void)fd;
    (void)what;
    self->armed_us = 0;
    uint64_t now = rl_now_us();
    for (int state = 0; state < HTTP_STATES; state++) {
        http_list_t *list = &self->lists[state];
        while (list->limit_us > 0 && list->first && list->first->since_us + list->limit_us <= now)
            http_conn_out_of_time(list->first);
        if (list->limit_us > 0 && list->first)
            http_arm(self, list->first->since_us + list->limit_us);
    }
    http_make_room(self);
}

// ---- accepting
// ------------------------------------------------------------------------------------------------

void http_make_room(http_server_t *self)
{
    if (self->counts.open_connections < self->max_connections)
        resume_accepting(self);
}

static void pause_accepting(http_server_t *self)
{
    self->paused = true;
    event_del(self->accepting);
    http_arm(self, rl_now_us() + RETRY_ACCEPT_US);
}

// Takes one client in. Returns false when there is no further one now.
static bool accept_one(http_server_t *self)
{
    if (self->counts.open_connections >= self->max_connections) {
        // one that only keeps a connection warm makes room for one that wants something
        if (!self->lists[HTTP_IDLE].first) {
            pause_accepting(self);
            return false;
        }
        http_conn_close(self->lists[HTTP_IDLE].first);
    }
    int fd = accept4(self->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rl_warn("cannot accept a client: %s", strerror(errno));
            pause_accepting(self);
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
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

// ---- admission of a request
// -------------------------------------------------------------------------------------

// Answers with an error; what of the body is still to come is not waited for.
static void refuse(http_conn_t *conn, int status, const char *code, long retry_after_s,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));
static void refuse(http_conn_t *conn, int status, const char *code, long retry_after_s,
                   const char *format, ...)
{
    char message[768];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    http_req_t *req = conn->req;
    conn->keep = conn->keep && !req->head.chunked && req->head.length == 0;
    http_reply_error(&req, status, code, NULL, retry_after_s, "%s", message);
}

static bool path_fits(const char *pattern, const char *path)
{
    size_t size = strlen(pattern);
    if (size >= 2 && strcmp(pattern + size - 2, "/*") == 0)
        return strncmp(pattern, path, size - 1) == 0 && path[size - 1];
    return strcmp(pattern, path) == 0;
}

// Finds the route of this method and path. `allow` gets the methods that the path knows.
static const http_route_t *find_route(const http_server_t *self, const char *method,
                                      const char *path, char *allow, size_t allow_size)
{
    const char *asked = strcmp(method, "HEAD") == 0 ? "GET" : method;
    size_t used = 0;
    *allow = '\0';
    for (const http_route_t *route = self->routes; route->method; route++) {
        if (!path_fits(route->path, path))
            continue;
        if (strcmp(route->method, asked) == 0)
            return route;
        int added = snprintf(allow + used, allow_size - used, "%s%s%s", used ? ", " : "",
                             route->method, strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
        used += (size_t)added < allow_size - used ? (size_t)added : 0;
    }
    return NULL;
}

// A browser asks before it lets a page of another origin call (WHATWG Fetch, CORS-preflight).
static void answer_preflight(http_conn_t *conn, const char *allow)
{
    http_req_t *req = conn->req;
    conn->keep = conn->keep && !req->head.chunked && req->head.length == 0;
    http_set_header(req, "Access-Control-Allow-Methods", allow);
    http_set_header(
        req, "Access-Control-Allow-Headers",
        "Authorization, Content-Type, X-Api-Key, Last-Event-ID, Traceparent, "
        "X-Stainless-Arch, X-Stainless-Lang, X-Stainless-OS, X-Stainless-Package-Version, "
        "X-Stainless-Retry-Count, X-Stainless-Runtime, X-Stainless-Runtime-Version, "
        "X-Stainless-Timeout, X-Stainless-Helper-Method");
    http_set_header(req, "Access-Control-Max-Age", "600");
    http_reply(&req, 204, NULL, NULL, 0);
}

static bool admit_path(http_conn_t *conn)
{
    http_req_t *req = conn->req;
    char allow[96];
    req->route = find_route(conn->server, req->head.method, req->head.path, allow, sizeof allow);
    if (req->route)
        return true;
    if (!*allow) {
        refuse(conn, 404, "unknown_url", 0, "Unknown request URL: %s %.200s.", req->head.method,
               req->head.path);
    } else if (strcmp(req->head.method, "OPTIONS") == 0 && *conn->server->cors) {
        answer_preflight(conn, allow);
    } else {
        http_set_header(req, "Allow", allow);
        refuse(conn, 405, "method_not_allowed", 0, "Not allowed: %s on %.200s. Use %s.",
               req->head.method, req->head.path, allow);
    }
    return false;
}

// Without keys it is the loopback address that keeps others out, and a web page that has its name
// resolved to 127.0.0.1 (DNS rebinding) would get around that: so only names are served that are no
// names of the public DNS: addresses, single words, and those below "localhost".
static bool local_host(const char *host)
{
    char name[256];
    struct in6_addr ignored;
    size_t size = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (size >= sizeof name)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)size, host);
    if (*name == '[' || inet_pton(AF_INET, name, &ignored) == 1 || !*name)
        return true;
    const char *last = strrchr(name, '.');
    return !last || strcasecmp(last + 1, "localhost") == 0;
}

static const char *given_key(const http_req_t *req)
{
    const char *value = http_header(req, "Authorization");
    if (value && strncasecmp(value, "Bearer ", 7) == 0)
        return value + 7 + strspn(value + 7, " ");
    return value ? NULL : http_header(req, "X-Api-Key");
}

static bool admit_caller(http_conn_t *conn)
{
    http_req_t *req = conn->req;
    http_server_t *server = conn->server;
    if (server->check_host && !local_host(req->head.host)) {
        refuse(
            conn, 403, "host_not_allowed", 0,
            "Without API keys only local names are served, and the request is for \"%.200s\": use "
            "http://localhost, or set gateway.keys_file or gateway.allow_public.",
            req->head.host);
        return false;
    }
    if (req->route->open || !keys_needed(server->keys))
        return true;
    const char *key = given_key(req);
    const keys_caller_t *caller = key ? keys_find(server->keys, key) : NULL;
    if (!caller) {
        http_set_header(req, "WWW-Authenticate", "Bearer");
        refuse(conn, 401, "invalid_api_key", 0,
               key ? "This API key is not known."
                   : "An API key is needed: send it as Authorization: Bearer KEY.");
        return false;
    }
    keys_drop(&req->caller);
    req->caller = caller;
    return true;
}

// "a=1&b=2" as decoded strings one after the other.
static bool admit_query(http_conn_t *conn)
{
    http_req_t *req = conn->req;
    size_t size = strlen(req->head.query);
    if (size == 0)
        return true;
    req->query = malloc(size * 2 + 3); // each part gets two NULs
    char *out = req->query;
    const char *at = req->head.query;
    while (out && *at) {
        size_t part = strcspn(at, "&");
        size_t name = strcspn(at, "=&");
        const char *value = name < part ? at + name + 1 : at + part;
        int name_size = sprintf(out, "%.*s", (int)name, at);
        char *value_out = out + name_size + 1;
        sprintf(value_out, "%.*s", (int)(at + part - value), value);
        if (http_unescape(out, true) != 0 || http_unescape(value_out, true) != 0)
            break;
        // the decoded name is shorter than the encoded: the value moves up to it
        size_t value_size = strlen(value_out);
        memmove(out + strlen(out) + 1, value_out, value_size + 1);
        out += strlen(out) + 1 + value_size + 1;
        at += part + (at[part] == '&');
    }
    if (!out || *at) {
        refuse(conn, 400, "bad_request", 0, "The query holds a bad %%XX escape.");
        return false;
    }
    req->query_size = (size_t)(out - req->query);
    return true;
}

bool http_admit(http_conn_t *conn)
{
    http_server_t *server = conn->server;
    http_req_t *req = conn->req;
    conn->keep = req->head.keep_alive && !server->draining;
    server->counts.requests++;
    if (!admit_path(conn) || !admit_query(conn) || !admit_caller(conn))
        return false;
    if (server->draining && !req->route->open) {
        refuse(conn, 503, "shutting_down", 1, "This gateway is shutting down; ask again.");
        return false;
    }
    if (req->head.length > server->max_body) {
        refuse(conn, 413, "body_too_large", 0,
               "The request's body is too large: at most %zu bytes are taken.", server->max_body);
        return false;
    }
    return true;
}

void http_dispatch(http_conn_t *conn)
{
    http_req_t *req = conn->req;
    http_server_t *server = conn->server;
    conn->body = false;
    if (conn->in.size == 0)
        rl_buf_free(&conn->in);
    http_conn_set_state(conn, HTTP_WORKING);
    req->route->handler(server->arg, req);
    if (conn->readable)
        http_out_mark(conn); // it may have asked and closed in one breath
}

// ---- the server
// ---------------------------------------------------------------------------------------------

static uint64_t ms(const rl_conf_t *conf, const char *name)
{
    return (uint64_t)rl_conf_int(conf, name) * 1000;
}

// What can change while it runs.
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
    self->lists[HTTP_READING].limit_us = ms(conf, "gateway.request_timeout_ms");
    self->lists[HTTP_IDLE].limit_us = ms(conf, "gateway.keepalive_ms");
    self->lists[HTTP_STREAMING].limit_us = ms(conf, "gateway.comment_ms");
    self->lists[HTTP_FLUSHING].limit_us = FLUSH_LIMIT_S * 1000000u;
    self->lists[HTTP_LINGERING].limit_us = LINGER_LIMIT_S * 1000000u;
    char *cors = strdup(rl_conf_str(conf, "gateway.cors_origin"));
    if (cors) {
        free(self->cors);
        self->cors = cors;
    }
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

static int open_up(http_server_t *self, char *why, size_t why_size)
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
    self->fd = http_listen(rl_conf_str(conf, "gateway.listen"),
                           rl_conf_bool(conf, "gateway.shared"), !self->check_host, why, why_size);
    if (self->fd < 0)
        return -1;
    char name[256];
    http_listen_name(self->fd, name, sizeof name);
    snprintf(self->url, sizeof self->url, "%s://%s", tls ? "https" : "http", name);
    return 0;
}

http_server_t *http_server_new(rl_proc_t *proc, const http_route_t *routes, void *arg, char *why,
                               size_t why_size)
{
    http_server_t *self = calloc(1, sizeof *self);
    snprintf(why, why_size, "out of memory");
    if (!self)
        return NULL;
    *self = (http_server_t){.proc = proc, .routes = routes, .arg = arg, .fd = -1};
    self->scratch = malloc(HTTP_SCRATCH);
    read_limits(self);
    if (self->scratch && self->cors && open_up(self, why, why_size) == 0) {
        struct event_base *base = rl_proc_base(proc);
        self->timer = evtimer_new(base, on_timer, self);
        self->accepting = event_new(base, self->fd, EV_READ | EV_PERSIST, on_accept, self);
    }
    if (!self->timer || !self->accepting || event_add(self->accepting, NULL) != 0) {
        http_server_destroy(&self);
        return NULL;
    }
    rl_proc_at_turn_end(proc, http_out_turn_end, self);
    return self;
}

static void stop_listening(http_server_t *self)
{
    if (self->accepting)
        event_free(self->accepting);
    self->accepting = NULL;
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
}

void http_server_destroy(http_server_t **self_p)
{
    http_server_t *self = *self_p;
    if (!self)
        return;
    self->draining = true;
    rl_proc_no_turn(self->proc, http_out_turn_end, self);
    for (int state = 0; state < HTTP_STATES; state++)
        while (self->lists[state].first)
            http_conn_close(self->lists[state].first);
    stop_listening(self);
    if (self->timer)
        event_free(self->timer);
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

void http_server_drain(http_server_t *self)
{
    if (self->draining)
        return;
    self->draining = true;
    // those who have connected already are told 503; closing the socket would reset them
    while (self->accepting && accept_one(self))
        ;
    stop_listening(self);
    // connections that have sent nothing yet are not waited for long
    http_list_t *reading = &self->lists[HTTP_READING];
    if (reading->limit_us > DRAIN_LIMIT_S * 1000000u)
        reading->limit_us = DRAIN_LIMIT_S * 1000000u;
    http_arm(self, rl_now_us());
    while (self->lists[HTTP_IDLE].first)
        http_conn_close(self->lists[HTTP_IDLE].first);
}

const http_counts_t *http_server_counts(const http_server_t *self)
{
    http_server_t *mine = (http_server_t *)self;
    mine->counts.open_streams = self->lists[HTTP_STREAMING].size;
    return &self->counts;
}
