// CURVE: who is let in, certificates and their folder, and what endpoints tell.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <czmq.h>

#include "certs.h"
#include "endpoint.h"
#include "wire.h"

enum {
    GUARD_S = 30,
};

typedef struct fixture {
    char folder[64], key_file[128], allowed[128];
    rl_proc_t *proc;
    void *zap; // REQ: plays libzmq
    char status[8], user[64];
    uint64_t got;
    struct event *readable, *guard;
} fixture_t;

static void on_guard(evutil_socket_t fd, short what, void *arg)
{
    fixture_t *self = arg;
    (void)fd;
    (void)what;
    rl_proc_end(self->proc, 99);
}

static int setup(void **state)
{
    static const char *const names[] = {"gateway", "worker", "stranger"};
    fixture_t *self = calloc(1, sizeof *self);
    char from[256], to[256];
    snprintf(self->folder, sizeof self->folder, "/tmp/ragline-curve-XXXXXX");
    if (!mkdtemp(self->folder))
        return -1;
    snprintf(self->key_file, sizeof self->key_file, "%s/gateway.secret", self->folder);
    snprintf(self->allowed, sizeof self->allowed, "%s/allowed", self->folder);
    if (rl_certs_make(self->folder, names, 3) != 0 || mkdir(self->allowed, 0755) != 0)
        return -1;
    snprintf(from, sizeof from, "%s/public/worker", self->folder);
    snprintf(to, sizeof to, "%s/worker", self->allowed);
    if (rename(from, to) != 0)
        return -1;
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *self = *state;
    if (self->zap)
        zmq_close(self->zap);
    if (self->readable)
        event_free(self->readable);
    if (self->guard)
        event_free(self->guard);
    rl_proc_destroy(&self->proc);
    zdir_t *dir = zdir_new(self->folder, NULL);
    zdir_remove(dir, true);
    zdir_destroy(&dir);
    free(self);
    return 0;
}

static void start(fixture_t *self)
{
    char *argv[] = {
        (char *)"test", (char *)"--log-level",     (char *)"error", (char *)"--curve-key-file",
        self->key_file, (char *)"--curve-allowed", self->allowed,   NULL};
    int status;
    // The test before it was a process of its own in the same one: its inproc address is free once
    // libzmq's own thread has closed the socket.
    for (int tries = 0; tries < 2000 && !self->proc; tries++) {
        self->proc = rl_proc_new(RL_GATEWAY, "test", "", 7, argv, &status);
        if (!self->proc)
            zclock_sleep(5);
    }
    assert_non_null(self->proc);
    self->guard = event_new(rl_proc_base(self->proc), -1, 0, on_guard, self);
    struct timeval wait = {GUARD_S, 0};
    event_add(self->guard, &wait);
}

static void key_of(const fixture_t *self, const char *name, char key[RL_KEY], char secret[RL_KEY])
{
    char file[256], why[512];
    snprintf(file, sizeof file, "%s/%s.secret", self->folder, name);
    assert_int_equal(rl_cert_read_secret(file, key, secret, why, sizeof why), 0);
}

// ------------------------------------------------------------------------------------------ ZAP

static void on_reply(evutil_socket_t fd, short what, void *arg)
{
    fixture_t *self = arg;
    (void)fd;
    (void)what;
    zmsg_t *reply = NULL;
    int events;
    size_t size = sizeof events;
    zmq_getsockopt(self->zap, ZMQ_EVENTS, &events, &size);
    if (!(events & ZMQ_POLLIN) || !(reply = zmsg_recv(self->zap)))
        return;
    assert_int_equal(zmsg_size(reply), 6);
    char *version = zmsg_popstr(reply), *id = zmsg_popstr(reply), *status = zmsg_popstr(reply);
    char *text = zmsg_popstr(reply), *user = zmsg_popstr(reply);
    assert_string_equal(version, "1.0");
    assert_string_equal(id, "7");
    snprintf(self->status, sizeof self->status, "%s", status);
    snprintf(self->user, sizeof self->user, "%s", user);
    free(version);
    free(id);
    free(status);
    free(text);
    free(user);
    zmsg_destroy(&reply);
    rl_proc_end(self->proc, 0);
}

