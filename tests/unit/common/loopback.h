// loopback: a server on a free port of this machine that answers byte by byte what a test says, in
// the test's own loop.
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct loopback loopback_t;
typedef struct loopback_conn loopback_conn_t;

// A whole request has come; `head` is its request line and headers, `body` its body.
typedef void(loopback_fn)(void *arg, loopback_conn_t *conn, const char *head, const char *body);

loopback_t *loopback_new(struct event_base *base, loopback_fn *fn, void *arg);
void loopback_destroy(loopback_t **self_p);
int loopback_port(const loopback_t *self);

// Connections taken so far, open now, requests.
size_t loopback_taken(const loopback_t *self);
size_t loopback_open(const loopback_t *self);
size_t loopback_requests(const loopback_t *self);

void loopback_send(loopback_conn_t *conn, const char *bytes, size_t size);
void loopback_sendf(loopback_conn_t *conn, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// Bytes that were given to send and that the kernel has not taken.
size_t loopback_unsent(const loopback_conn_t *conn);
// Closes after all is sent; or at once with a reset.
void loopback_close(loopback_conn_t *conn);
void loopback_reset(loopback_conn_t *conn);
// The newest connection that is open, NULL if none.
loopback_conn_t *loopback_last(loopback_t *self);

// A port of this machine that nothing listens at.
int loopback_free_port(void);

#endif
