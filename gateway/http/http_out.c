// http_out: the bytes on their way to clients. What is added in one turn of the loop leaves in one
// write at the turn's end, as one chunk where the body comes in chunks; after EAGAIN
// nothing is written before the kernel says that there is room again.
#include "http_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "log.h"

enum {
    CHUNK_DIGITS = 8,              // room kept for a chunk's size
    CHUNK_HEAD = CHUNK_DIGITS + 2, // and its line end
    CHUNK_END = 2,
};

size_t http_out_waiting(const http_out_t *out)
{
    return out->end - out->start;
}

void http_out_free(http_out_t *out)
{
    free(out->data);
    *out = (http_out_t){.chunk = HTTP_NO_CHUNK};
}

static bool make_room(http_out_t *out, size_t more)
{
    if (out->end + more <= out->room)
        return true;
    if (out->start > 0) {
        memmove(out->data, out->data + out->start, out->end - out->start);
        if (out->chunk != HTTP_NO_CHUNK)
            out->chunk -= out->start;
        out->end -= out->start;
        out->start = 0;
    }
    if (more > HTTP_OUT_MAX || out->end > HTTP_OUT_MAX - more)
        return false;
    size_t room = out->room ? out->room : HTTP_OUT_KEPT / 2;
    while (room < out->end + more)
        room *= 2;
    char *data = realloc(out->data, room);
    if (!data)
        return false;
    out->data = data;
    out->room = room;
    return true;
}

void http_out_add(http_conn_t *conn, const void *data, size_t size)
{
    http_out_t *out = &conn->out;
    http_state_mark(conn);
    if (size == 0 || conn->doomed)
        return;
    if (!make_room(out, size + CHUNK_END)) {
        rl_log(RL_LOG_WARN, conn->req ? http_id(conn->req) : NULL,
               "a response would not fit its buffer or memory is short: its client is dropped");
        conn->doomed = true;
        return;
    }
    memcpy(out->data + out->end, data, size);
    out->end += size;
    if (http_out_waiting(out) > conn->server->client_buffer / 2)
        conn->high = true;
}

void http_out_chunk(http_conn_t *conn, const void *data, size_t size)
{
    if (size == 0)
        return;
    if (conn->out.chunk == HTTP_NO_CHUNK) {
        http_out_add(conn, "00000000\r\n", CHUNK_HEAD);
        if (!conn->doomed)
            conn->out.chunk = conn->out.end - CHUNK_HEAD;
    }
    http_out_add(conn, data, size);
}

void http_out_close_chunk(http_out_t *out)
{
    if (out->chunk == HTTP_NO_CHUNK)
        return;
    size_t size = out->end - out->chunk - CHUNK_HEAD;
    char *head = out->data + out->chunk;
    if (out->room - out->end < CHUNK_END)
        abort(); // http_out_add keeps room for the end; HTTP_OUT_MAX fits the digits
    for (size_t at = CHUNK_DIGITS; at-- > 0; size >>= 4)
        head[at] = "0123456789abcdef"[size & 15];
    memcpy(out->data + out->end, "\r\n", CHUNK_END);
    out->end += CHUNK_END;
    // nothing waits before it: the leading zeros need not travel
    if (out->chunk == out->start)
        out->start += strspn(head, "0");
    out->chunk = HTTP_NO_CHUNK;
}

static ssize_t write_some(http_conn_t *conn)
{
    const char *data = conn->out.data + conn->out.start;
    size_t size = http_out_waiting(&conn->out);
    if (conn->ssl)
        return http_tls_write(conn->ssl, data, size);
    ssize_t sent;
    do
        sent = send(conn->fd, data, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN ? HTTP_IO_AGAIN : HTTP_IO_ERROR;
}

int http_out_write(http_conn_t *conn)
{
    http_out_t *out = &conn->out;
    http_out_close_chunk(out);
    while (out->start < out->end) {
        ssize_t sent = write_some(conn);
        if (sent == HTTP_IO_AGAIN) {
            conn->blocked = true;
            conn->blocked_from_us = rl_now_us();
            return 0;
        }
        if (sent <= 0)
            return -1;
        out->start += (size_t)sent;
        if (conn->state == HTTP_STREAMING || conn->state == HTTP_FLUSHING)
            http_state_set(conn, conn->state); // time counts from here
    }
    out->start = out->end = 0;
    if (out->room > HTTP_OUT_KEPT)
        http_out_free(out);
    return 0;
}