// Asks as libzmq does and waits for the status.
static const char *decide(fixture_t *self, const char *version, const char *domain,
                          const char *mechanism, const void *credentials, size_t size)
{
    int fd, none = 0;
    size_t fd_size = sizeof fd;
    if (!self->zap) {
        self->zap = zmq_socket(rl_proc_context(), ZMQ_REQ);
        zmq_setsockopt(self->zap, ZMQ_LINGER, &none, sizeof none);
        assert_int_equal(zmq_connect(self->zap, "inproc://zeromq.zap.01"), 0);
        zmq_getsockopt(self->zap, ZMQ_FD, &fd, &fd_size);
        self->readable =
            event_new(rl_proc_base(self->proc), fd, EV_READ | EV_PERSIST, on_reply, self);
        event_add(self->readable, NULL);
    }
    zmsg_t *msg = zmsg_new();
    zmsg_addstr(msg, version);
    zmsg_addstr(msg, "7");
    zmsg_addstr(msg, domain);
    zmsg_addstr(msg, "192.0.2.1");
    zmsg_addstr(msg, "");
    zmsg_addstr(msg, mechanism);
    if (credentials)
        zmsg_addmem(msg, credentials, size);
    *self->status = '\0';
    zmsg_send(&msg, self->zap);
    on_reply(-1, 0, self);
    if (!*self->status)
        assert_int_equal(rl_proc_run(self->proc), 0);
    return self->status;
}

static void only_the_listed_are_let_in(void **state)
{
    fixture_t *self = *state;
    char key[RL_KEY], secret[RL_KEY];
    uint8_t worker[RL_KEY_BYTES], stranger[RL_KEY_BYTES];
    start(self);
    key_of(self, "stranger", key, secret);
    zmq_z85_decode(stranger, key);
    assert_string_equal(decide(self, "1.0", "ragline", "CURVE", stranger, 32), "400");
    assert_string_equal(self->user, "");
    key_of(self, "worker", key, secret);
    zmq_z85_decode(worker, key);
    assert_string_equal(decide(self, "1.0", "ragline", "CURVE", worker, 32), "200");
    assert_string_equal(self->user, key);
    // requests that are none
    assert_string_equal(decide(self, "1.0", "ragline", "NULL", NULL, 0), "400");
    assert_string_equal(decide(self, "1.0", "ragline", "PLAIN", worker, 32), "400");
    assert_string_equal(decide(self, "1.0", "other", "CURVE", worker, 32), "400");
    assert_string_equal(decide(self, "2.0", "ragline", "CURVE", worker, 32), "400");
    assert_string_equal(decide(self, "1.0", "ragline", "CURVE", worker, 31), "400");
    assert_string_equal(decide(self, "1.0", "ragline", "CURVE", NULL, 0), "400");
    char huge[4096];
    memset(huge, 'x', sizeof huge);
    assert_string_equal(decide(self, "1.0", "ragline", "CURVE", huge, sizeof huge), "400");
    assert_string_equal(decide(self, "1.0", "ragline", "CURVE", worker, 32), "200");
}

static void on_token(void *arg, rl_msg_t *msg)
{
    fixture_t *self = arg;
    assert_int_equal(msg->type, RL_TOKEN);
    if (++self->got == 100)
        rl_proc_end(self->proc, 0);
}

