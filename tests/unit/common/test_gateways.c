// A worker's gateways: those of one address, and those that a name stands for, which come and go.
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "endpoint.h"
#include "gateways.h"

// What the name "hubs.test" stands for. Ours are asked instead of the C library's, and by our own
// code only (hidden), not by libzmq.
static struct {
    pthread_mutex_t lock;
    const char *addresses[4];
    int error;
    unsigned asked;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER};

__attribute__((visibility("hidden"))) int getaddrinfo(const char *host, const char *service,
                                                      const struct addrinfo *hints,
                                                      struct addrinfo **out)
{
    struct addrinfo *found = NULL;
    (void)service;
    (void)hints;
    assert_string_equal(host, "hubs.test");
    pthread_mutex_lock(&names.lock);
    names.asked++;
    int rc = names.error;
    for (size_t at = 0; rc == 0 && at < 4 && names.addresses[at]; at++) {
        struct addrinfo *one = calloc(1, sizeof *one + sizeof(struct sockaddr_in6));
        one->ai_addr = (struct sockaddr *)(one + 1);
        bool is_ipv6 = strchr(names.addresses[at], ':');
        one->ai_family = one->ai_addr->sa_family = is_ipv6 ? AF_INET6 : AF_INET;
        one->ai_addrlen = is_ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        inet_pton(one->ai_family, names.addresses[at],
                  is_ipv6 ? (void *)&((struct sockaddr_in6 *)one->ai_addr)->sin6_addr
                          : (void *)&((struct sockaddr_in *)one->ai_addr)->sin_addr);
        one->ai_next = found;
        found = one;
    }
    pthread_mutex_unlock(&names.lock);
    *out = found;
    return rc;
}

__attribute__((visibility("hidden"))) void freeaddrinfo(struct addrinfo *found)
{
    for (struct addrinfo *next; found; found = next) {
        next = found->ai_next;
        free(found);
    }
}

static void stand_for(const char *first, const char *second, int error)
{
    pthread_mutex_lock(&names.lock);
    names.addresses[0] = first;
    names.addresses[1] = second;
    names.addresses[2] = NULL;
    names.error = error;
    names.asked = 0;
    pthread_mutex_unlock(&names.lock);
}

static unsigned asked(void)
{
    pthread_mutex_lock(&names.lock);
    unsigned times = names.asked;
    pthread_mutex_unlock(&names.lock);
    return times;
}

typedef struct fixture {
    rl_proc_t *proc;
    rl_gateways_t *gateways;
    rl_wire_t *hubs[3];
    uint64_t heard[3], route[3]; // announcements of each hub, and the last one's route
    bool was_ready;
    size_t gone, gone_slot;
    bool (*wanted)(struct fixture *self);
    struct event *tick, *guard;
    uint64_t marks[3];
} fixture_t;

static void on_hub(fixture_t *self, size_t at, const rl_msg_t *msg)
{
    assert_int_equal(msg->type, RL_ANNOUNCE);
    assert_string_equal(msg->announce.worker, "w");
    assert_string_equal(msg->announce.key, "");
    self->heard[at]++;
    self->route[at] = msg->announce.route;
    self->was_ready = msg->announce.ready;
}

static void on_first(void *arg, rl_msg_t *msg)
{
    on_hub(arg, 0, msg);
}

static void on_second(void *arg, rl_msg_t *msg)
{
    on_hub(arg, 1, msg);
}

static void on_third(void *arg, rl_msg_t *msg)
{
    on_hub(arg, 2, msg);
}

static void on_gone(void *arg, size_t slot)
{
    fixture_t *self = arg;
    self->gone++;
    self->gone_slot = slot;
}

static bool ready(void *arg, size_t slot, uint64_t route)
{
    (void)arg;
    return slot == 0 && route == 0;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    fixture_t *self = arg;
    rl_announce_t announce = {.worker = "w", .kind = "lexical", .tasks = "tcp://127.0.0.1:1"};
    (void)fd;
    (void)what;
    if (self->gateways)
        rl_gateways_announce(self->gateways, &announce, ready, self);
    if (self->wanted && self->wanted(self))
        rl_proc_end(self->proc, 0);
}

static void on_guard(evutil_socket_t fd, short what, void *arg)
{
    fixture_t *self = arg;
    (void)fd;
    (void)what;
    rl_proc_end(self->proc, 99);
}

static void until(fixture_t *self, bool (*wanted)(fixture_t *self))
{
    struct timeval wait = {30, 0};
    memcpy(self->marks, self->heard, sizeof self->marks);
    self->wanted = wanted;
    event_add(self->guard, &wait);
    assert_int_equal(rl_proc_run(self->proc), 0);
}

