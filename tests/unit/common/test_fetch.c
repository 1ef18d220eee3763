// Requests to a real server on loopback: bodies, streams, pauses, limits, connections.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "fetch.h"
#include "loopback.h"

typedef struct world {
    struct event_base *base;
    rl_fetcher_t *fetcher;
    loopback_t *server;
    struct event *guard;
    char url[128];
    const char *reply;           // sent to each request
    loopback_conn_t *conn;       // of the last request, if there is no reply
    char head[4096], body[4096]; // of the last request
    // what the client got
    rl_fetch_t *fetch;
    char got[65536];
    size_t got_size;
    int pauses;  // pause after each of so many pieces
    bool cancel; // in the callback
    int done;
    rl_fetch_result_t result;
    char error[512], type[128], result_body[4096];
} world_t;

static void on_guard(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

static void on_request(void *arg, loopback_conn_t *conn, const char *head, const char *body)
{
    world_t *world = arg;
    snprintf(world->head, sizeof world->head, "%s", head);
    snprintf(world->body, sizeof world->body, "%s", body);
    world->conn = conn;
    if (world->reply)
        loopback_send(conn, world->reply, strlen(world->reply));
}

static int setup(void **state)
{
    world_t *world = calloc(1, sizeof *world);
    struct timeval wait = {30, 0};
    world->base = event_base_new();
    world->fetcher = rl_fetcher_new(world->base, 4);
    world->server = loopback_new(world->base, on_request, world);
    snprintf(world->url, sizeof world->url, "http://127.0.0.1:%d/v1/x",
             loopback_port(world->server));
    world->guard = event_new(world->base, -1, 0, on_guard, world->base);
    event_add(world->guard, &wait);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    world_t *world = *state;
    rl_fetcher_destroy(&world->fetcher);
    loopback_destroy(&world->server);
    event_free(world->guard);
    event_base_free(world->base);
    free(world);
    return 0;
}

static bool on_data(void *arg, const char *data, size_t size)
{
    world_t *world = arg;
    assert_true(world->got_size + size < sizeof world->got);
    memcpy(world->got + world->got_size, data, size);
    world->got_size += size;
    world->got[world->got_size] = '\0';
    if (world->cancel)
        rl_fetch_cancel(&world->fetch);
    return world->pauses-- <= 0;
}

static void on_done(void *arg, const rl_fetch_result_t *result)
{
    world_t *world = arg;
    world->done++;
    world->fetch = NULL;
    world->result = *result;
    snprintf(world->error, sizeof world->error, "%s", result->error);
    snprintf(world->type, sizeof world->type, "%s", result->type);
    snprintf(world->result_body, sizeof world->result_body, "%.*s", (int)result->body_size,
             result->body);
}

// Turns the loop until `*what` has reached `value`.
static void until(world_t *world, const int *what, int value)
{
    while (*what < value) {
        assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
        assert_false(event_base_got_break(world->base));
    }
}

static void until_request(world_t *world)
{
    while (!world->conn) {
        assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
        assert_false(event_base_got_break(world->base));
    }
}

static rl_fetch_request_t request_to(world_t *world)
{
    return (rl_fetch_request_t){.url = world->url, .on_done = on_done, .arg = world};
}

static void start(world_t *world, rl_fetch_request_t request)
{
    world->fetch = rl_fetch_start(world->fetcher, &request);
    assert_non_null(world->fetch);
    assert_int_equal(world->done, 0); // never from within
}

static void a_request_carries_what_was_asked(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    world->reply = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n"
                   "{\"a\": 1}";
    request.body = "{\"q\":1}";
    request.body_size = 7;
    request.bearer = "s3cret";
    request.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.tracestate = "congo=t61rcWkgMzE";
    request.headers = (const char *const[]){"X-One: 1", "X-Two: 2", NULL};
    start(world, request);
    until(world, &world->done, 1);
    assert_true(world->result.ok);
    assert_int_equal(world->result.status, 200);
    assert_string_equal(world->result_body, "{\"a\": 1}");
    assert_string_equal(world->type, "application/json");
    assert_int_equal(world->result.retry_after_s, -1);
    assert_true(world->result.connect_us > 0);
    assert_true(world->result.first_byte_us >= world->result.sent_us);
    assert_true(world->result.total_us >= world->result.first_byte_us);
    assert_ptr_equal(strstr(world->head, "POST /v1/x HTTP/1.1\r\n"), world->head);
    assert_non_null(strstr(world->head, "Authorization: Bearer s3cret\r\n"));
    assert_non_null(strstr(world->head, "traceparent: 00-0af7"));
    assert_non_null(strstr(world->head, "tracestate: congo=t61rcWkgMzE\r\n"));
    assert_non_null(strstr(world->head, "X-One: 1\r\nX-Two: 2\r\n"));
    assert_non_null(strstr(world->head, "Accept: application/json\r\n"));
    assert_non_null(strstr(world->head, "Content-Type: application/json\r\n"));
    assert_null(strstr(world->head, "Expect:"));
    assert_string_equal(world->body, "{\"q\":1}");
}

static void a_header_cannot_be_smuggled_in(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    request.bearer = "key\r\nX-Evil: 1";
    assert_null(rl_fetch_start(world->fetcher, &request));
}

static void only_http_urls_are_taken(void **state)
{
    world_t *world = *state;
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "nonsense://x",
                                       ""};
    for (size_t at = 0; at < sizeof urls / sizeof *urls; at++) {
        rl_fetch_request_t request = request_to(world);
        request.url = urls[at];
        assert_null(rl_fetch_start(world->fetcher, &request));
    }
}

