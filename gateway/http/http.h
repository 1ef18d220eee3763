// http: the gateway's HTTP/1.1 server in the process's loop: limits, absolute deadlines, TLS, CORS,
// keys, JSON errors, event streams with bounded buffers. It knows nothing of questions.
//
// It reads its sockets itself: libevent 2.1.12's evhttp reads no more once a request is complete,
// so that a client that hangs up before the first byte of its answer is not noticed; takes any
// number of pipelined bytes into memory while an answer goes out; and tells epoll twice per write.
#ifndef HTTP_H
#define HTTP_H

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys.h"
#include "proc.h"

typedef struct http_server http_server_t;
typedef struct http_req http_req_t; // one request, from its last byte to the end of its response

// A complete request; the handler owns it and answers it once, now or later. Paths are matched
// without their query; a wrong method on a known path is answered 405 with Allow, an unknown path
// 404, a missing or wrong key 401, by the server itself.
typedef void(http_handler_fn)(void *arg, http_req_t *req);

typedef struct http_route {
    const char *method; // "GET" (HEAD comes with it), "POST"
    const char *path;   // "/v1/ask"; a trailing "/*" matches the rest of the path
    bool open;          // needs no key (page, probes)
    http_handler_fn *handler;
} http_route_t;

// Listens where the configuration says (gateway.listen). Writes what is wrong into why, returns
// NULL. `routes` ends with a NULL method and must outlive the server.
http_server_t *http_server_new(rl_proc_t *proc, const http_route_t *routes, void *arg, char *why,
                               size_t why_size);
void http_server_destroy(http_server_t **self_p);
// Reads keys and certificates again (SIGHUP); what does not hold is logged and changes nothing.
void http_server_reload(http_server_t *self);
// "http://127.0.0.1:8080", with the real port.
const char *http_server_url(const http_server_t *self);
// A server whose port others serve too (a socket that was passed in, gateway.shared) does not
// accept before it is told to: until then the others answer its clients.
bool http_server_waits(const http_server_t *self);
void http_server_open(http_server_t *self);
// Accepts no more clients. Those in the queue of a socket that was passed in are left to its next
// owner, all others are accepted first. Requests at work go on; a client that is connected and has
// sent nothing yet gets an answer; further requests on open connections get 503 (but for open
// routes). All requests are answered when counts' unfinished is 0.
void http_server_drain(http_server_t *self);
typedef struct http_counts {
    uint64_t requests, responses_2xx, responses_4xx, responses_5xx, bad_requests, timeouts, hangups;
    uint64_t open_connections, open_streams;
    uint64_t unfinished; // connections with a request that is coming, at work or being answered
} http_counts_t;
const http_counts_t *http_server_counts(const http_server_t *self);

// What was asked. Strings live as long as the request.
const char *http_method(const http_req_t *req); // "HEAD" comes to GET's routes too
const char *http_path(const http_req_t *req);
const char *http_query(const http_req_t *req, const char *name);  // decoded, NULL if absent
const char *http_header(const http_req_t *req, const char *name); // NULL if absent
const char *http_body(const http_req_t *req, size_t *size);       // NUL-terminated
const keys_caller_t *http_caller(const http_req_t *req);          // who asks; never NULL
uint64_t http_received_us(const http_req_t *req); // rl_now_us when the request's first byte came
const char *http_id(const http_req_t *req); // "req_<24 hex digits>", also sent as X-Request-Id

// The body as a JSON object, which the caller owns, or NULL after having answered 400/415. Keys
// that come twice and nesting deeper than 64 are refused. The body itself is gone afterwards.
json_t *http_json(http_req_t **req_p);

// Answers; the request is gone and *req_p NULL.
void http_reply(http_req_t **req_p, int status, const char *type, const void *body, size_t size);
void http_reply_json(http_req_t **req_p, int status, json_t *body); // takes the body
// {"error":{message,type,code,param}}; type and code are OpenAI's words where they have one, param
// may be NULL; retry_after_s > 0 adds the header.
void http_reply_error(http_req_t **req_p, int status, const char *code, const char *param,
                      long retry_after_s, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void http_reply_error_v(http_req_t **req_p, int status, const char *code, const char *param,
                        long retry_after_s, const char *format, va_list args)
    __attribute__((format(printf, 6, 0)));
// For how long output has waited for the client to read, in µs.
uint64_t http_blocked_us(const http_req_t *req);
void http_set_header(http_req_t *req, const char *name, const char *value); // before the reply
// {"error":{…}} as http_reply_error sends it, for error events; caller owns it.
json_t *http_error_json(int status, const char *code, const char *param, const char *message);

// Event streams (text/event-stream): begins the response. Bytes sent in one turn of the loop leave
// in one write. A comment line goes out after 15 s of silence.
void http_stream_begin(http_req_t *req);
bool http_stream_begun(const http_req_t *req);
void http_stream_send(http_req_t *req, const char *data, size_t size);
size_t http_stream_backlog(const http_req_t *req); // bytes not yet taken by the kernel
void http_stream_end(http_req_t **req_p);

// `gone` is called once if the client hangs up before the response is complete (also while nothing
// has been sent yet); the request is still valid and must be given up with http_drop. To be called
// within the handler, or a client that has gone by then is not noticed. A client that closes only
// its sending side counts as gone.
// `drained` is called when the backlog falls below a quarter of gateway.client_buffer after having
// been above half of it. Not called from within the calls above.
void http_on_client(http_req_t *req, void (*gone)(void *arg), void (*drained)(void *arg),
                    void *arg);
// Gives up a request without a (further) answer; closes the connection.
void http_drop(http_req_t **req_p);

#endif
