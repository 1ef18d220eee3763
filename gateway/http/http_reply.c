// http_reply: a request as its handler sees it, and answers that are written whole.
#include "http_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "hex.h"
#include "log.h"
#include "mem.h"
#include "utf8.h"

enum {
    ID_BYTES = 8,
    MAX_JSON_DEPTH = 64,
    MAX_OWN_HEADERS = 8192 // bytes of headers that a handler may set
};

// ---- the request --------------------------------------------------------------------------------

// "req_", the gateway's own eight digits (so that other gateways know whose answer it is), and
// random ones: ids cannot be guessed, so that they may name answers that are fetched again.
static void make_id(const char *gateway, char *id, size_t id_size)
{
    const char *dash = strrchr(gateway, '-');
    char random[2 * ID_BYTES + 1];
    rl_random_hex(random, ID_BYTES);
    snprintf(id, id_size, "req_%.8s%s", dash ? dash + 1 : "", random);
}

http_req_t *http_req_new(http_conn_t *conn)
{
    http_req_t *self = rl_new(*self);
    self->conn = conn;
    self->head = (http_head_t){.method = "", .path = "", .query = ""};
    self->body = rl_buf_make(conn->server->max_body);
    self->headers = rl_buf_make(MAX_OWN_HEADERS);
    self->received_us = rl_now_us();
    self->caller = keys_anonymous(conn->server->keys);
    conn->blocked_us = 0;
    make_id(rl_proc_id(conn->server->proc), self->id, sizeof self->id);
    return self;
}

void http_req_free(http_req_t *self)
{
    http_head_clear(&self->head);
    rl_buf_free(&self->body);
    rl_buf_free(&self->headers);
    keys_unref(&self->caller);
    free(self->bytes);
    free(self->query);
    free(self);
}

const char *http_method(const http_req_t *req)
{
    return req->head.method;
}

const char *http_path(const http_req_t *req)
{
    return req->head.path;
}

const char *http_query(const http_req_t *req, const char *name)
{
    const char *end = req->query + req->query_size;
    for (const char *at = req->query; at && at < end;) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

const char *http_header(const http_req_t *req, const char *name)
{
    return http_head_field(&req->head, name);
}

const char *http_body(const http_req_t *req, size_t *size)
{
    if (size)
        *size = req->body.size;
    return req->body.data ? req->body.data : "";
}

const keys_caller_t *http_caller(const http_req_t *req)
{
    return req->caller;
}

uint64_t http_received_us(const http_req_t *req)
{
    return req->received_us;
}

const char *http_id(const http_req_t *req)
{
    return req->id;
}

void http_on_client(http_req_t *req, void (*gone)(void *arg), void (*drained)(void *arg), void *arg)
{
    req->gone = gone;
    req->drained = drained;
    req->arg = arg;
}

void http_drop(http_req_t **req_p)
{
    http_req_t *req = *req_p;
    *req_p = NULL;
    if (!req)
        return;
    if (req->conn) {
        req->conn->req = NULL;
        req->conn->doomed = true;
        http_state_mark(req->conn);
    }
    http_req_free(req);
}

// ---- the body as JSON ---------------------------------------------------------------------------

// A page of another origin can send the last two types without a preflight, so they count as JSON
// only where no browser is at work (browsers send Origin). "curl -d" sends the form type.
static bool is_json_type(const http_req_t *req)
{
    const char *type = http_header(req, "Content-Type");
    size_t size = type ? strcspn(type, "; \t") : 0;
    if (size == 16 && strncasecmp(type, "application/json", size) == 0)
        return true;
    if (http_header(req, "Origin"))
        return false;
    return size == 0 || (size == 10 && strncasecmp(type, "text/plain", size) == 0) ||
           (size == 33 && strncasecmp(type, "application/x-www-form-urlencoded", size) == 0);
}

// Whether brackets nest deeper than is taken, so that recursion over the value, here and in what it
// is passed on to, is bounded.
static bool is_too_deep(const char *text, size_t size)
{
    int depth = 0;
    bool quoted = false;
    for (size_t at = 0; at < size; at++) {
        char c = text[at];
        if (quoted && c == '\\')
            at++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > MAX_JSON_DEPTH)
            return true;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
    }
    return false;
}