static void a_connection_is_used_again(void **state)
{
    world_t *world = *state;
    world->reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (int at = 1; at <= 5; at++) {
        world->done = 0;
        start(world, request_to(world));
        until(world, &world->done, 1);
        assert_true(world->result.ok);
        assert_true(at == 1 ? world->result.connect_us > 0 : world->result.connect_us == 0);
    }
    assert_int_equal(loopback_taken(world->server), 1);
}

static void many_at_once_all_end(void **state)
{
    world_t *world = *state;
    world->reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (int at = 0; at < 100; at++) {
        rl_fetch_request_t request = request_to(world);
        assert_non_null(rl_fetch_start(world->fetcher, &request));
    }
    until(world, &world->done, 100);
    assert_int_equal(loopback_requests(world->server), 100);
}

// More than one of libcurl's multi handles takes: what is kept open afterwards stays bounded.
static void hundreds_at_once_leave_few_connections(void **state)
{
    enum {
        AT_ONCE = 300,
        MOST_IDLE = 4 + 1, // as setup says, and one of the second multi handle
    };
    world_t *world = *state;
    world->reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (int at = 0; at < AT_ONCE; at++) {
        rl_fetch_request_t request = request_to(world);
        assert_non_null(rl_fetch_start(world->fetcher, &request));
    }
    until(world, &world->done, AT_ONCE);
    assert_int_equal(loopback_requests(world->server), AT_ONCE);
    while (loopback_open(world->server) > MOST_IDLE) {
        assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
        assert_false(event_base_got_break(world->base));
    }
    size_t taken = loopback_taken(world->server);
    world->done = 0;
    start(world, request_to(world));
    until(world, &world->done, 1);
    assert_int_equal(loopback_taken(world->server), taken); // on one of those
}

static void an_error_s_body_is_there(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    request.on_data = on_data; // only for 2xx
    world->reply = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope";
    start(world, request);
    until(world, &world->done, 1);
    assert_true(world->result.ok);
    assert_int_equal(world->result.status, 404);
    assert_string_equal(world->result_body, "nope");
    assert_int_equal(world->got_size, 0);
}

