// http_conn: one client's connection: its states, what it sends, how it ends. A client that goes
// away is noticed in every state at once, also behind bytes that nobody has read yet.
#include "http_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

// Whether a handler has this connection's request.
static bool is_handed_over(const http_conn_t *conn)
{
    return conn->state == HTTP_WORKING || conn->state == HTTP_STREAMING;
}

void http_conn_close(http_conn_t *conn)
{
    http_server_t *server = conn->server;
    if (conn->req && is_handed_over(conn))
        conn->req->conn = NULL; // its handler drops it
    else if (conn->req)
        http_req_free(conn->req);
    http_state_leave(conn);
    http_state_unmark(conn);
    http_out_free(&conn->out);
    rl_buf_free(&conn->in);
    event_del(&conn->event);
    http_tls_close(&conn->ssl);
    close(conn->fd);
    free(conn);
    server->counts.open_connections--;
    http_state_resume_accepting(server);
}

static void peer_gone(http_conn_t *conn)
{
    http_req_t *req = is_handed_over(conn) ? conn->req : NULL;
    conn->server->counts.hangups++;
    http_conn_close(conn);
    if (req && req->gone) {
        void (*gone)(void *arg) = req->gone;
        req->gone = NULL;
        gone(req->arg);
    }
}

static ssize_t read_some(http_conn_t *conn, char *data, size_t size)
{
    if (conn->ssl)
        return http_tls_read(conn->ssl, data, size);
    ssize_t got;
    do
        got = recv(conn->fd, data, size, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? HTTP_IO_AGAIN : HTTP_IO_ERROR;
    return got;
}

// ---- closing so that the client sees the last response ------------------------------------------

static void begin_lingering(http_conn_t *conn)
{
    http_tls_close(&conn->ssl);
    if (conn->ended || shutdown(conn->fd, SHUT_WR) != 0) {
        http_conn_close(conn);
        return;
    }
    http_state_set(conn, HTTP_LINGERING);
    rl_buf_free(&conn->in);
    conn->readable = true;
    http_state_mark(conn);
}

static void discard_input(http_conn_t *conn)
{
    if (!conn->readable)
        return;
    ssize_t got = read_some(conn, conn->server->scratch, HTTP_SCRATCH);
    if (got == HTTP_IO_END || got == HTTP_IO_ERROR)
        http_conn_close(conn);
    else if (got == HTTP_IO_AGAIN)
        conn->readable = false;
    else if (conn->readable)
        http_state_mark(conn); // one read a turn
}

// ---- reading requests ---------------------------------------------------------------------------

// Empty lines before a request are passed over (RFC 9112, 2.2). Returns whether one has begun.
static bool begin_request(http_conn_t *conn)
{
    size_t empty = 0;
    while (empty < conn->in.size && (conn->in.data[empty] == '\r' || conn->in.data[empty] == '\n'))
        empty++;
    rl_buf_drop(&conn->in, empty);
    if (conn->in.size == 0)
        return false;
    if (conn->state == HTTP_IDLE)
        http_state_set(conn, HTTP_READING);
    conn->scanned = 0;
    conn->body = false;
    conn->req = http_req_new(conn);
    return true;
}

// The head has come whole: `size` bytes. Returns 0, or -1 and a fault.
static int take_head(http_conn_t *conn, size_t size, http_fault_t *fault)
{
    http_req_t *req = conn->req;
    req->bytes = malloc(size);
    if (!req->bytes) {
        *fault = (http_fault_t){503, "Out of memory."};
        return -1;
    }
    memcpy(req->bytes, conn->in.data, size);
    rl_buf_drop(&conn->in, size);
    return http_head_parse(req->bytes, size, &req->head, fault);
}

static void read_head(http_conn_t *conn)
{
    http_fault_t fault;
    size_t max = conn->server->max_headers;
    long size = http_head_end(conn->in.data, conn->in.size, &conn->scanned, &fault);
    if (size == 0 && conn->in.size <= max)
        return;
    if (size == 0 || size > (long)max) {
        http_reply_fault(conn, &(http_fault_t){431, "The request's headers are too large."},
                         "headers_too_large");
        return;
    }
    if (size < 0 || take_head(conn, (size_t)size, &fault) != 0) {
        http_reply_fault(conn, &fault, "bad_request");
        return;
    }
    if (!http_admit(conn))
        return;
    conn->body = conn->req->head.chunked || conn->req->head.length > 0;
    conn->chunks = (http_chunks_t){0};
    if (!conn->body)
        http_dispatch(conn);
    else if (conn->req->head.expects_continue && conn->in.size == 0)
        http_out_add(conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

static void read_body(http_conn_t *conn)
{
    http_req_t *req = conn->req;
    http_fault_t fault = {413, "The request's body is too large."};
    bool done = false;
    long took;
    if (req->head.chunked) {
        took = http_chunks_feed(&conn->chunks, conn->in.data, conn->in.size, &req->body, &done,
                                &fault);
    } else {
        uint64_t left = req->head.length - req->body.size;
        took = (long)(conn->in.size < left ? conn->in.size : left);
        if (rl_buf_add(&req->body, conn->in.data, (size_t)took) != 0)
            took = -1;
        done = req->body.size == req->head.length;
    }
    if (took < 0) {
        http_reply_fault(conn, &fault, fault.status == 413 ? "body_too_large" : "bad_request");
        return;
    }
    rl_buf_drop(&conn->in, (size_t)took);
    if (done)
        http_dispatch(conn);
}

// Parses what has been read, one request at most (the next one waits for the answer). Returns
// whether more bytes are wanted.
static bool parse_bytes(http_conn_t *conn)
{
    while (conn->in.size > 0) {
        if (!conn->req && !begin_request(conn))
            return true;
        size_t before = conn->in.size;
        if (conn->body)
            read_body(conn);
        else
            read_head(conn);
        if (conn->state != HTTP_READING)
            return false;
        if (conn->in.size == before)
            return true; // an incomplete head
    }
    return true;
}

// Reads until nothing is there, a request is complete, or the client is gone.
static void read_request(http_conn_t *conn)
{
    while (parse_bytes(conn)) {
        if (!conn->readable)
            break;
        ssize_t got = read_some(conn, conn->server->scratch, HTTP_SCRATCH);
        if (got == HTTP_IO_AGAIN) {
            conn->readable = false;
            break;
        }
        if (got == HTTP_IO_PLAIN) {
            http_tls_close(&conn->ssl);
            http_reply_fault(conn, &(http_fault_t){400, "This port speaks TLS: use https://."},
                             "tls_expected");
            return;
        }
        if (got == HTTP_IO_END && !conn->req) {
            http_conn_close(conn); // between requests: nothing is lost
            return;
        }
        if (got <= 0 || rl_buf_add(&conn->in, conn->server->scratch, (size_t)got) != 0) {
            peer_gone(conn);
            return;
        }
    }
}

// While an answer is being made, what the client sends ahead is read and kept for later, up to a
// bound: the end of the connection (or a reset) is noticed only behind it.
static void read_ahead(http_conn_t *conn)
{
    while (conn->readable) {
        ssize_t got = read_some(conn, conn->server->scratch, HTTP_AHEAD_MAX);
        if (got == HTTP_IO_AGAIN) {
            conn->readable = false;
        } else if (got <= 0 || conn->in.size + (size_t)got > HTTP_SCRATCH + HTTP_AHEAD_MAX ||
                   rl_buf_add(&conn->in, conn->server->scratch, (size_t)got) != 0) {
            peer_gone(conn);
            return;
        }
    }
}

// Whether the client has closed although it has an answer to come.
static bool has_closed(const http_conn_t *conn)
{
    return conn->ended && is_handed_over(conn);
}

// Goes on after a response, and reads what the client has sent. The connection may be gone
// afterwards.
static void continue_reading(http_conn_t *conn)
{
    if (conn->state == HTTP_FLUSHING && http_out_waiting(&conn->out) == 0) {
        if (!conn->keep || conn->ended || conn->server->draining) {
            begin_lingering(conn);
            return;
        }
        http_state_set(conn, HTTP_IDLE);
        if (conn->in.size == 0)
            rl_buf_free(&conn->in);
    }
    if (conn->state == HTTP_LINGERING)
        discard_input(conn);
    else if (is_handed_over(conn))
        read_ahead(conn);
    else if (conn->state != HTTP_FLUSHING)
        read_request(conn);
}

// ---- writing ------------------------------------------------------------------------------------

// Writes what waits. The connection may be gone afterwards.
static void flush_output(http_conn_t *conn)
{
    if (conn->doomed) {
        http_conn_close(conn);
        return;
    }
    if (has_closed(conn) ||
        (!conn->blocked && http_out_waiting(&conn->out) > 0 && http_out_write(conn) != 0)) {
        peer_gone(conn);
        return;
    }
    if (conn->high && http_out_waiting(&conn->out) < conn->server->client_buffer / 4) {
        conn->high = false;
        if (conn->state == HTTP_STREAMING && conn->req && conn->req->drained)
            conn->req->drained(conn->req->arg);
    }
    continue_reading(conn);
}

void http_conn_turn_end(void *arg)
{
    http_server_t *server = arg;
    http_conn_t *last = server->dirty_last; // those marked from here on wait for the next turn
    for (bool more = last != NULL; more && server->dirty_first;) {
        http_conn_t *conn = server->dirty_first;
        more = conn != last;
        http_state_unmark(conn);
        flush_output(conn);
    }
    if (server->dirty_first)
        rl_proc_request_turn(server->proc);
}

// ---- events -------------------------------------------------------------------------------------

// In states that do not read, a reset is noticed as an error of the socket.
static bool socket_failed(const http_conn_t *conn)
{
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    http_conn_t *conn = arg;
    (void)fd;
    if (conn->doomed)
        return; // closed at the turn's end
    if (what & EV_CLOSED)
        conn->ended = true;
    if (what & (EV_READ | EV_CLOSED))
        conn->readable = true;
    if (what & EV_WRITE) {
        if (conn->blocked)
            conn->blocked_us += rl_now_us() - conn->blocked_from_us;
        conn->blocked = false;
        conn->readable =
            conn->readable || conn->ssl; // TLS may have waited for this in order to read
    }
    if (has_closed(conn) || (conn->state == HTTP_FLUSHING && socket_failed(conn)))
        peer_gone(conn);
    else if (!conn->blocked && http_out_waiting(&conn->out) > 0)
        flush_output(conn);
    else
        continue_reading(conn);
}

void http_conn_open(http_server_t *server, int fd)
{
    http_conn_t *conn = rl_new(*conn);
    conn->server = server;
    conn->fd = fd;
    conn->out.chunk = HTTP_NO_CHUNK;
    conn->in = rl_buf_make(server->max_headers + HTTP_SCRATCH + 1);
    if (server->tls)
        conn->ssl = http_tls_accept(server->tls, fd);
    event_assign(&conn->event, rl_proc_base(server->proc), fd,
                 EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, conn);
    server->counts.open_connections++;
    http_state_enter(conn, HTTP_READING);
    if ((server->tls && !conn->ssl) || event_add(&conn->event, NULL) != 0)
        http_conn_close(conn);
}

void http_conn_out_of_time(http_conn_t *conn)
{
    switch (conn->state) {
    case HTTP_READING:
        conn->server->counts.timeouts++;
        if (conn->req)
            http_reply_fault(conn, &(http_fault_t){408, "The request did not come in time."},
                             "request_timeout");
        else
            http_conn_close(conn);
        break;
    case HTTP_STREAMING: // no fault: a comment keeps proxies from closing a silent stream
        if (http_out_waiting(&conn->out) == 0)
            http_stream_send(conn->req, ":\n\n", 3);
        http_state_set(conn, HTTP_STREAMING);
        break;
    case HTTP_FLUSHING:
        peer_gone(conn);
        break;
    default:
        http_conn_close(conn);
    }
}
