// http_help: an HTTP server in a thread of its own, and clients that send it bytes, for tests.
#ifndef HTTP_HELP_H
#define HTTP_HELP_H

#include "http.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct test_server {
    http_server_t *server;
    rl_proc_t *proc;
    char url[300];
    int port;
} test_server_t;

// Starts a server with these routes and options ("--gateway-max-body", "1000", …, NULL) and waits
// until it listens. The handlers' `arg` is the test_server_t.
void test_server_start(test_server_t *served, const http_route_t *routes,
                       const char *const *options);
// Ends it; the route "POST /stop" must be http_help_stop.
void test_server_stop(test_server_t *served);
// Ends one that takes no more connections, by SIGTERM.
void test_server_terminate(test_server_t *served);
void http_help_stop(void *arg, http_req_t *req);

// A connected client; reads give up after 10 s.
int client(const test_server_t *served);
void client_send(int fd, const void *data, size_t size);
void client_sends(int fd, const char *text);
// Closes with a reset instead of an orderly end.
void client_reset(int fd);

// Reads one response (its body by Content-Length, chunks, or the connection's end). Returns its
// status, 0 if the connection ended without one. What came is in `response` until the next call;
// `response_body` is the decoded body.
int client_response(int fd);
extern char response[1 << 20];
extern char *response_body;
// A header's value in the response, NULL if absent.
const char *response_header(const char *name);
// Reads until these bytes have come; false if the connection ends before.
bool client_read_until(int fd, const char *text);
// Whether nothing more comes but the end.
bool client_ended(int fd);

// Waits (at most 10 s) until *count is at least `least`.
void wait_for(atomic_int *count, int least);

#endif
