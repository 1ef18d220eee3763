// Sockets in the loop: nothing is lost, nothing is out of order, rubbish is dropped and counted.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <czmq.h>

#include "wire.h"

typedef struct fixture {
    rl_proc_t *proc;
    rl_wire_t *in, *out;
    uint64_t got, last, wanted;
    bool subscribed, slow;
    struct event *guard;
} fixture_t;

// A test that waits for what never comes ends here, and fails.
static void on_guard(evutil_socket_t fd, short what, void *arg)
{
    fixture_t *self = arg;
    (void)fd;
    (void)what;
    rl_proc_end(self->proc, 99);
}

static int setup(void **state)
{
    static char *argv[] = {(char *)"test", (char *)"--log-level", (char *)"error", NULL};
    fixture_t *self = calloc(1, sizeof *self);
    int status;
    self->proc = rl_proc_new(RL_GATEWAY, "test", "", 3, argv, &status);
    self->guard = event_new(rl_proc_base(self->proc), -1, 0, on_guard, self);
    struct timeval wait = {60, 0};
    event_add(self->guard, &wait);
    *state = self;
    return self->proc ? 0 : -1;
}

static int teardown(void **state)
{
    fixture_t *self = *state;
    rl_wire_destroy(&self->out);
    rl_wire_destroy(&self->in);
    event_free(self->guard);
    rl_proc_destroy(&self->proc);
    free(self);
    return 0;
}

static void on_token(void *arg, rl_msg_t *msg)
{
    fixture_t *self = arg;
    assert_int_equal(msg->type, RL_TOKEN);
    assert_int_equal(msg->token.seq, self->last + 1); // in order, none lost
    self->last = msg->token.seq;
    if (++self->got == self->wanted)
        rl_proc_end(self->proc, 0);
}

static int send_token(rl_wire_t *wire, uint64_t seq)
{
    rl_msg_t msg = {.type = RL_TOKEN, .token = {.task = 1, .seq = seq, .text = "word"}};
    return rl_wire_send(wire, &msg);
}

static void what_is_pushed_is_pulled_in_order(void **state)
{
    fixture_t *self = *state;
    char why[256];
    self->in = rl_wire_pull(self->proc, "tcp://127.0.0.1:*", on_token, self, why, sizeof why);
    assert_non_null(self->in);
    self->out = rl_wire_push(self->proc, rl_wire_endpoint(self->in), why, sizeof why);
    assert_non_null(self->out);
    self->wanted = 5000;
    for (uint64_t seq = 1; seq <= self->wanted; seq++)
        assert_int_equal(send_token(self->out, seq), 0);
    assert_int_equal(rl_proc_run(self->proc), 0);
}

static void a_push_that_is_full_says_so(void **state)
{
    fixture_t *self = *state;
    char why[256];
    self->out = rl_wire_push(self->proc, "tcp://127.0.0.1:1", why, sizeof why);
    uint64_t sent = 0;
    while (send_token(self->out, sent + 1) == 0 && sent < 1000000)
        sent++;
    assert_in_range(sent, 1000, 100000);
}

static void on_subscribed(void *arg, const char *topic, bool subscribed)
{
    fixture_t *self = arg;
    assert_string_equal(topic, "gateway-1");
    if (!subscribed || self->subscribed)
        return;
    self->subscribed = true;
    for (uint64_t seq = 1; seq <= self->wanted; seq++)
        assert_int_equal(send_token(self->out, seq), 0);
}

static void nothing_published_is_lost_at_the_high_water_mark(void **state)
{
    fixture_t *self = *state;
    char why[256];
    self->wanted = 200000; // many more than all pipes hold
    self->in =
        rl_wire_sub(self->proc, "tcp://127.0.0.1:*", "gateway-1", on_token, self, why, sizeof why);
    assert_non_null(self->in);
    self->out = rl_wire_pub(self->proc, rl_wire_endpoint(self->in), "gateway-1", on_subscribed,
                            self, why, sizeof why);
    assert_non_null(self->out);
    assert_int_equal(rl_proc_run(self->proc), 0);
    assert_int_equal(self->last, self->wanted);
    assert_int_equal(rl_wire_waiting(self->out), 0);
}

static void rubbish_is_dropped_and_what_follows_is_taken(void **state)
{
    fixture_t *self = *state;
    char why[256];
    self->in = rl_wire_pull(self->proc, "tcp://127.0.0.1:*", on_token, self, why, sizeof why);
    uint64_t bad = rl_wire_counts()->bad;
    zsock_t *raw = zsock_new(ZMQ_PUSH);
    zsock_set_linger(raw, 0);
    assert_int_equal(zmq_connect(zsock_resolve(raw), rl_wire_endpoint(self->in)), 0);
    zmq_send(zsock_resolve(raw), "", 0, 0);
    zmq_send(zsock_resolve(raw), "\xdd\xff\xff\xff\xff", 5, 0);
    zmq_send(zsock_resolve(raw), "part", 4, ZMQ_SNDMORE); // two frames
    zmq_send(zsock_resolve(raw), "part", 4, 0);
    rl_buf_t bytes = rl_buf_make(1000);
    rl_msg_t msg = {.type = RL_TOKEN, .token = {.seq = 1, .text = "ok"}};
    rl_msg_encode(&msg, &bytes, (char[256]){""}, 256);
    zmq_send(zsock_resolve(raw), bytes.data, bytes.size, 0);
    self->wanted = 1;
    assert_int_equal(rl_proc_run(self->proc), 0);
    assert_true(rl_wire_counts()->bad >= bad + 3);
    rl_buf_free(&bytes);
    zsock_destroy(&raw);
}

static void wrong_endpoints_are_named(void **state)
{
    fixture_t *self = *state;
    char why[256];
    assert_null(rl_wire_pull(self->proc, "nonsense", on_token, self, why, sizeof why));
    assert_non_null(strstr(why, "nonsense: "));
    self->in = rl_wire_pull(self->proc, "tcp://127.0.0.1:*", on_token, self, why, sizeof why);
    assert_null(
        rl_wire_pull(self->proc, rl_wire_endpoint(self->in), on_token, self, why, sizeof why));
    assert_non_null(strstr(why, "Address already in use"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_pushed_is_pulled_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_push_that_is_full_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_published_is_lost_at_the_high_water_mark, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(rubbish_is_dropped_and_what_follows_is_taken, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(wrong_endpoints_are_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
