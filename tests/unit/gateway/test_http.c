// The HTTP server against clients of every kind: good ones, slow ones, those that hang up, and
// those that send what is no HTTP.
#include "http_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static test_server_t served;
static atomic_int handled, gone, drained, held;

// ---- handlers -----------------------------------------------------------------------------------

static void get_hello(void *arg, http_req_t *req)
{
    (void)arg;
    atomic_fetch_add(&handled, 1);
    http_reply(&req, 200, "text/plain", "hello", 5);
}

static void get_path(void *arg, http_req_t *req)
{
    (void)arg;
    const char *q = http_query(req, "q");
    json_t *body = json_pack("{s:s,s:s?}", "path", http_path(req), "q", q);
    http_reply_json(&req, 200, body);
}

static void post_echo(void *arg, http_req_t *req)
{
    (void)arg;
    size_t size;
    const char *body = http_body(req, &size);
    atomic_fetch_add(&handled, 1);
    http_reply(&req, 200, "application/octet-stream", body, size);
}

static void post_json(void *arg, http_req_t *req)
{
    (void)arg;
    json_t *body = http_json(&req);
    if (body)
        http_reply_json(&req, 200, body);
}

typedef struct stream {
    http_req_t *req;
    struct event *timer;
    size_t left, size; // events to come, bytes of each
    bool pauses, paused;
} stream_t;

static void stream_free(stream_t *self)
{
    http_drop(&self->req);
    event_free(self->timer);
    free(self);
}

static void on_gone(void *arg)
{
    stream_free(arg);
    atomic_fetch_add(&gone, 1);
}

static void on_drained(void *arg)
{
    stream_t *self = arg;
    self->paused = false;
    atomic_fetch_add(&drained, 1);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    static char bytes[65536];
    stream_t *self = arg;
    (void)fd;
    (void)what;
    if (self->paused)
        return;
    memset(bytes, 'x', sizeof bytes);
    http_stream_send(self->req, "data: ", 6);
    http_stream_send(self->req, bytes, self->size);
    http_stream_send(self->req, "\n\n", 2);
    if (self->pauses && http_stream_backlog(self->req) > 32768) {
        self->paused = true;
        atomic_fetch_add(&held, 1);
    }
    if (--self->left > 0)
        return;
    http_stream_end(&self->req);
    stream_free(self);
}

static stream_t *stream_new(test_server_t *server, http_req_t *req, size_t left, size_t size)
{
    stream_t *self = calloc(1, sizeof *self);
    *self = (stream_t){.req = req, .left = left, .size = size};
    self->timer = event_new(rl_proc_base(server->proc), -1, EV_PERSIST, on_tick, self);
    http_on_client(req, on_gone, on_drained, self);
    atomic_fetch_add(&handled, 1);
    return self;
}

// ?n=EVENTS&size=BYTES, one a millisecond.
static void get_stream(void *arg, http_req_t *req)
{
    const char *n = http_query(req, "n"), *size = http_query(req, "size");
    stream_t *self = stream_new(arg, req, n ? (size_t)atol(n) : 3, size ? (size_t)atol(size) : 1);
    self->pauses = http_query(req, "pauses") != NULL;
    http_stream_begin(req);
    http_stream_send(req, "event: first\n\n", 14);
    struct timeval every = {0, 1000};
    event_add(self->timer, &every);
}

// Begins and sends nothing more.
static void get_silence(void *arg, http_req_t *req)
{
    stream_new(arg, req, 1, 1);
    http_stream_begin(req);
}

// Never answers.
static void post_wait(void *arg, http_req_t *req)
{
    stream_new(arg, req, 1, 1);
}

static void get_counts(void *arg, http_req_t *req)
{
    const http_counts_t *counts = http_server_counts(((test_server_t *)arg)->server);
    http_reply_json(&req, 200,
                    json_pack("{s:I,s:I,s:I}", "connections", (json_int_t)counts->open_connections,
                              "streams", (json_int_t)counts->open_streams, "timeouts",
                              (json_int_t)counts->timeouts));
}