static void messages_go_through_encrypted(void **state)
{
    fixture_t *self = *state;
    char why[512], key[RL_KEY], secret[RL_KEY], from[256], to[256];
    start(self);
    key_of(self, "gateway", key, secret);
    // the process talks to itself here, so its own key must be among the allowed
    snprintf(from, sizeof from, "%s/public/gateway", self->folder);
    snprintf(to, sizeof to, "%s/gateway", self->allowed);
    assert_int_equal(rename(from, to), 0);
    rl_wire_t *in = rl_wire_pull(self->proc, "tcp://127.0.0.1:*", on_token, self, why, sizeof why);
    assert_non_null(in);
    rl_wire_t *out = rl_wire_push_to(self->proc, rl_wire_endpoint(in), key, why, sizeof why);
    assert_non_null(out);
    assert_null(rl_wire_push_to(self->proc, rl_wire_endpoint(in), "no key", why, sizeof why));
    assert_non_null(strstr(why, "no key"));
    rl_msg_t msg = {.type = RL_TOKEN, .token = {.task = 1, .seq = 1, .text = "word"}};
    for (int at = 0; at < 100; at++)
        assert_int_equal(rl_wire_send(out, &msg), 0);
    assert_int_equal(rl_proc_run(self->proc), 0);
    rl_wire_destroy(&out);
    rl_wire_destroy(&in);
}

// ----------------------------------------------------------------------------------------- certs

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void the_folder_of_those_allowed_changes(void **state)
{
    fixture_t *self = *state;
    char why[512], worker[RL_KEY], stranger[RL_KEY], secret[RL_KEY], from[256], to[256];
    key_of(self, "worker", worker, secret);
    key_of(self, "stranger", stranger, secret);
    rl_allowed_t *allowed = rl_allowed_new(self->allowed, why, sizeof why);
    assert_non_null(allowed);
    assert_int_equal(rl_allowed_size(allowed), 1);
    assert_true(rl_allowed_has(allowed, worker));
    assert_false(rl_allowed_has(allowed, stranger));
    assert_false(rl_allowed_has(allowed, ""));
    snprintf(from, sizeof from, "%s/public/stranger", self->folder);
    snprintf(to, sizeof to, "%s/stranger", self->allowed);
    assert_int_equal(rename(from, to), 0);
    write_file(self->allowed, "broken", "this is no certificate");
    write_file(self->allowed, "short", "curve\n    public-key = \"abc\"\n");
    write_file(self->allowed, ".hidden", "curve\n");
    rl_allowed_refresh(allowed);
    assert_int_equal(rl_allowed_size(allowed), 2);
    assert_true(rl_allowed_has(allowed, stranger));
    unlink(to);
    rl_allowed_refresh(allowed);
    assert_false(rl_allowed_has(allowed, stranger));
    // a folder that is lost takes nobody's right away
    snprintf(to, sizeof to, "%s/elsewhere", self->folder);
    assert_int_equal(rename(self->allowed, to), 0);
    rl_allowed_refresh(allowed);
    assert_true(rl_allowed_has(allowed, worker));
    rl_allowed_destroy(&allowed);
    assert_null(rl_allowed_new(self->allowed, why, sizeof why));
    assert_non_null(strstr(why, self->allowed));
}

static void certificates_that_are_wrong(void **state)
{
    fixture_t *self = *state;
    char why[512], key[RL_KEY], secret[RL_KEY], path[256], text[512];
    char other_key[RL_KEY], other_secret[RL_KEY];
    key_of(self, "worker", key, secret);
    key_of(self, "stranger", other_key, other_secret);
    snprintf(text, sizeof text, "curve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n", key,
             other_secret);
    write_file(self->folder, "mixed", text);
    snprintf(path, sizeof path, "%s/mixed", self->folder);
    assert_int_equal(rl_cert_read_secret(path, key, secret, why, sizeof why), -1);
    assert_non_null(strstr(why, "do not belong together"));
    assert_null(strstr(why, other_secret));
    snprintf(path, sizeof path, "%s/public/stranger", self->folder);
    assert_int_equal(rl_cert_read_secret(path, key, secret, why, sizeof why), -1);
    assert_int_equal(rl_cert_read_public(path, key, why, sizeof why), 0);
    assert_string_equal(key, other_key);
    assert_int_equal(rl_cert_read_public(self->folder, key, why, sizeof why), -1);
    assert_int_equal(rl_cert_read_public("/nowhere/at/all", key, why, sizeof why), -1);
}

