// http_private: what the files of the HTTP server share; for them alone.
//
// bytes in → http_conn (reading) → http_parse → http_admit (route, key) → handler
//          → http_reply, http_stream (the answer's bytes) → http_out (one write a turn) → bytes out
// http_state (lists of connections) is below all of them.
#ifndef HTTP_PRIVATE_H
#define HTTP_PRIVATE_H

#include <event2/event_struct.h>

#include "http.h"
#include "http_parse.h"
#include "http_tls.h"
#include "timer.h"

typedef struct http_conn http_conn_t;

// What a connection is at, and which of the server's lists it is in. Lists are in order of the time
// of entry and each state has one time limit, so the first of each list is the next to run out.
typedef enum http_state {
    HTTP_READING,   // a request (and the TLS handshake before it) is coming in
    HTTP_IDLE,      // kept alive between two requests
    HTTP_WORKING,   // a handler has the request and has not answered yet
    HTTP_STREAMING, // an event stream has begun
    HTTP_FLUSHING,  // the response is complete, some of it waits for the client to take it
    HTTP_LINGERING, // closed to the client; what it still sends is thrown away, so that it sees
                    // the response and no reset
    HTTP_STATES,    // their number
} http_state_t;

typedef struct http_list {
    http_conn_t *first, *last;
    uint64_t limit_us; // 0: no limit
    size_t size;
} http_list_t;

// Bytes on their way to a client; grows as needed, gives memory back when empty.
typedef struct http_out {
    char *data;
    size_t start, end, room; // data[start..end) is not yet taken
    size_t chunk;            // where the head of the chunk that is being filled stands, or NO_CHUNK
} http_out_t;

struct http_conn {
    http_server_t *server;
    int fd;
    SSL *ssl;
    struct event event; // edge-triggered, for all three: epoll is told once per connection
    http_state_t state;
    uint64_t since_us;                    // in this state (STREAMING: since bytes were sent last)
    http_conn_t *prev, *next;             // in the list of its state
    http_conn_t *dirty_prev, *dirty_next; // in the server's list of those with something to send
    bool dirty;
    bool readable; // there may be bytes to read, or the end, until a read returns AGAIN
    bool blocked;  // the kernel took no more; EV_WRITE tells when it does
    uint64_t blocked_from_us, blocked_us; // since when; how long in all, for the request at hand
    bool ended;                           // the client has closed (its side)
    bool doomed;                          // to be closed at the turn's end
    bool keep;                            // may be used for a further request
    bool used;                            // has brought a request already
    bool high;                            // the backlog has been above half of the client's buffer
    bool body;                            // the head is complete, the body is being read
    rl_buf_t in;                          // bytes read and not yet used
    size_t scanned;
    http_chunks_t chunks;
    http_req_t *req; // the one being read, at work or answered
    http_out_t out;
};

struct http_req {
    http_conn_t *conn; // NULL after the client has gone
    char *bytes;       // the head's, which `head` points into
    http_head_t head;
    char *query; // decoded copies of the query: name NUL value NUL …
    size_t query_size;
    rl_buf_t body;
    const http_route_t *route;
    const keys_caller_t *caller;
    uint64_t received_us;
    char id[32];
    rl_buf_t headers; // more headers of the response
    int status;       // of the response, once it has begun
    void (*gone)(void *arg);
    void (*drained)(void *arg);
    void *arg;
};

struct http_server {
    rl_proc_t *proc;
    const http_route_t *routes;
    void *arg;
    keys_t *keys;
    http_tls_t *tls;
    int fd;
    struct event *accepting;
    rl_timer_t *timer;
    uint64_t armed_us;   // when the timer goes off, 0 if it is not set
    bool passed, shared; // the socket: the service manager's; one of several on its port
    bool waits;          // not accepting: http_server_open is to come
    bool paused;         // not accepting: as many connections as may be
    uint64_t warned_us;  // that accepting failed
    bool draining;
    uint64_t close_us; // draining: when a shared socket is closed
    bool check_host;   // without keys only local names may be asked for
    char url[300];
    char *cors; // gateway.cors_origin
    size_t max_headers, max_body, max_connections, client_buffer;
    http_list_t lists[HTTP_STATES];
    http_conn_t *dirty_first, *dirty_last;
    http_counts_t counts;
    char *scratch; // one read's bytes
    char date[40]; // of the second `date_at`
    time_t date_at;
};

enum {
    HTTP_SCRATCH = 64 * 1024,   // bytes of one read
    HTTP_AHEAD_MAX = 16 * 1024, // bytes that a client may send ahead while its answer is made
    HTTP_OUT_KEPT = 1024,       // memory that an empty output buffer keeps
    HTTP_OUT_MAX = 64 << 20,    // no response may wait with more
    HTTP_ACCEPTS_PER_TURN = 64,
};
#define HTTP_NO_CHUNK ((size_t)-1)

// In place of the length of a response's body.
enum {
    HTTP_UNTIL_END = -1, // it comes in chunks (HTTP/1.0: until the connection closes)
    HTTP_NO_BODY = -2,
};

// http_admit.c
// The head of conn->req is complete: finds its handler, or answers why it is refused. Returns
// whether the body may come.
bool http_admit(http_conn_t *conn);
// The request is complete: its handler gets it.
void http_dispatch(http_conn_t *conn);

// http_state.c
// Sets the timer so that it goes off at `at_us`, if it would not do so earlier.
void http_state_arm_timer(http_server_t *self, uint64_t at_us);
// Accepts again where that was paused and there is room for a further connection.
void http_state_resume_accepting(http_server_t *self);
// Enters a new connection in the list of its state; moves it to another; takes it out.
void http_state_enter(http_conn_t *conn, http_state_t state);
void http_state_set(http_conn_t *conn, http_state_t state);
void http_state_leave(http_conn_t *conn);
// Has the connection looked at when the turn ends.
void http_state_mark(http_conn_t *conn);
void http_state_unmark(http_conn_t *conn);

// http_conn.c
void http_conn_open(http_server_t *server, int fd);
void http_conn_close(http_conn_t *conn);
void http_conn_out_of_time(http_conn_t *conn);
// The turn's end: everything that was marked is written, one write each. A turn hook.
void http_conn_turn_end(void *server);

// http_out.c
void http_out_add(http_conn_t *conn, const void *data, size_t size);
void http_out_chunk(http_conn_t *conn, const void *data, size_t size);
void http_out_close_chunk(http_out_t *out);
size_t http_out_waiting(const http_out_t *out);
void http_out_free(http_out_t *out);
// Writes until nothing is left or the kernel takes no more. Returns -1 when the client is gone.
int http_out_write(http_conn_t *conn);

// http_reply.c
http_req_t *http_req_new(http_conn_t *conn);
void http_req_free(http_req_t *req);
// Answers the request that is being read because of a fault and closes the connection afterwards.
void http_reply_fault(http_conn_t *conn, const http_fault_t *fault, const char *code);
// Writes the head of the response; `length` in bytes or one of the two above.
void http_reply_head(http_req_t *req, int status, const char *type, long long length);

#endif
