// Embedding in bulk: replies in any order, servers that are busy, wrong, or take less at a time.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "bulk_embed.h"
#include "loopback.h"

enum {
    TEXTS = 25,
    BAD = 7, // a text that the server cannot embed
};

typedef struct fixture {
    struct event_base *base;
    loopback_t *server;
    size_t given;      // texts handed out
    float seen[TEXTS]; // what came for each, 0 if nothing
    size_t twice, notes;
    bool ended;
    char why[500];
    size_t requests;
    size_t longest; // the server's limit in bytes, 0: none
    size_t batches[100];
    const char *refusal; // answered to every request, NULL: none
    const char *first;   // answered to the first only
    const char *bad;     // answered to a request with the text BAD in it
    size_t refused[TEXTS];
    char refusal_seen[400];
} fixture_t;

static void answer(loopback_conn_t *conn, const char *status, const char *type, const char *more,
                   const char *body)
{
    loopback_sendf(conn, "HTTP/1.1 %s\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
                   status, type, more, strlen(body), body);
}

// Vectors (text's number, 1) in reverse order.
static void embed(loopback_conn_t *conn, const json_t *input)
{
    rl_buf_t body = rl_buf_make(1 << 20);
    rl_buf_adds(&body, "{\"data\":[");
    size_t size = json_array_size(input);
    for (size_t i = size; i-- > 0;) {
        int number = 0;
        sscanf(json_string_value(json_array_get(input, i)), "text %d", &number);
        rl_buf_addf(&body, "%s{\"index\":%zu,\"embedding\":[%d,1.0]}", i + 1 < size ? "," : "", i,
                    number);
    }
    rl_buf_adds(&body, "]}");
    answer(conn, "200 OK", "application/json", "", body.data);
    rl_buf_free(&body);
}

static void on_request(void *arg, loopback_conn_t *conn, const char *head, const char *body)
{
    fixture_t *self = arg;
    assert_non_null(strstr(head, "POST /v1/embeddings "));
    assert_non_null(strstr(head, "Authorization: Bearer secret"));
    json_t *root = json_loads(body, 0, NULL);
    const json_t *input = json_object_get(root, "input");
    assert_string_equal(json_string_value(json_object_get(root, "model")), "m");
    assert_string_equal(json_string_value(json_object_get(root, "encoding_format")), "float");
    self->batches[self->requests++ % 100] = json_array_size(input);
    bool too_long = false, has_bad = false;
    for (size_t i = 0; i < json_array_size(input); i++) {
        int number = 0;
        sscanf(json_string_value(json_array_get(input, i)), "text %d", &number);
        has_bad = has_bad || number == BAD;
    }
    for (size_t i = 0; i < json_array_size(input); i++)
        too_long = too_long ||
                   (self->longest && json_string_length(json_array_get(input, i)) > self->longest);
    if (self->refusal)
        loopback_sendf(conn, "%s", self->refusal);
    else if (self->first && self->requests == 1)
        loopback_sendf(conn, "%s", self->first);
    else if (self->bad && has_bad)
        loopback_sendf(conn, "%s", self->bad);
    else if (too_long)
        answer(conn, "400 Bad Request", "application/json", "",
               "{\"error\":{\"message\":\"input exceeds the context\"}}");
    else
        embed(conn, input);
    json_decref(root);
}

static int next(void *arg, vector_key_t *key, rl_buf_t *text)
{
    fixture_t *self = arg;
    if (self->given == TEXTS)
        return 0;
    memset(key, 0, sizeof *key);
    key->bytes[0] = (uint8_t)self->given;
    rl_buf_addf(text, "text %zu %0*d", self->given + 1, (int)self->given * 10, 0);
    self->given++;
    return 1;
}

static int on_vector(void *arg, const vector_key_t *key, const float *vector, size_t dimension)
{
    fixture_t *self = arg;
    size_t at = key->bytes[0];
    assert_true(at < TEXTS);
    assert_int_equal(dimension, 2);
    self->twice += self->seen[at] != 0;
    self->seen[at] = vector[0] / vector[1];
    assert_true(fabsf(vector[0] * vector[0] + vector[1] * vector[1] - 1) < 1e-5f);
    return 0;
}

static void on_refused(void *arg, const vector_key_t *key, const char *why)
{
    fixture_t *self = arg;
    self->refused[key->bytes[0]]++;
    snprintf(self->refusal_seen, sizeof self->refusal_seen, "%s", why);
}

static void on_note(void *arg, const char *what)
{
    assert_non_null(strstr(what, "again in"));
    ((fixture_t *)arg)->notes++;
}

static void on_end(void *arg, const char *why)
{
    fixture_t *self = arg;
    self->ended = true;
    snprintf(self->why, sizeof self->why, "%s", why ? why : "");
    event_base_loopbreak(self->base);
}

static void start(fixture_t *self)
{
    *self = (fixture_t){.base = event_base_new()};
    self->server = loopback_new(self->base, on_request, self);
}

static void stop(fixture_t *self)
{
    loopback_destroy(&self->server);
    event_base_free(self->base);
}