static void post_drain(void *arg, http_req_t *req)
{
    http_server_drain(((test_server_t *)arg)->server);
    http_reply(&req, 200, "text/plain", "draining", 8);
}

static const http_route_t routes[] = {
    {"GET", "/hello", true, get_hello},
    {"GET", "/files/*", true, get_path},
    {"POST", "/echo", false, post_echo},
    {"POST", "/json", false, post_json},
    {"GET", "/stream", false, get_stream},
    {"GET", "/silence", false, get_silence},
    {"POST", "/wait", false, post_wait},
    {"GET", "/counts", true, get_counts},
    {"POST", "/drain", true, post_drain},
    {"POST", "/stop", true, http_help_stop},
    {NULL, NULL, false, NULL},
};

// ---- helpers ------------------------------------------------------------------------------------

static const char *const usual[] = {"--gateway-max-body",
                                    "100000",
                                    "--gateway-client-buffer",
                                    "65536",
                                    "--gateway-comment-ms",
                                    "50",
                                    NULL};
static const char *const quick[] = {"--gateway-request-timeout-ms", "200", "--gateway-keepalive-ms",
                                    "200", NULL};

static int start(void **state)
{
    (void)state;
    test_server_start(&served, routes, usual);
    return 0;
}

static int start_quick(void **state)
{
    (void)state;
    test_server_start(&served, routes, quick);
    return 0;
}

static void wait_alone(void);

static int stop(void **state)
{
    (void)state;
    wait_alone(); // so that no request is at work when the server goes
    test_server_stop(&served);
    return 0;
}

// Sends one request on a connection of its own; returns the status.
static int ask(const char *text)
{
    int fd = client(&served);
    client_sends(fd, text);
    int status = client_response(fd);
    close(fd);
    return status;
}

static void assert_error(const char *code)
{
    json_t *body = json_loads(response_body, 0, NULL);
    const json_t *error = json_object_get(body, "error");
    assert_non_null(json_string_value(json_object_get(error, "message")));
    assert_non_null(json_string_value(json_object_get(error, "type")));
    assert_non_null(json_object_get(error, "param"));
    assert_string_equal(json_string_value(json_object_get(error, "code")), code);
    json_decref(body);
}