// An integer beyond 64 bits is no fault of the JSON: it is read as a real, and whoever reads the
// field says that it is too large.
static json_t *parse_body(const char *text, size_t size, json_error_t *error)
{
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    json_t *json = json_loadb(text, size, flags, error);
    if (!json && json_error_code(error) == json_error_numeric_overflow)
        json = json_loadb(text, size, flags | JSON_DECODE_INT_AS_REAL, error);
    return json;
}

json_t *http_json(http_req_t **req_p)
{
    http_req_t *req = *req_p;
    json_error_t error = {0};
    if (!is_json_type(req)) {
        http_reply_error(req_p, 415, "unsupported_media_type", NULL, 0,
                         "The body must be JSON, sent with Content-Type: application/json.");
        return NULL;
    }
    if (is_too_deep(http_body(req, NULL), req->body.size)) {
        http_reply_error(req_p, 400, "invalid_json", NULL, 0,
                         "The body's JSON is nested more than %d deep.", MAX_JSON_DEPTH);
        return NULL;
    }
    json_t *json = parse_body(http_body(req, NULL), req->body.size, &error);
    if (!json) {
        http_reply_error(req_p, 400, "invalid_json", NULL, 0,
                         "The body is not valid JSON: line %d, column %d: %s.", error.line,
                         error.column, error.text);
    } else if (!json_is_object(json)) {
        json_decref(json);
        json = NULL;
        http_reply_error(req_p, 400, "invalid_json", NULL, 0, "The body must be a JSON object.");
    } else {
        rl_buf_free(&req->body);
    }
    return json;
}

// ---- answers ------------------------------------------------------------------------------------

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t at = 0; at < sizeof reasons / sizeof *reasons; at++)
        if (reasons[at].status == status)
            return reasons[at].reason;
    return status < 300 ? "OK" : "Error";
}

// The Date header's value, written once a second.
static const char *date_now(http_server_t *server)
{
    time_t now = time(NULL);
    if (now != server->date_at) {
        struct tm tm;
        server->date_at = now;
        strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT",
                 gmtime_r(&now, &tm));
    }
    return server->date;
}

uint64_t http_blocked_us(const http_req_t *req)
{
    const http_conn_t *conn = req->conn;
    if (!conn)
        return 0;
    return conn->blocked_us + (conn->blocked ? rl_now_us() - conn->blocked_from_us : 0);
}

void http_set_header(http_req_t *req, const char *name, const char *value)
{
    if (strpbrk(value, "\r\n"))
        return; // a value from outside must not become a header of its own
    rl_buf_addf(&req->headers, "%s: %s\r\n", name, value);
}

// The origin that may read the response, NULL if none may.
static const char *allowed_origin(const http_req_t *req)
{
    const char *cors = req->conn->server->cors;
    const char *origin = http_header(req, "Origin");
    if (!*cors || !origin)
        return NULL;
    if (strcmp(cors, "*") == 0)
        return "*";
    return http_value_has(cors, origin) ? origin : NULL;
}

static void add_cors(rl_buf_t *out, const http_req_t *req)
{
    const char *cors = req->conn->server->cors;
    const char *origin = allowed_origin(req);
    if (*cors && strcmp(cors, "*") != 0)
        rl_buf_adds(out, "Vary: Origin\r\n");
    if (origin)
        rl_buf_addf(out,
                    "Access-Control-Allow-Origin: %s\r\n"
                    "Access-Control-Expose-Headers: X-Request-Id, Retry-After\r\n",
                    origin);
}

static void count_response(http_server_t *server, int status)
{
    if (status >= 500)
        server->counts.responses_5xx++;
    else if (status >= 400)
        server->counts.responses_4xx++;
    else
        server->counts.responses_2xx++;
}

