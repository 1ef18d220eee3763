// Timers: once, again and again, set anew, stopped, and destroyed by their own function.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <event2/event.h>

#include "timer.h"

typedef struct fixture {
    struct event_base *base;
    rl_timer_t *timer;
    unsigned calls, destroy_at;
} fixture_t;

static void on_timer(void *arg)
{
    fixture_t *self = arg;
    if (++self->calls == self->destroy_at)
        rl_timer_destroy(&self->timer);
}

static int setup(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    self->base = event_base_new();
    self->timer = rl_timer_new(self->base, on_timer, self);
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *self = *state;
    rl_timer_destroy(&self->timer);
    event_base_free(self->base);
    free(self);
    return 0;
}

// The loop ends when no timer is set.
static void a_timer_goes_off_once(void **state)
{
    fixture_t *self = *state;
    rl_timer_every(self->timer, 1000);
    rl_timer_after(self->timer, 1); // instead of it
    assert_true(rl_timer_is_set(self->timer));
    event_base_dispatch(self->base);
    assert_int_equal(self->calls, 1);
    assert_false(rl_timer_is_set(self->timer));
    rl_timer_after(self->timer, 1);
    event_base_dispatch(self->base);
    assert_int_equal(self->calls, 2);
}

static void a_timer_repeats_until_it_is_destroyed(void **state)
{
    fixture_t *self = *state;
    self->destroy_at = 3;
    rl_timer_every(self->timer, 1);
    event_base_dispatch(self->base);
    assert_int_equal(self->calls, 3);
    assert_null(self->timer);
}

static void a_stopped_timer_does_not_go_off(void **state)
{
    fixture_t *self = *state;
    rl_timer_every(self->timer, 1);
    rl_timer_stop(self->timer);
    assert_false(rl_timer_is_set(self->timer));
    event_base_dispatch(self->base);
    assert_int_equal(self->calls, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_timer_goes_off_once),
        TEST(a_timer_repeats_until_it_is_destroyed),
        TEST(a_stopped_timer_does_not_go_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