static void key_pairs_are_made_once(void **state)
{
    fixture_t *self = *state;
    static const char *const again[] = {"worker"}, *const wrong[] = {"a/b"};
    struct stat stat_of;
    assert_int_equal(stat(self->key_file, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0600);
    assert_int_equal(rl_certs_make(self->folder, again, 1), 1);
    assert_int_equal(rl_certs_make(self->folder, wrong, 1), 2);
    assert_int_equal(rl_certs_make("/nowhere/at/all", again, 1), 1);
}

// ------------------------------------------------------------------------------------- endpoints

static void endpoints_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint;
        bool local, name;
    } cases[] = {
        {"ipc:///run/hub", true, false},
        {"inproc://x", true, false},
        {"tcp://127.0.0.1:7601", true, false},
        {"tcp://127.9.9.9:*", true, false},
        {"tcp://[::1]:7601", true, false},
        {"tcp://lo:7601", true, true},
        {"tcp://localhost:7601", true, true},
        {"tcp://*:7601", false, false},
        {"tcp://0.0.0.0:7601", false, false},
        {"tcp://[::]:7601", false, false},
        {"tcp://10.1.2.3:7601", false, false},
        {"tcp://[2001:db8::1]:1", false, false},
        {"tcp://127.example.org:1", false, true},
        {"tcp://gateways.ragline.svc:7601", false, true},
        {"tcp://127.0.0.1", false, false},
        {"tcp://", false, false},
        {"nonsense", false, false},
        {"udp://127.0.0.1:1", false, false},
        {"tcp://eth0;host:7601", false, false},
        {"", false, false},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        if (rl_endpoint_is_local(cases[at].endpoint) != cases[at].local ||
            rl_endpoint_is_name(cases[at].endpoint) != cases[at].name)
            fail_msg("%s", cases[at].endpoint);
    }
}

static void endpoints_are_advertised(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"tcp://127.0.0.1:5000", "", "tcp://127.0.0.1:5000"},
        {"tcp://0.0.0.0:5000", "10.0.0.7", "tcp://10.0.0.7:5000"},
        {"tcp://0.0.0.0:5000", "pod-1.ragline.svc", "tcp://pod-1.ragline.svc:5000"},
        {"tcp://[::]:5000", "2001:db8::7", "tcp://[2001:db8::7]:5000"},
        {"tcp://[::]:5000", "[2001:db8::7]", "tcp://[2001:db8::7]:5000"},
        {"tcp://0.0.0.0:5000", "tcp://nat.example:15000", "tcp://nat.example:15000"},
        {"ipc:///run/x", "10.0.0.7", "ipc:///run/x"},
        {"tcp://0.0.0.0:5000", "", NULL},
        {"tcp://[::]:5000", "", NULL},
    };
    char out[RL_ENDPOINT], why[2 * RL_ENDPOINT], longest[2 * RL_ENDPOINT];
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        int rc =
            rl_endpoint_advertised(cases[at][0], cases[at][1], "x.advertise", out, why, sizeof why);
        assert_int_equal(rc, cases[at][2] ? 0 : -1);
        if (cases[at][2])
            assert_string_equal(out, cases[at][2]);
        else
            assert_non_null(strstr(why, "x.advertise"));
    }
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(
        rl_endpoint_advertised("tcp://0.0.0.0:1", longest, "x.advertise", out, why, sizeof why),
        -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_the_listed_are_let_in, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_go_through_encrypted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_folder_of_those_allowed_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(certificates_that_are_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(key_pairs_are_made_once, setup, teardown),
        cmocka_unit_test(endpoints_are_judged),
        cmocka_unit_test(endpoints_are_advertised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
