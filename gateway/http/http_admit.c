// http_admit: whether a request is admitted, by its head alone, before its body is read: its
// handler, its query, its caller, the size of its body.
#include "http_private.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Answers with an error, without waiting for the body.
static void refuse_request(http_conn_t *conn, int status, const char *code, long retry_after_s,
                           const char *format, ...) __attribute__((format(printf, 5, 6)));
static void refuse_request(http_conn_t *conn, int status, const char *code, long retry_after_s,
                           const char *format, ...)
{
    va_list args;
    http_req_t *req = conn->req;
    conn->keep = conn->keep && !req->head.chunked && req->head.length == 0;
    va_start(args, format);
    http_reply_error_v(&req, status, code, NULL, retry_after_s, format, args);
    va_end(args);
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
        refuse_request(conn, 404, "unknown_url", 0, "Unknown request URL: %s %.200s.",
                       req->head.method, req->head.path);
    } else if (strcmp(req->head.method, "OPTIONS") == 0 && *conn->server->cors) {
        answer_preflight(conn, allow);
    } else {
        http_set_header(req, "Allow", allow);
        refuse_request(conn, 405, "method_not_allowed", 0, "Not allowed: %s on %.200s. Use %s.",
                       req->head.method, req->head.path, allow);
    }
    return false;
}

// Without keys only the loopback address keeps others out. A web page whose name resolves to
// 127.0.0.1 (DNS rebinding) would get around that, so only names are served that cannot stand in
// the public DNS: addresses, single words, and those below "localhost".
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
        refuse_request(
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
        refuse_request(conn, 401, "invalid_api_key", 0,
                       key ? "This API key is not known."
                           : "An API key is needed: send it as Authorization: Bearer KEY.");
        return false;
    }
    keys_unref(&req->caller);
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
    req->query = malloc(size * 2 + 3); // each part gets two NULs; of a size that the client decides
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
        refuse_request(conn, 400, "bad_request", 0, "The query holds a bad %%XX escape.");
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
    if (server->draining && conn->used && !req->route->open) {
        refuse_request(conn, 503, "shutting_down", 1, "This gateway is shutting down; ask again.");
        return false;
    }
    if (req->head.length > server->max_body) {
        refuse_request(conn, 413, "body_too_large", 0,
                       "The request's body is too large: at most %zu bytes are taken.",
                       server->max_body);
        return false;
    }
    return true;
}

void http_dispatch(http_conn_t *conn)
{
    http_req_t *req = conn->req;
    http_server_t *server = conn->server;
    conn->body = false;
    conn->used = true;
    if (conn->in.size == 0)
        rl_buf_free(&conn->in);
    http_state_set(conn, HTTP_WORKING);
    req->route->handler(server->arg, req);
    if (conn->readable)
        http_state_mark(conn); // the client may have closed right after its request
}