static void a_status_without_a_body_is_there(void **state)
{
    world_t *world = *state;
    world->reply = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After:  7 \r\n\r\n";
    start(world, request_to(world));
    until(world, &world->done, 1);
    assert_int_equal(world->result.status, 503);
    assert_int_equal(world->result.retry_after_s, 7);
}

static void retry_after_may_be_a_date(void **state)
{
    world_t *world = *state;
    char reply[256], date[64];
    time_t later = time(NULL) + 100;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&later));
    snprintf(reply, sizeof reply,
             "HTTP/1.1 429 Slow\r\nretry-after: %s\r\nContent-Length: 0\r\n\r\n", date);
    world->reply = reply;
    start(world, request_to(world));
    until(world, &world->done, 1);
    assert_in_range(world->result.retry_after_s, 95, 100);
    world->done = 0;
    world->reply = "HTTP/1.1 429 Slow\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n";
    start(world, request_to(world));
    until(world, &world->done, 1);
    assert_int_equal(world->result.retry_after_s, -1);
}

static void a_redirect_is_not_followed(void **state)
{
    world_t *world = *state;
    world->reply =
        "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n";
    start(world, request_to(world));
    until(world, &world->done, 1);
    assert_int_equal(world->result.status, 302);
    assert_int_equal(loopback_requests(world->server), 1);
}

static void a_body_has_a_bound(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    request.max_body = 10;
    world->reply = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890";
    start(world, request);
    until(world, &world->done, 1);
    assert_false(world->result.ok);
    assert_non_null(strstr(world->error, "larger than 10 bytes"));
}

static void refusal_names_the_place(void **state)
{
    world_t *world = *state;
    char place[64];
    int port = loopback_free_port();
    rl_fetch_request_t request = request_to(world);
    snprintf(place, sizeof place, "127.0.0.1:%d", port);
    snprintf(world->url, sizeof world->url, "http://user:pass@%s/v1/x?key=hidden", place);
    request.bearer = "s3cret";
    start(world, request);
    until(world, &world->done, 1);
    assert_false(world->result.ok);
    assert_true(world->result.refused);
    assert_false(world->result.timed_out);
    assert_non_null(strstr(world->error, place));
    assert_null(strstr(world->error, "pass"));
    assert_null(strstr(world->error, "hidden"));
    assert_null(strstr(world->error, "s3cret"));
}

