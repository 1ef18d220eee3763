// The exporter against a collector on loopback: what is sent, what is tried again, what is dropped
// and counted; who is sampled; which headers go along with calls; the settings and where they come
// from.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "loopback.h"
#include "otlp.h"
#include "otlp_json.h"
#include "timeline_help.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
#define BUSY "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy"

enum {
    ANSWER_SPANS = 19 // of make_timeline
};

typedef struct world {
    struct event_base *base;
    rl_fetcher_t *fetcher;
    loopback_t *server;
    struct event *guard;
    otlp_t *otlp;
    char url[128];
    const char *replies[8]; // the last one again and again; NULL: nothing is said
    int requests;
    char head[4096], *body; // of the last request
    size_t spans;           // in it
} world_t;

static void on_guard(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

// Spans in a body, each of which must be whole.
static size_t count_spans(const char *body)
{
    json_error_t error;
    json_t *root = json_loads(body, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s: %s", error.text, body);
    const json_t *resource = json_array_get(json_object_get(root, "resourceSpans"), 0);
    const json_t *scope = json_array_get(json_object_get(resource, "scopeSpans"), 0);
    size_t spans = json_array_size(json_object_get(scope, "spans"));
    assert_true(
        json_array_size(json_object_get(json_object_get(resource, "resource"), "attributes")) >= 4);
    json_decref(root);
    return spans;
}

static void on_request(void *arg, loopback_conn_t *conn, const char *head, const char *body)
{
    world_t *world = arg;
    int at = world->requests++;
    snprintf(world->head, sizeof world->head, "%s", head);
    free(world->body);
    world->body = strdup(body);
    world->spans = count_spans(body);
    while (at > 0 && !world->replies[at])
        at--;
    if (world->replies[at])
        loopback_send(conn, world->replies[at], strlen(world->replies[at]));
}

static otlp_settings_t *settings_for(const char *url)
{
    otlp_settings_t *settings = calloc(1, sizeof *settings);
    *settings = (otlp_settings_t){.url = strdup(url),
                                  .headers = calloc(2, sizeof(char *)),
                                  .resource = strdup(""),
                                  .ratio = 1,
                                  .queue = 1000,
                                  .batch = 100,
                                  .delay_ms = 1,
                                  .timeout_ms = 20000,
                                  .retry_ms = 1,
                                  .give_up_ms = 20000};
    rl_buf_t resource = rl_buf_make(4096);
    static const char *const names[] = {"service.name", "service.version", "a", "b"};
    for (size_t at = 0; at < 4; at++) {
        rl_buf_adds(&resource, at ? "," : "");
        otlp_write_text(&resource, names[at], "\"x\"");
    }
    free(settings->resource);
    settings->resource = rl_buf_take(&resource);
    settings->headers[0] = strdup("X-Key: s3cret");
    return settings;
}

static int setup(void **state)
{
    world_t *world = calloc(1, sizeof *world);
    struct timeval wait = {30, 0};
    world->base = event_base_new();
    world->fetcher = rl_fetcher_new(world->base, 4);
    world->server = loopback_new(world->base, on_request, world);
    snprintf(world->url, sizeof world->url, "http://127.0.0.1:%d/v1/traces",
             loopback_port(world->server));
    world->guard = event_new(world->base, -1, 0, on_guard, world->base);
    event_add(world->guard, &wait);
    world->replies[0] = OK;
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    world_t *world = *state;
    otlp_destroy(&world->otlp);
    rl_fetcher_destroy(&world->fetcher);
    loopback_destroy(&world->server);
    event_free(world->guard);
    event_base_free(world->base);
    free(world->body);
    free(world);
    return 0;
}

static void begin(world_t *world, otlp_settings_t *settings)
{
    world->otlp = otlp_new(world->base, world->fetcher, &settings);
    assert_null(settings);
}

static void answer(world_t *world, const char *traceparent)
{
    timeline_t *timeline = make_timeline(traceparent);
    otlp_answer(world->otlp, timeline);
    timeline_destroy(&timeline);
}

static void turn(world_t *world)
{
    assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
    assert_false(event_base_got_break(world->base));
}

static void until_requests(world_t *world, int requests)
{
    while (world->requests < requests)
        turn(world);
}

static void until_nothing_waits(world_t *world)
{
    while (otlp_counts(world->otlp).waiting > 0)
        turn(world);
}

static void counts_are(world_t *world, uint64_t exported, uint64_t dropped, uint64_t failed)
{
    otlp_counts_t counts = otlp_counts(world->otlp);
    assert_int_equal(counts.exported, exported);
    assert_int_equal(counts.dropped, dropped);
    assert_int_equal(counts.failed, failed);
}

// ------------------------------------------------------------------------------------------
// sending

static void answers_leave_together(void **state)
{
    world_t *world = *state;
    begin(world, settings_for(world->url));
    for (int at = 0; at < 3; at++)
        answer(world, NULL);
    assert_int_equal(otlp_counts(world->otlp).waiting, 3 * ANSWER_SPANS);
    until_nothing_waits(world);
    assert_int_equal(world->requests, 1);
    assert_int_equal(world->spans, 3 * ANSWER_SPANS);
    assert_ptr_equal(strstr(world->head, "POST /v1/traces HTTP/1.1\r\n"), world->head);
    assert_non_null(strstr(world->head, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(world->head, "X-Key: s3cret\r\n"));
    counts_are(world, 3 * ANSWER_SPANS, 0, 0);
}

static void a_full_batch_waits_for_nobody(void **state)
{
    world_t *world = *state;
    otlp_settings_t *settings = settings_for(world->url);
    settings->delay_ms = 3600000;
    settings->batch = 2 * ANSWER_SPANS;
    begin(world, settings);
    for (int at = 0; at < 6; at++)
        answer(world, NULL);
    until_nothing_waits(world);
    assert_int_equal(world->requests, 3);
    assert_int_equal(world->spans, 2 * ANSWER_SPANS);
    counts_are(world, 6 * ANSWER_SPANS, 0, 0);
}

static void an_answer_larger_than_a_batch_leaves_whole(void **state)
{
    world_t *world = *state;
    otlp_settings_t *settings = settings_for(world->url);
    settings->batch = 1;
    begin(world, settings);
    answer(world, NULL);
    answer(world, NULL);
    until_nothing_waits(world);
    assert_int_equal(world->requests, 2);
    assert_int_equal(world->spans, ANSWER_SPANS);
}

static void a_busy_collector_is_asked_again(void **state)
{
    world_t *world = *state;
    world->replies[0] = world->replies[1] = BUSY;
    world->replies[2] = "HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n";
    world->replies[3] = OK;
    begin(world, settings_for(world->url));
    answer(world, NULL);
    until_nothing_waits(world);
    assert_int_equal(world->requests, 4);
    counts_are(world, ANSWER_SPANS, 0, 0);
}

static void a_retry_comes_no_sooner_than_it_was_asked_for(void **state)
{
    world_t *world = *state;
    world->replies[0] = "HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
    begin(world, settings_for(world->url)); // an hour is longer than it is tried
    answer(world, NULL);
    until_nothing_waits(world);
    assert_int_equal(world->requests, 1);
    counts_are(world, 0, 0, ANSWER_SPANS);
}

static void what_is_refused_is_not_asked_again(void **state)
{
    world_t *world = *state;
    world->replies[0] = "HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nbad";
    world->replies[1] = "HTTP/1.1 302 Elsewhere\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n";
    world->replies[2] = OK;
    begin(world, settings_for(world->url));
    for (unsigned at = 1; at <= 2; at++) {
        answer(world, NULL);
        until_nothing_waits(world);
        counts_are(world, 0, 0, at * ANSWER_SPANS);
    }
    answer(world, NULL);
    until_nothing_waits(world);
    assert_int_equal(world->requests, 3);
    counts_are(world, ANSWER_SPANS, 0, 2 * ANSWER_SPANS);
}

static void a_part_may_be_refused(void **state)
{
    world_t *world = *state;
    world->replies[0] = "HTTP/1.1 200 OK\r\nContent-Length: 61\r\n\r\n"
                        "{\"partialSuccess\":{\"rejectedSpans\":\"4\",\"errorMessage\":\"old\"}}";
    begin(world, settings_for(world->url));
    answer(world, NULL);
    until_nothing_waits(world);
    counts_are(world, ANSWER_SPANS - 4, 0, 4);
}

static void a_server_that_is_no_collector_has_taken_nothing(void **state)
{
    world_t *world = *state;
    world->replies[0] = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>";
    world->replies[1] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"; // complete success
    begin(world, settings_for(world->url));
    answer(world, NULL);
    until_nothing_waits(world);
    counts_are(world, 0, 0, ANSWER_SPANS);
    answer(world, NULL);
    until_nothing_waits(world);
    counts_are(world, ANSWER_SPANS, 0, ANSWER_SPANS);
}

static void a_collector_that_says_nothing_is_given_up(void **state)
{
    world_t *world = *state;
    otlp_settings_t *settings = settings_for(world->url);
    world->replies[0] = NULL;
    settings->timeout_ms = 20;
    settings->give_up_ms = 60;
    begin(world, settings);
    answer(world, NULL);
    until_nothing_waits(world);
    assert_true(world->requests >= 2);
    counts_are(world, 0, 0, ANSWER_SPANS);
}

static void the_queue_is_bounded(void **state)
{
    world_t *world = *state;
    otlp_settings_t *settings = settings_for(world->url);
    settings->queue = 3 * ANSWER_SPANS;
    world->replies[0] = NULL; // the first batch never ends
    begin(world, settings);
    answer(world, NULL);
    until_requests(world, 1);
    for (int at = 0; at < 5; at++)
        answer(world, NULL);
    counts_are(world, 0, 2 * ANSWER_SPANS, 0);
    assert_int_equal(otlp_counts(world->otlp).waiting, 4 * ANSWER_SPANS);
}

static void at_the_end_all_is_said(void **state)
{
    world_t *world = *state;
    otlp_settings_t *settings = settings_for(world->url);
    settings->delay_ms = 3600000;
    settings->batch = 1;
    begin(world, settings);
    answer(world, NULL);
    answer(world, NULL);
    while (!otlp_finish(world->otlp))
        turn(world);
    counts_are(world, 2 * ANSWER_SPANS, 0, 0);
    assert_int_equal(world->requests, 2);
}

static void the_end_does_not_wait_for_a_collector_that_is_down(void **state)
{
    world_t *world = *state;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/traces", loopback_free_port());
    otlp_settings_t *settings = settings_for(url);
    settings->retry_ms = 3600000;
    settings->give_up_ms = 7200000;
    begin(world, settings);
    answer(world, NULL);
    answer(world, NULL);
    while (!otlp_finish(world->otlp))
        turn(world);
    counts_are(world, 0, 0, 2 * ANSWER_SPANS);
}

static void a_reload_sends_elsewhere(void **state)
{
    world_t *world = *state;
    otlp_settings_t *settings = settings_for("");
    begin(world, settings);
    assert_false(otlp_enabled(world->otlp));
    answer(world, NULL);
    assert_int_equal(otlp_counts(world->otlp).waiting, 0);
    settings = settings_for(world->url);
    otlp_reload(world->otlp, &settings);
    assert_true(otlp_enabled(world->otlp));
    answer(world, NULL);
    until_nothing_waits(world);
    counts_are(world, ANSWER_SPANS, 0, 0);
}

// ----------------------------------------------------------------------------- sampling, headers

static void a_client_decides_for_its_own_traces(void **state)
{
    world_t *world = *state;
    otlp_settings_t *settings = settings_for(world->url);
    settings->ratio = 0;
    begin(world, settings);
    answer(world, NULL);
    answer(world, "00-" MADE_TRACE "-" MADE_PARENT "-00");
    assert_int_equal(otlp_counts(world->otlp).waiting, 0);
    answer(world, "00-" MADE_TRACE "-" MADE_PARENT "-01");
    assert_int_equal(otlp_counts(world->otlp).waiting, ANSWER_SPANS);
    until_nothing_waits(world);
    counts_are(world, ANSWER_SPANS, 0, 0);
}

static void calls_are_told_their_span(void **state)
{
    world_t *world = *state;
    char id[17], wanted[64];
    begin(world, settings_for(world->url));
    timeline_t *timeline = make_timeline("00-" MADE_TRACE "-" MADE_PARENT "-03");
    timeline->tracestate = "congo=t61rcWkgMzE";
    trace_headers_t headers = otlp_headers(world->otlp, timeline, TRACE_CHAT, 1);
    trace_span_id(timeline->span_id, TRACE_CHAT, 1, id);
    snprintf(wanted, sizeof wanted, "00-" MADE_TRACE "-%s-03", id);
    assert_string_equal(headers.parent, wanted);
    assert_string_equal(headers.state, "congo=t61rcWkgMzE");
    timeline_destroy(&timeline);
    timeline = make_timeline("00-" MADE_TRACE "-" MADE_PARENT "-00");
    headers = otlp_headers(world->otlp, timeline, TRACE_EMBED, 0);
    assert_string_equal(headers.parent + 53, "00");
    timeline_destroy(&timeline);
    timeline = make_timeline(NULL);
    headers = otlp_headers(world->otlp, timeline, TRACE_EMBED, 0);
    assert_string_equal(headers.parent + 53, "01");
    assert_memory_equal(headers.parent + 3, timeline->trace_id, 32);
    timeline_destroy(&timeline);
}

static void without_a_collector_the_clients_header_goes_on(void **state)
{
    world_t *world = *state;
    begin(world, settings_for(""));
    timeline_t *timeline = make_timeline("00-" MADE_TRACE "-" MADE_PARENT "-01");
    trace_headers_t headers = otlp_headers(world->otlp, timeline, TRACE_CHAT, 0);
    assert_string_equal(headers.parent, "00-" MADE_TRACE "-" MADE_PARENT "-01");
    timeline_destroy(&timeline);
    timeline = make_timeline("00-00000000000000000000000000000000-" MADE_PARENT "-01");
    headers = otlp_headers(world->otlp, timeline, TRACE_CHAT, 0);
    assert_string_equal(headers.parent, "");
    timeline_destroy(&timeline);
}

// -----------------------------------------------------------------------------------------
// settings

static const char *const variables[] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",  "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",        NULL};

static void clear_environment(void)
{
    for (size_t at = 0; variables[at]; at++)
        unsetenv(variables[at]);
}

static char said[512];

static otlp_settings_t *read_settings(const char *option, const char *value)
{
    char *argv[] = {(char *)"test", (char *)option, (char *)value, NULL};
    rl_conf_t *conf = rl_conf_new(RL_GATEWAY, option ? 3 : 1, argv);
    assert_non_null(conf);
    said[0] = '\0';
    otlp_settings_t *settings = otlp_settings_read(conf, "gateway-1", said, sizeof said);
    rl_conf_destroy(&conf);
    return settings;
}

static void url_is(const char *option, const char *value, const char *url)
{
    otlp_settings_t *settings = read_settings(option, value);
    assert_non_null(settings);
    assert_string_equal(settings->url, url);
    otlp_settings_destroy(&settings);
}

static void the_address_comes_from_the_option_or_the_environment(void **state)
{
    (void)state;
    clear_environment();
    url_is(NULL, NULL, "");
    url_is("--otlp-endpoint", "http://c:4318", "http://c:4318/v1/traces");
    url_is("--otlp-endpoint", "http://c:4318/", "http://c:4318/v1/traces");
    url_is("--otlp-endpoint", "https://c/x/v1/traces", "https://c/x/v1/traces");
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://e:4318/base/", 1);
    url_is(NULL, NULL, "http://e:4318/base/v1/traces");
    url_is("--otlp-endpoint", "http://c", "http://c/v1/traces");
    url_is("--otlp-endpoint", "", "");
    setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:4318/as/it/is", 1);
    url_is(NULL, NULL, "http://t:4318/as/it/is");
    setenv("OTEL_SDK_DISABLED", "TRUE", 1);
    url_is(NULL, NULL, "");
    url_is("--otlp-endpoint", "http://c", "http://c/v1/traces");
    clear_environment();
    static const char *const wrong[] = {"c:4318", "ftp://c", "http://", "http:///x", "http://a b"};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        assert_null(read_settings("--otlp-endpoint", wrong[at]));
        assert_non_null(strstr(said, "otlp.endpoint"));
        assert_non_null(strstr(said, "http://127.0.0.1:4318"));
    }
}

static void headers_come_from_the_option_or_the_environment(void **state)
{
    (void)state;
    clear_environment();
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k%20e%2cy, x-b = 2 ,", 1);
    otlp_settings_t *settings = read_settings(NULL, NULL);
    assert_string_equal(settings->headers[0], "api-key: k e,y");
    assert_string_equal(settings->headers[1], "x-b: 2");
    assert_null(settings->headers[2]);
    otlp_settings_destroy(&settings);
    settings = read_settings("--otlp-headers", "Authorization=Bearer%20t=1");
    assert_string_equal(settings->headers[0], "Authorization: Bearer t=1");
    assert_null(settings->headers[1]);
    otlp_settings_destroy(&settings);
    static const char *const wrong[] = {"no value", "a b=s3cret", "=s3cret", "a=s3%0d%0acret"};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        assert_null(read_settings("--otlp-headers", wrong[at]));
        assert_non_null(strstr(said, "otlp.headers"));
        assert_null(strstr(said, "cret"));
    }
    clear_environment();
}

static void the_resource_names_the_service(void **state)
{
    (void)state;
    clear_environment();
    otlp_settings_t *settings = read_settings(NULL, NULL);
    assert_non_null(strstr(settings->resource, "\"ragline-gateway\""));
    assert_non_null(strstr(settings->resource, "\"gateway-1\""));
    otlp_settings_destroy(&settings);
    setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test%20bed,service.name=by-list", 1);
    settings = read_settings(NULL, NULL);
    assert_non_null(strstr(settings->resource, "\"test bed\""));
    assert_non_null(strstr(settings->resource, "\"by-list\""));
    otlp_settings_destroy(&settings);
    setenv("OTEL_SERVICE_NAME", "by-name", 1);
    settings = read_settings(NULL, NULL);
    assert_non_null(strstr(settings->resource, "\"by-name\""));
    assert_null(strstr(settings->resource, "by-list"));
    otlp_settings_destroy(&settings);
    settings = read_settings("--otlp-service", "by-option");
    assert_non_null(strstr(settings->resource, "\"by-option\""));
    assert_null(strstr(settings->resource, "by-name"));
    otlp_settings_destroy(&settings);
    setenv("OTEL_RESOURCE_ATTRIBUTES", "nothing", 1);
    assert_null(read_settings(NULL, NULL));
    assert_non_null(strstr(said, "OTEL_RESOURCE_ATTRIBUTES"));
    clear_environment();
}

int main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(answers_leave_together),
        WITH_SERVER(a_full_batch_waits_for_nobody),
        WITH_SERVER(an_answer_larger_than_a_batch_leaves_whole),
        WITH_SERVER(a_busy_collector_is_asked_again),
        WITH_SERVER(a_retry_comes_no_sooner_than_it_was_asked_for),
        WITH_SERVER(what_is_refused_is_not_asked_again),
        WITH_SERVER(a_part_may_be_refused),
        WITH_SERVER(a_server_that_is_no_collector_has_taken_nothing),
        WITH_SERVER(a_collector_that_says_nothing_is_given_up),
        WITH_SERVER(the_queue_is_bounded),
        WITH_SERVER(at_the_end_all_is_said),
        WITH_SERVER(the_end_does_not_wait_for_a_collector_that_is_down),
        WITH_SERVER(a_reload_sends_elsewhere),
        WITH_SERVER(a_client_decides_for_its_own_traces),
        WITH_SERVER(calls_are_told_their_span),
        WITH_SERVER(without_a_collector_the_clients_header_goes_on),
        cmocka_unit_test(the_address_comes_from_the_option_or_the_environment),
        cmocka_unit_test(headers_come_from_the_option_or_the_environment),
        cmocka_unit_test(the_resource_names_the_service),
    };
    clear_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