// Three hubs on one port of three loopback addresses; `hosts` (the second may be NULL) are the
// gateways that are announced to.
static void start(fixture_t *self, const char *host, const char *host2)
{
    static char given[512];
    rl_wire_fn *const fns[] = {on_first, on_second, on_third};
    char *argv[] = {(char *)"test",
                    (char *)"--log-level=error",
                    (char *)"--cluster-lookup-ms=50",
                    (char *)"--cluster-forget-ms=100",
                    given,
                    NULL};
    char why[2048], endpoint[RL_ENDPOINT];
    int status;
    for (int port = 21000; !self->hubs[2] && port < 21100; port++) {
        snprintf(given, sizeof given, "--cluster-gateways=tcp://%s:%d,tcp://%s:%d", host, port,
                 host2 ? host2 : host, port);
        if (!host2)
            *strchr(given, ',') = '\0';
        rl_proc_destroy(&self->proc);
        self->proc = rl_proc_new(RL_RETRIEVER, "test", "", 5, argv, &status);
        assert_non_null(self->proc);
        for (int at = 0; at < 3; at++) {
            snprintf(endpoint, sizeof endpoint, "tcp://127.0.7.%d:%d", at + 1, port);
            self->hubs[at] = rl_wire_pull(self->proc, endpoint, fns[at], self, why, sizeof why);
            if (!self->hubs[at])
                break;
        }
        for (int at = 0; !self->hubs[2] && at < 2; at++)
            rl_wire_destroy(&self->hubs[at]);
    }
    assert_non_null(self->hubs[2]);
    self->tick = event_new(rl_proc_base(self->proc), -1, EV_PERSIST, on_tick, self);
    self->guard = event_new(rl_proc_base(self->proc), -1, 0, on_guard, self);
    struct timeval often = {0, 10000};
    event_add(self->tick, &often);
    self->gateways = rl_gateways_new(self->proc, on_gone, self, why, sizeof why);
    assert_non_null(self->gateways);
}

static int setup(void **state)
{
    *state = calloc(1, sizeof(fixture_t));
    return 0;
}

static int teardown(void **state)
{
    fixture_t *self = *state;
    rl_gateways_destroy(&self->gateways);
    for (int at = 0; at < 3; at++)
        rl_wire_destroy(&self->hubs[at]);
    event_free(self->tick);
    event_free(self->guard);
    rl_proc_destroy(&self->proc);
    free(self);
    return 0;
}

static bool first_hears(fixture_t *self)
{
    return self->heard[0] > self->marks[0] + 3;
}

static bool first_and_second_hear(fixture_t *self)
{
    return first_hears(self) && self->heard[1] > self->marks[1] + 3;
}

static bool third_hears(fixture_t *self)
{
    return self->heard[2] > self->marks[2] + 3;
}

static bool first_is_gone(fixture_t *self)
{
    return self->gone == 1;
}

static bool looked_often(fixture_t *self)
{
    (void)self;
    return asked() > 5;
}

static void an_address_is_one_gateway(void **state)
{
    fixture_t *self = *state;
    start(self, "127.0.7.1", "127.0.7.2");
    until(self, first_and_second_hear);
    assert_int_equal(self->route[0], 0);
    assert_int_equal(self->route[1], 1);
    assert_int_equal(rl_gateways_slot(self->gateways, 1), 1);
    assert_int_equal(rl_gateways_slot(self->gateways, 2), -1);
    assert_int_equal(rl_gateways_slot(self->gateways, UINT64_MAX), -1);
    assert_int_equal(self->heard[2], 0);
}

static void a_name_is_as_many_as_it_has_addresses(void **state)
{
    fixture_t *self = *state;
    stand_for("127.0.7.1", "127.0.7.2", 0);
    start(self, "hubs.test", NULL);
    until(self, first_and_second_hear);
    assert_int_equal(self->gone, 0);
    // another takes the first one's place
    uint64_t old_route = self->route[0];
    stand_for("127.0.7.2", "127.0.7.3", 0);
    until(self, third_hears);
    assert_int_not_equal(self->route[2], old_route);
    until(self, first_is_gone);
    assert_int_equal(self->gone_slot, old_route);
    assert_int_equal(rl_gateways_slot(self->gateways, old_route), -1);
    // and when it is back, it is not taken for the one that tasks of then were from
    stand_for("127.0.7.1", "127.0.7.3", 0);
    until(self, first_hears);
    assert_int_not_equal(self->route[0], old_route);
    assert_int_not_equal(rl_gateways_slot(self->gateways, self->route[0]), -1);
}

static void a_silent_name_server_takes_nobody_away(void **state)
{
    fixture_t *self = *state;
    stand_for("127.0.7.1", NULL, 0);
    start(self, "hubs.test", NULL);
    until(self, first_hears);
    stand_for(NULL, NULL, EAI_AGAIN);
    until(self, looked_often);
    stand_for(NULL, NULL, 0); // no error, and no address
    until(self, looked_often);
    assert_int_equal(self->gone, 0);
    until(self, first_hears);
}

static void what_cannot_be_asked_for_yet_is_asked_again(void **state)
{
    fixture_t *self = *state;
    stand_for(NULL, NULL, EAI_NONAME);
    start(self, "hubs.test", NULL);
    until(self, looked_often);
    // of two families the older one counts, or one process would be two gateways
    stand_for("::1", "127.0.7.1", 0);
    until(self, first_hears);
    assert_int_equal(rl_gateways_slot(self->gateways, 1), -1);
}

static void one_that_is_named_and_numbered_is_one(void **state)
{
    fixture_t *self = *state;
    stand_for("127.0.7.1", "127.0.7.2", 0);
    start(self, "127.0.7.1", "hubs.test");
    until(self, first_and_second_hear);
    assert_int_equal(self->route[0], 0);
    assert_int_equal(self->route[1], 1);
    assert_int_equal(rl_gateways_slot(self->gateways, 2), -1);
    // its address was given by hand: the name takes it not away
    stand_for("127.0.7.2", NULL, 0);
    until(self, looked_often);
    assert_int_equal(self->gone, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_address_is_one_gateway, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_is_as_many_as_it_has_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_name_server_takes_nobody_away, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_asked_for_yet_is_asked_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_that_is_named_and_numbered_is_one, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
