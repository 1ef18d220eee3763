// loopback: a server in the test's own loop.
#include "loopback.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

struct loopback_conn {
    loopback_t *server;
    struct bufferevent *stream;
    bool closing;
    LIST_ENTRY(loopback_conn) list;
};

struct loopback {
    struct event_base *base;
    struct evconnlistener *listener;
    loopback_fn *fn;
    void *arg;
    int port;
    size_t taken, open, requests;
    LIST_HEAD(, loopback_conn) conns;
};

static void conn_destroy(loopback_conn_t *conn)
{
    LIST_REMOVE(conn, list);
    conn->server->open--;
    bufferevent_free(conn->stream);
    free(conn);
}

static size_t body_size(const char *head)
{
    const char *at = strcasestr(head, "\r\ncontent-length:");
    return at ? strtoul(at + 17, NULL, 10) : 0;
}

static void on_read(struct bufferevent *stream, void *arg)
{
    loopback_conn_t *conn = arg;
    struct evbuffer *in = bufferevent_get_input(stream);
    size_t size = evbuffer_get_length(in);
    char *bytes = calloc(1, size + 1);
    evbuffer_copyout(in, bytes, size);
    char *end = strstr(bytes, "\r\n\r\n");
    if (end && size >= (size_t)(end + 4 - bytes) + body_size(bytes)) {
        evbuffer_drain(in, (size_t)(end + 4 - bytes) + body_size(bytes));
        end[2] = '\0';
        conn->server->requests++;
        conn->server->fn(conn->server->arg, conn, bytes, end + 4);
    }
    free(bytes);
}

static void on_written(struct bufferevent *stream, void *arg)
{
    loopback_conn_t *conn = arg;
    if (conn->closing && evbuffer_get_length(bufferevent_get_output(stream)) == 0)
        conn_destroy(conn);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
    (void)stream;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        conn_destroy(arg);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int size, void *arg)
{
    loopback_t *self = arg;
    loopback_conn_t *conn = calloc(1, sizeof *conn);
    int small = 4096; // so that a client that pauses is felt soon
    (void)listener;
    (void)address;
    (void)size;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    conn->server = self;
    conn->stream = bufferevent_socket_new(self->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(conn->stream, on_read, on_written, on_event, conn);
    bufferevent_enable(conn->stream, EV_READ | EV_WRITE);
    LIST_INSERT_HEAD(&self->conns, conn, list);
    self->taken++;
    self->open++;
}

loopback_t *loopback_new(struct event_base *base, loopback_fn *fn, void *arg)
{
    loopback_t *self = calloc(1, sizeof *self);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    self->base = base;
    self->fn = fn;
    self->arg = arg;
    self->listener = evconnlistener_new_bind(base, on_accept, self, LEV_OPT_CLOSE_ON_FREE, 512,
                                             (struct sockaddr *)&address, (int)size);
    if (!self->listener)
        abort();
    getsockname(evconnlistener_get_fd(self->listener), (struct sockaddr *)&address, &size);
    self->port = ntohs(address.sin_port);
    return self;
}

void loopback_destroy(loopback_t **self_p)
{
    loopback_t *self = *self_p;
    if (!self)
        return;
    while (!LIST_EMPTY(&self->conns))
        conn_destroy(LIST_FIRST(&self->conns));
    evconnlistener_free(self->listener);
    free(self);
    *self_p = NULL;
}

int loopback_port(const loopback_t *self)
{
    return self->port;
}

size_t loopback_taken(const loopback_t *self)
{
    return self->taken;
}

size_t loopback_open(const loopback_t *self)
{
    return self->open;
}

size_t loopback_requests(const loopback_t *self)
{
    return self->requests;
}

void loopback_send(loopback_conn_t *conn, const char *bytes, size_t size)
{
    bufferevent_write(conn->stream, bytes, size);
}

void loopback_sendf(loopback_conn_t *conn, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    evbuffer_add_vprintf(bufferevent_get_output(conn->stream), format, args);
    va_end(args);
}

size_t loopback_unsent(const loopback_conn_t *conn)
{
    return evbuffer_get_length(bufferevent_get_output(conn->stream));
}

void loopback_close(loopback_conn_t *conn)
{
    conn->closing = true;
    if (loopback_unsent(conn) == 0)
        conn_destroy(conn);
}

void loopback_reset(loopback_conn_t *conn)
{
    struct linger linger = {1, 0};
    setsockopt(bufferevent_getfd(conn->stream), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    conn_destroy(conn);
}

loopback_conn_t *loopback_last(loopback_t *self)
{
    return LIST_FIRST(&self->conns);
}

int loopback_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        abort();
    close(fd); // bound but never listened at: refused, and not given out again at once
    return ntohs(address.sin_port);
}