static int count_of(const char *name)
{
    assert_int_equal(ask("GET /counts HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    json_t *body = json_loads(response_body, 0, NULL);
    int count = (int)json_integer_value(json_object_get(body, name));
    json_decref(body);
    return count;
}

// Waits until no connection is open but the one that asks.
static void wait_alone(void)
{
    int count = 0;
    for (int tries = 0; tries < 3000 && (count = count_of("connections")) > 1; tries++)
        usleep(2000);
    assert_int_equal(count, 1);
}

// ---- requests -----------------------------------------------------------------------------------

static void answers_and_keeps_the_connection(void **state)
{
    (void)state;
    int fd = client(&served);
    for (int at = 0; at < 3; at++) {
        client_sends(fd, "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_int_equal(client_response(fd), 200);
        assert_string_equal(response_body, "hello");
        assert_non_null(response_header("X-Request-Id"));
        assert_non_null(response_header("Date"));
        client_sends(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        assert_int_equal(client_response(fd), 200);
        assert_string_equal(response_body, "abc");
    }
    client_sends(fd, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(client_read_until(fd, "\r\n\r\n"));
    assert_string_equal(response_header("Content-Length"), "5");
    client_sends(fd, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_int_equal(client_response(fd), 200);
    assert_true(client_ended(fd));
    close(fd);
}

static void takes_a_request_byte_by_byte(void **state)
{
    (void)state;
    static const char text[] =
        "\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    int fd = client(&served);
    for (size_t at = 0; at < sizeof text - 1; at++)
        client_send(fd, text + at, 1);
    assert_int_equal(client_response(fd), 200);
    assert_string_equal(response_body, "abc0123456789");
    close(fd);
}

static void answers_pipelined_requests_in_order(void **state)
{
    (void)state;
    enum {
        REQUESTS = 500
    };
    static char text[REQUESTS * 100];
    size_t size = 0;
    for (int at = 0; at < REQUESTS; at++)
        size += (size_t)sprintf(
            text + size, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n%04d", at);
    int fd = client(&served);
    client_send(fd, text, size);
    for (int at = 0; at < REQUESTS; at++) {
        assert_int_equal(client_response(fd), 200);
        assert_int_equal(atoi(response_body), at);
    }
    close(fd);
}

static void keeps_what_is_pipelined_behind_a_stream(void **state)
{
    (void)state;
    int fd = client(&served);
    client_sends(
        fd, "GET /stream?n=5 HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(client_response(fd), 200);
    assert_string_equal(response_header("Content-Type"), "text/event-stream; charset=utf-8");
    assert_string_equal(response_header("X-Accel-Buffering"), "no");
    assert_non_null(strstr(response_body, "event: first\n\ndata: x\n\n"));
    assert_int_equal(client_response(fd), 200);
    assert_string_equal(response_body, "hello");
    close(fd);
}

static void speaks_http_1_0(void **state)
{
    (void)state;
    int fd = client(&served);
    client_sends(fd, "GET /stream?n=2 HTTP/1.0\r\n\r\n");
    assert_int_equal(client_response(fd), 200);
    assert_null(response_header("Transfer-Encoding"));
    assert_string_equal(response_header("Connection"), "close");
    assert_string_equal(response_body, "event: first\n\ndata: x\n\ndata: x\n\n");
    close(fd);
    assert_int_equal(ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 200);
    assert_string_equal(response_header("Connection"), "close");
}

static void knows_paths_and_methods(void **state)
{
    (void)state;
    assert_int_equal(ask("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    assert_error("unknown_url");
    assert_int_equal(ask("DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
    assert_error("method_not_allowed");
    assert_string_equal(response_header("Allow"), "POST");
    assert_int_equal(ask("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"), 405);
    assert_string_equal(response_header("Allow"), "GET, HEAD");
    assert_int_equal(ask("OPTIONS /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
    assert_null(response_header("Access-Control-Allow-Origin"));
    assert_int_equal(ask("GET /files/ HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    assert_int_equal(ask("GET /files/a%2Fb%20%c3%a4?q=1%262+3&r HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_string_equal(response_body, "{\"path\":\"/files/a/b \xc3\xa4\",\"q\":\"1&2 3\"}\n");
    assert_int_equal(ask("GET http://else.where:80/files/x?q=y HTTP/1.1\r\nHost: x\r\n\r\n"), 403);
    assert_int_equal(ask("GET http://127.0.0.1/files/x?q=y HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_string_equal(response_body, "{\"path\":\"/files/x\",\"q\":\"y\"}\n");
}

static void waits_for_a_body_only_when_it_is_wanted(void **state)
{
    (void)state;
    int fd = client(&served);
    client_sends(
        fd, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(client_response(fd), 100);
    client_sends(fd, "ok");
    assert_int_equal(client_response(fd), 200);
    close(fd);
    fd = client(&served);
    client_sends(
        fd, "POST /no HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(client_response(fd), 404);
    assert_true(client_ended(fd));
    close(fd);
}

static void refuses_other_hosts_without_keys(void **state)
{
    (void)state;
    assert_int_equal(ask("GET /hello HTTP/1.1\r\nHost: rebound.example.com\r\n\r\n"), 403);
    assert_error("host_not_allowed");
    assert_int_equal(ask("GET /hello HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"), 200);
    assert_int_equal(ask("GET /hello HTTP/1.1\r\nHost: app.localhost:80\r\n\r\n"), 200);
}

static void reads_json_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *head, *body;
        int status;
    } cases[] = {
        {"Content-Type: application/json\r\n", "{\"a\":1}", 200},
        {"Content-Type: application/json; charset=utf-8\r\n", "{\"a\":1}", 200},
        {"Content-Type: application/x-www-form-urlencoded\r\n", "{\"a\":1}", 200},
        {"", "{\"a\":1}", 200},
        {"Content-Type: text/plain\r\nOrigin: http://evil\r\n", "{\"a\":1}", 415},
        {"Content-Type: image/png\r\n", "{\"a\":1}", 415},
        {"", "{\"a\":1,\"a\":2}", 400},
        {"", "{\"a\":\"\\u0000\"}", 400},
        {"", "{\"a\":\"\xff\"}", 400},
        {"", "[1]", 400},
        {"", "7", 400},
        {"", "", 400},
        {"", "{\"a\":123456789012345678901234567890}", 200},
        {"", "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
         400},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "POST /json HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s",
                 cases[at].head, strlen(cases[at].body), cases[at].body);
        assert_int_equal(ask(text), cases[at].status);
        if (cases[at].status == 400)
            assert_error("invalid_json");
    }
}

// ---- what is no request -------------------------------------------------------------------------

static void refuses_what_is_no_http(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"\x16\x03\x01\x02", 400}, // the beginning of a TLS handshake
        {"\x80\x01\x02", 400},
        {"GET /hello HTTP/1.1\n\n", 400},
        {"GET /hello HTTP/1.1\r\nA\rb: x\r\n\r\n", 400},
        {"GET /hello HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n", 400},
        {"GET /hello\r\n\r\n", 400},
        {"GET  /hello HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET hello HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /hello HTTP/2.0\r\nHost: x\r\n\r\n", 505},
        {"GET /hello XTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /hello HTTP/1.1\r\n\r\n", 400}, // no Host
        {"GET /hello HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400},
        {"GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET /hello HTTP/1.1\r\nHost : x\r\n\r\n", 400},
        {"GET /hello HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400},
        {"GET /hello HTTP/1.1\r\nHost: x\r\n: nameless\r\n\r\n", 400},
        {"GET /files/%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/%2 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/%0d%0a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/a?q=%f HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET http://a@b/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n", 417},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\nx", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
         400},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        int status = ask(cases[at].text);
        if (status != cases[at].status)
            fail_msg("%d instead of %d for: %s", status, cases[at].status, cases[at].text);
        assert_error("bad_request");
        assert_string_equal(response_header("Connection"), "close");
    }
    assert_int_equal(ask("GET /files/a?q=%00 HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
    assert_error("bad_request");
}

static void refuses_what_is_too_large(void **state)
{
    (void)state;
    enum {
        SIZE = 200000
    };
    static char text[SIZE + 1000];
    int size = sprintf(text, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", SIZE);
    memset(text + size, 'x', SIZE);
    text[size + SIZE] = '\0';
    assert_int_equal(ask(text), 413);
    assert_error("body_too_large");
    size = sprintf(text,
                   "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n");
    memset(text + size, 'x', SIZE);
    text[size + SIZE] = '\0';
    assert_int_equal(ask(text), 413);
    size = sprintf(text, "GET /hello HTTP/1.1\r\nHost: x\r\nX: ");
    memset(text + size, 'x', SIZE);
    text[size + SIZE] = '\0';
    assert_int_equal(ask(text), 431);
    assert_error("headers_too_large");
    size = sprintf(text, "GET /hello HTTP/1.1\r\nHost: x\r\n");
    for (int at = 0; at < 10000; at++)
        size += sprintf(text + size, "A%d: b\r\n", at);
    assert_int_equal(ask(text), 431);
    size = sprintf(text, "GET /hello HTTP/1.1\r\nHost: x\r\n");
    for (int at = 0; at < 101; at++)
        size += sprintf(text + size, "A%d: b\r\n", at);
    strcpy(text + size, "\r\n");
    assert_int_equal(ask(text), 431);
}

static void stays_unharmed_by_random_bytes(void **state)
{
    (void)state;
    srand(7);
    static const char good[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    for (int turn = 0; turn < 300; turn++) {
        char bytes[sizeof good];
        memcpy(bytes, good, sizeof good);
        for (int change = 0; change < 1 + turn % 4; change++)
            bytes[(size_t)rand() % (sizeof good - 1)] = (char)rand();
        int fd = client(&served);
        client_send(fd, bytes, sizeof good - 1);
        shutdown(fd, SHUT_WR);
        client_read_until(fd, "never said");
        close(fd);
    }
    assert_int_equal(ask(good), 200);
    wait_alone();
}

// ---- clients that go ----------------------------------------------------------------------------

static void forgets_a_client_that_hangs_up_at_any_byte(void **state)
{
    (void)state;
    static const char text[] = "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    int before = atomic_load(&gone);
    for (size_t cut = 0; cut < sizeof text; cut++) {
        int fd = client(&served);
        client_send(fd, text, cut);
        if (cut % 2)
            client_reset(fd);
        else
            close(fd);
    }
    wait_alone();
    assert_true(atomic_load(&gone) <= before + 1); // the last one had asked
}

static void notices_a_client_that_goes_in_every_phase(void **state)
{
    (void)state;
    static const char *const asked[] = {
        "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "GET /silence HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /stream?n=1000000 HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    static const char pipelined[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    static char much[300000];
    memset(much, 'x', sizeof much);
    for (size_t at = 0; at < sizeof asked / sizeof *asked; at++)
        for (int way = 0; way < 6; way++) {
            int before = atomic_load(&gone), was = atomic_load(&handled);
            int fd = client(&served);
            client_sends(fd, asked[at]);
            wait_for(&handled, was + 1);
            if (way / 2 == 1)
                client_sends(fd, pipelined);
            if (way / 2 == 2)
                client_send(fd, much, sizeof much); // nobody reads this
            if (way % 2)
                client_reset(fd);
            else
                close(fd);
            wait_for(&gone, before + 1);
        }
    wait_alone();
}

static void takes_the_end_of_sending_as_going(void **state)
{
    (void)state;
    int before = atomic_load(&gone);
    int fd = client(&served);
    client_sends(fd, "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    shutdown(fd, SHUT_WR);
    wait_for(&gone, before + 1);
    close(fd);
    fd = client(&served);
    client_sends(fd,
                 "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"); // what is answered at once still comes
    shutdown(fd, SHUT_WR);
    assert_int_equal(client_response(fd), 200);
    assert_true(client_ended(fd));
    close(fd);
}

static void holds_a_slow_reader_back_and_loses_nothing(void **state)
{
    (void)state;
    enum {
        EVENTS = 200,
        SIZE = 60000
    };
    int held_before = atomic_load(&held), drained_before = atomic_load(&drained);
    char text[128];
    int fd = client(&served);
    snprintf(text, sizeof text, "GET /stream?n=%d&size=%d&pauses HTTP/1.1\r\nHost: x\r\n\r\n",
             EVENTS, SIZE);
    client_sends(fd, text);
    wait_for(&held, held_before + 1);
    assert_int_equal(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200); // others go on
    size_t size = 0;
    static char bytes[5 + 65536]; // the last five of what came before, then what comes
    while (memcmp(bytes, "0\r\n\r\n", 5) != 0) {
        ssize_t got = recv(fd, bytes + 5, sizeof bytes - 5, 0);
        assert_true(got > 0);
        memmove(bytes, bytes + got, 5);
        size += (size_t)got;
    }
    assert_true(size > (size_t)EVENTS * SIZE);
    assert_true(atomic_load(&drained) > drained_before);
    close(fd);
}

static void says_something_to_a_quiet_stream(void **state)
{
    (void)state;
    int fd = client(&served);
    client_sends(fd, "GET /silence HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(client_read_until(fd, "\r\n\r\n"));
    assert_true(client_read_until(fd, "3\r\n:\n\n\r\n"));
    assert_true(client_read_until(fd, "3\r\n:\n\n\r\n"));
    close(fd);
}

// ---- limits of time and number ------------------------------------------------------------------

static void a_request_has_an_absolute_deadline(void **state)
{
    (void)state;
    static const char *const begun[] = {
        "G",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
    };
    for (size_t at = 0; at < sizeof begun / sizeof *begun; at++) {
        int fd = client(&served);
        client_sends(fd, begun[at]);
        // a byte now and then does not move it
        char byte;
        while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0) {
            client_sends(fd, "A");
            usleep(20000);
        }
        assert_int_equal(client_response(fd), 408);
        assert_error("request_timeout");
        assert_true(client_ended(fd));
        close(fd);
    }
    int fd = client(&served); // one that never says anything is closed without a word
    assert_true(client_ended(fd));
    close(fd);
    fd = client(&served);
    client_sends(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(client_response(fd), 200);
    assert_true(client_ended(fd)); // idle
    close(fd);
    assert_true(count_of("timeouts") >= 4);
}

static void warm_connections_make_room_for_new_ones(void **state)
{
    (void)state;
    static const char *const options[] = {"--gateway-max-connections", "4", NULL};
    enum {
        CLIENTS = 20
    };
    test_server_start(&served, routes, options);
    int fds[CLIENTS];
    for (int at = 0; at < CLIENTS; at++) {
        fds[at] = client(&served);
        client_sends(fds[at], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(client_response(fds[at]), 200);
    }
    assert_true(client_ended(fds[0]));
    for (int at = 0; at < CLIENTS; at++)
        close(fds[at]);
    // four that are answered fill it; the fifth waits until one of them goes
    int before = atomic_load(&handled);
    for (int at = 0; at < 5; at++) {
        fds[at] = client(&served);
        client_sends(fds[at], "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        if (at < 4)
            wait_for(&handled, before + at + 1);
    }
    close(fds[2]);
    wait_for(&handled, before + 5);
    int before_end = atomic_load(&gone);
    for (int at = 0; at < 5; at++)
        if (at != 2)
            close(fds[at]);
    wait_for(&gone, before_end + 4);
    test_server_stop(&served);
}

static void drains_without_losing_what_is_at_work(void **state)
{
    (void)state;
    test_server_start(&served, routes, usual);
    int stream = client(&served), idle = client(&served), asks = client(&served);
    client_sends(idle, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(client_response(idle), 200);
    int before = atomic_load(&handled);
    client_sends(stream, "GET /stream?n=50 HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&handled, before + 1);
    client_sends(asks, "POST /drain HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                       "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(client_response(asks), 200);
    assert_true(client_ended(asks));
    assert_true(client_ended(idle));
    client_sends(stream, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(client_response(stream), 200);
    assert_non_null(strstr(response_body, "data: x\n\n"));
    assert_true(client_ended(stream));
    close(stream);
    close(idle);
    close(asks);
    test_server_terminate(&served);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_keeps_the_connection),
        cmocka_unit_test(takes_a_request_byte_by_byte),
        cmocka_unit_test(answers_pipelined_requests_in_order),
        cmocka_unit_test(keeps_what_is_pipelined_behind_a_stream),
        cmocka_unit_test(speaks_http_1_0),
        cmocka_unit_test(knows_paths_and_methods),
        cmocka_unit_test(waits_for_a_body_only_when_it_is_wanted),
        cmocka_unit_test(refuses_other_hosts_without_keys),
        cmocka_unit_test(reads_json_bodies),
        cmocka_unit_test(refuses_what_is_no_http),
        cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test(stays_unharmed_by_random_bytes),
        cmocka_unit_test(forgets_a_client_that_hangs_up_at_any_byte),
        cmocka_unit_test(notices_a_client_that_goes_in_every_phase),
        cmocka_unit_test(takes_the_end_of_sending_as_going),
        cmocka_unit_test(holds_a_slow_reader_back_and_loses_nothing),
        cmocka_unit_test(says_something_to_a_quiet_stream),
    };
    const struct CMUnitTest hasty[] = {
        cmocka_unit_test(a_request_has_an_absolute_deadline),
    };
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(warm_connections_make_room_for_new_ones),
        cmocka_unit_test(drains_without_losing_what_is_at_work),
    };
    int failed = cmocka_run_group_tests_name("http", tests, start, stop);
    failed += cmocka_run_group_tests_name("http, short of time", hasty, start_quick, stop);
    failed += cmocka_run_group_tests_name("http, other servers", alone, NULL, NULL);
    return failed;
}