void http_reply_head(http_req_t *req, int status, const char *type, long long length)
{
    http_conn_t *conn = req->conn;
    rl_buf_t out = rl_buf_make(MAX_OWN_HEADERS + 2048);
    rl_buf_addf(&out, "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: %s\r\n", status,
                reason_of(status), date_now(conn->server), req->id);
    if (type)
        rl_buf_addf(&out, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n", type);
    if (length >= 0)
        rl_buf_addf(&out, "Content-Length: %lld\r\n", length);
    else if (length == HTTP_NO_BODY)
        ;
    else if (req->head.minor == 1)
        rl_buf_adds(&out, "Transfer-Encoding: chunked\r\n");
    else
        conn->keep = false; // the end of the connection is the end of the body
    if (!conn->keep)
        rl_buf_adds(&out, "Connection: close\r\n");
    if (!req->headers.data || !strstr(req->headers.data, "Cache-Control: "))
        rl_buf_adds(&out, "Cache-Control: no-store\r\n");
    add_cors(&out, req);
    rl_buf_add(&out, req->headers.data, req->headers.size);
    rl_buf_adds(&out, "\r\n");
    http_out_add(conn, out.data, out.size);
    rl_buf_free(&out);
    rl_buf_free(&req->headers);
    req->status = status;
    count_response(conn->server, status);
    rl_log(RL_LOG_DEBUG, req->id, "%s %s: %d after %.1f ms", req->head.method, req->head.path,
           status, (double)(rl_now_us() - req->received_us) / 1000);
}

void http_reply(http_req_t **req_p, int status, const char *type, const void *body, size_t size)
{
    http_req_t *req = *req_p;
    http_conn_t *conn = req->conn;
    if (!conn || req->status != 0) {
        http_drop(req_p); // the client has gone, or a stream has begun
        return;
    }
    *req_p = NULL;
    bool empty = status == 204 || status == 304;
    http_reply_head(req, status, empty ? NULL : type, empty ? HTTP_NO_BODY : (long long)size);
    if (!empty && strcmp(req->head.method, "HEAD") != 0)
        http_out_add(conn, body, size);
    http_state_set(conn, HTTP_FLUSHING);
    conn->req = NULL;
    http_req_free(req);
}

void http_reply_json(http_req_t **req_p, int status, json_t *body)
{
    char *text = rl_must(json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(15)));
    json_decref(body);
    size_t size = strlen(text);
    text[size] = '\n'; // in place of the NUL: a terminal's prompt then starts on a line of its own
    http_reply(req_p, status, "application/json", text, size + 1);
    free(text);
}

// OpenAI's word for the kind of error that a status means.
static const char *error_type(int status)
{
    if (status >= 500)
        return "server_error";
    if (status == 429)
        return "rate_limit_error";
    return status == 403 ? "permission_error" : "invalid_request_error";
}

json_t *http_error_json(int status, const char *code, const char *param, const char *message)
{
    // both may hold what a client sent, cut anywhere
    char *text = rl_utf8_repair(message, strlen(message), NULL);
    char *field = param ? rl_utf8_repair(param, strlen(param), NULL) : NULL;
    json_t *error = json_pack("{s:{s:s?,s:s,s:s?,s:s?}}", "error", "message", text, "type",
                              error_type(status), "param", field, "code", code);
    free(text);
    free(field);
    return error;
}

void http_reply_error(http_req_t **req_p, int status, const char *code, const char *param,
                      long retry_after_s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    http_reply_error_v(req_p, status, code, param, retry_after_s, format, args);
    va_end(args);
}

void http_reply_error_v(http_req_t **req_p, int status, const char *code, const char *param,
                        long retry_after_s, const char *format, va_list args)
{
    char message[1024], seconds[32];
    vsnprintf(message, sizeof message, format, args);
    if (retry_after_s > 0) {
        snprintf(seconds, sizeof seconds, "%ld", retry_after_s);
        http_set_header(*req_p, "Retry-After", seconds);
    }
    http_reply_json(req_p, status, http_error_json(status, code, param, message));
}

void http_reply_fault(http_conn_t *conn, const http_fault_t *fault, const char *code)
{
    if (!conn->req)
        conn->req = http_req_new(conn);
    conn->keep = false;
    conn->server->counts.bad_requests++;
    http_req_t *req = conn->req;
    http_reply_error(&req, fault->status, code, NULL, 0, "%s", fault->message);
}