// Runs to the end; returns how many texts were cut.
static uint64_t run(fixture_t *self, int port, unsigned retries)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/", port);
    bulk_settings_t settings = {.url = url,
                                .model = "m",
                                .key = "secret",
                                .batch = 4,
                                .requests = 3,
                                .retries = retries,
                                .timeout_ms = 20000};
    bulk_calls_t calls = {next, on_vector, on_refused, on_note, on_end, self};
    bulk_embed_t *bulk = bulk_embed_new(self->base, &settings, &calls);
    assert_non_null(bulk);
    while (!self->ended)
        event_base_loop(self->base, EVLOOP_ONCE);
    uint64_t cut = bulk_embed_cut(bulk);
    bulk_embed_destroy(&bulk);
    assert_null(bulk);
    return cut;
}

static void expect_all(const fixture_t *self)
{
    assert_string_equal(self->why, "");
    assert_int_equal(self->twice, 0);
    for (size_t i = 0; i < TEXTS; i++)
        assert_true(fabsf(self->seen[i] - (float)(i + 1)) < 1e-3f);
}

static void vectors_go_to_their_texts(void **state)
{
    (void)state;
    fixture_t self;
    start(&self);
    assert_int_equal(run(&self, loopback_port(self.server), 0), 0);
    expect_all(&self);
    assert_int_equal(self.requests, 7);
    assert_int_equal(self.batches[0], 4);
    assert_int_equal(self.batches[6], 1);
    stop(&self);
}

static void a_busy_server_is_asked_again(void **state)
{
    (void)state;
    static const char *const busy[] = {
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
        "HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    };
    for (size_t i = 0; i < 3; i++) {
        fixture_t self;
        start(&self);
        self.first = busy[i];
        run(&self, loopback_port(self.server), 1);
        expect_all(&self);
        assert_int_equal(self.notes, 1);
        assert_int_equal(self.requests, 8);
        stop(&self);
    }
}

static void a_text_that_has_no_vector_costs_itself(void **state)
{
    (void)state;
    static const struct {
        const char *reply, *why;
    } bad[] = {
        {"HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n"
         "{\"error\":\"json: unsupported value: NaN\"} ",
         "answers 500: json: unsupported value: NaN"},
        {"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
         "{\"error\":\"no!\"} ",
         "answers 400: no!"},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\r\n"
         "{\"data\":[{\"embedding\":null}]}",
         "vector"},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n"
         "{\"data\":[{\"embedding\":[0,0]}]}",
         "no length"},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 32\r\n\r\n"
         "{\"data\":[{\"embedding\":[NaN,1]}]}",
         "JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_t self;
        start(&self);
        self.bad = bad[i].reply;
        run(&self, loopback_port(self.server), 2);
        assert_string_equal(self.why, "");
        for (size_t at = 0; at < TEXTS; at++) {
            assert_int_equal(self.refused[at], at + 1 == BAD);
            assert_true((self.seen[at] != 0) == (at + 1 != BAD));
        }
        if (!strstr(self.refusal_seen, bad[i].why))
            fail_msg("%zu: %s", i, self.refusal_seen);
        stop(&self);
    }
}

static void texts_too_long_for_the_model_are_found_and_cut(void **state)
{
    (void)state;
    fixture_t self;
    start(&self);
    self.longest = 100;
    uint64_t cut = run(&self, loopback_port(self.server), 0);
    expect_all(&self);
    assert_int_equal(cut, 15); // "text 11 " and 100 zeros, and all longer ones: 11 to 25
    stop(&self);
    start(&self);
    self.longest = 1;
    run(&self, loopback_port(self.server), 0);
    assert_non_null(strstr(self.why, "refuses even a short text: input exceeds the context"));
    stop(&self);
}

static void what_no_retry_will_change(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "embed.key"},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "embed.url"},
        {"HTTP/1.1 400 Bad\r\nContent-Length: 20\r\n\r\n{\"error\":\"no input\"}", "400: no input"},
        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", "page"},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
         "data"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fixture_t self;
        start(&self);
        self.refusal = rows[i][0];
        run(&self, loopback_port(self.server), 5);
        if (!strstr(self.why, rows[i][1]))
            fail_msg("\"%s\" does not speak of %s", self.why, rows[i][1]);
        assert_null(strstr(self.why, "secret"));
        assert_int_equal(self.notes, 0);
        stop(&self);
    }
}

static void nobody_there(void **state)
{
    (void)state;
    fixture_t self;
    start(&self);
    run(&self, loopback_free_port(), 1);
    assert_non_null(strstr(self.why, "cannot be reached"));
    assert_int_equal(self.requests, 0);
    stop(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_go_to_their_texts),
        cmocka_unit_test(a_busy_server_is_asked_again),
        cmocka_unit_test(a_text_that_has_no_vector_costs_itself),
        cmocka_unit_test(texts_too_long_for_the_model_are_found_and_cut),
        cmocka_unit_test(what_no_retry_will_change),
        cmocka_unit_test(nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
