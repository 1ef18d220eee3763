// http_stream: answers that are sent piece by piece: event streams.
#include "http_private.h"

#include <string.h>

static bool is_chunked(const http_req_t *req)
{
    return req->head.minor == 1;
}

void http_stream_begin(http_req_t *req)
{
    http_conn_t *conn = req->conn;
    if (!conn || req->status != 0)
        return;
    http_set_header(req, "X-Accel-Buffering", "no"); // nginx passes each event on at once
    http_reply_head(req, 200, "text/event-stream; charset=utf-8", HTTP_UNTIL_END);
    http_state_set(conn, HTTP_STREAMING);
}

bool http_stream_begun(const http_req_t *req)
{
    return req->status != 0;
}

void http_stream_send(http_req_t *req, const char *data, size_t size)
{
    http_conn_t *conn = req->conn;
    if (!conn || conn->state != HTTP_STREAMING)
        return;
    if (is_chunked(req))
        http_out_chunk(conn, data, size);
    else
        http_out_add(conn, data, size);
}

size_t http_stream_backlog(const http_req_t *req)
{
    return req->conn ? http_out_waiting(&req->conn->out) : 0;
}

void http_stream_end(http_req_t **req_p)
{
    http_req_t *req = *req_p;
    http_conn_t *conn = req->conn;
    if (!conn || conn->state != HTTP_STREAMING) {
        http_drop(req_p);
        return;
    }
    *req_p = NULL;
    http_out_close_chunk(&conn->out);
    if (is_chunked(req))
        http_out_add(conn, "0\r\n\r\n", 5);
    http_state_set(conn, HTTP_FLUSHING);
    conn->req = NULL;
    http_req_free(req);
}