static void a_response_that_breaks_off_is_an_error(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    request.on_data = on_data;
    start(world, request);
    until_request(world);
    loopback_sendf(world->conn,
                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    loopback_close(world->conn);
    until(world, &world->done, 1);
    assert_false(world->result.ok);
    assert_false(world->result.refused);
    assert_int_equal(world->result.status, 200);
    assert_string_equal(world->got, "abc");
}

static void no_response_at_all_is_lost_not_refused(void **state)
{
    world_t *world = *state;
    start(world, request_to(world));
    until_request(world);
    loopback_reset(world->conn);
    until(world, &world->done, 1);
    assert_false(world->result.ok);
    assert_false(world->result.refused);
    assert_int_equal(world->result.status, 0);
}

static void silence_before_the_response_has_a_limit(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    request.first_byte_timeout_ms = 50;
    start(world, request);
    until(world, &world->done, 1);
    assert_true(world->result.timed_out);
    assert_false(world->result.refused);
    assert_int_equal(loopback_requests(world->server), 1);
    while (loopback_open(world->server) > 0) // the connection is closed, too
        event_base_loop(world->base, EVLOOP_ONCE);
}

static void silence_within_the_response_has_a_limit(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    request.first_byte_timeout_ms = 20000;
    request.idle_timeout_ms = 50;
    request.on_data = on_data;
    world->reply = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    start(world, request);
    until(world, &world->done, 1);
    assert_true(world->result.timed_out);
    assert_string_equal(world->got, "abc");
    assert_non_null(strstr(world->error, "silent"));
}

static void the_whole_has_a_limit(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    request.timeout_ms = 50;
    start(world, request);
    until(world, &world->done, 1);
    assert_true(world->result.timed_out);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    world_t *world = arg;
    (void)fd;
    (void)what;
    assert_int_equal(world->done, 0); // the limit of 20 ms did not run out meanwhile
    rl_fetch_resume(world->fetch);
}

// The one test that needs time to pass: the limit must not run out while it is paused.
static void a_pause_holds_bytes_and_stops_the_clock(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    struct timeval wait = {0, 100000};
    request.idle_timeout_ms = 20;
    request.on_data = on_data;
    world->pauses = 1;
    world->reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n";
    start(world, request);
    struct event *wake = evtimer_new(world->base, on_wake, world);
    while (world->got_size == 0)
        event_base_loop(world->base, EVLOOP_ONCE);
    assert_string_equal(world->got, "one");
    evtimer_add(wake, &wait);
    until(world, &world->done, 1);
    assert_true(world->result.ok);
    assert_string_equal(world->got, "onetwothree");
    event_free(wake);
}

static void a_pause_reaches_the_server(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    static char block[1 << 20];
    request.on_data = on_data;
    world->pauses = 1;
    start(world, request);
    until_request(world);
    memset(block, 'x', sizeof block);
    loopback_sendf(world->conn, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", 8 * sizeof block);
    for (int at = 0; at < 8; at++)
        loopback_send(world->conn, block, sizeof block);
    // turned until nothing moves any more: the kernel's buffers are full, ours are not used
    size_t before = 0;
    for (int still = 0; still < 200; still++) {
        event_base_loop(world->base, EVLOOP_NONBLOCK);
        if (loopback_unsent(world->conn) != before)
            still = 0;
        before = loopback_unsent(world->conn);
    }
    assert_true(before > sizeof block);
    assert_true(world->got_size <= 16384);
    rl_fetch_cancel(&world->fetch);
}

static void cancelled_from_outside_is_closed_at_once(void **state)
{
    world_t *world = *state;
    start(world, request_to(world));
    until_request(world);
    rl_fetch_cancel(&world->fetch);
    assert_null(world->fetch);
    while (loopback_open(world->server) > 0)
        event_base_loop(world->base, EVLOOP_ONCE);
    assert_int_equal(world->done, 0);
}

static void cancelled_from_within_is_closed_at_once(void **state)
{
    world_t *world = *state;
    rl_fetch_request_t request = request_to(world);
    request.on_data = on_data;
    world->cancel = true;
    start(world, request);
    until_request(world);
    loopback_sendf(world->conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    while (loopback_open(world->server) > 0)
        event_base_loop(world->base, EVLOOP_ONCE);
    assert_int_equal(world->done, 0);
    assert_string_equal(world->got, "abc");
}

int main(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_request_carries_what_was_asked),
        TEST(a_header_cannot_be_smuggled_in),
        TEST(only_http_urls_are_taken),
        TEST(a_connection_is_used_again),
        TEST(many_at_once_all_end),
        TEST(hundreds_at_once_leave_few_connections),
        TEST(an_error_s_body_is_there),
        TEST(a_status_without_a_body_is_there),
        TEST(retry_after_may_be_a_date),
        TEST(a_redirect_is_not_followed),
        TEST(a_body_has_a_bound),
        TEST(refusal_names_the_place),
        TEST(a_response_that_breaks_off_is_an_error),
        TEST(no_response_at_all_is_lost_not_refused),
        TEST(silence_before_the_response_has_a_limit),
        TEST(silence_within_the_response_has_a_limit),
        TEST(the_whole_has_a_limit),
        TEST(a_pause_holds_bytes_and_stops_the_clock),
        TEST(a_pause_reaches_the_server),
        TEST(cancelled_from_outside_is_closed_at_once),
        TEST(cancelled_from_within_is_closed_at_once),
    };
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
