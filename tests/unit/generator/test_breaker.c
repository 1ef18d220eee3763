// When a server that fails is left alone, for how long, and how it comes back. Times are given, so
// everything is exact.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "breaker.h"

enum {
    SECOND = 1000000
};
static const double middle = 0.5; // dice: pauses as long as they are meant

static breaker_t fresh(unsigned limit)
{
    breaker_t self = {0};
    breaker_set(&self, limit, SECOND);
    return self;
}

// Opened at time 0 by as many failures as it takes.
static breaker_t opened(unsigned limit)
{
    breaker_t self = fresh(limit);
    for (unsigned at = 0; at < limit; at++)
        breaker_failed(&self, false, 0, 0, middle);
    assert_int_equal(self.state, BREAKER_OPEN);
    return self;
}

static void it_opens_after_so_many_failures_in_a_row(void **state)
{
    (void)state;
    breaker_t self = fresh(3);
    breaker_failed(&self, false, 0, 0, middle);
    breaker_failed(&self, false, 0, 0, middle);
    assert_true(breaker_admits(&self, 0));
    breaker_done(&self); // not in a row any more
    breaker_failed(&self, false, 0, 0, middle);
    breaker_failed(&self, false, 0, 0, middle);
    assert_true(breaker_admits(&self, 0));
    breaker_failed(&self, false, 0, 0, middle);
    assert_int_equal(self.state, BREAKER_OPEN);
    assert_false(breaker_admits(&self, 0));
    assert_false(breaker_admits(&self, SECOND - 1));
    assert_true(breaker_admits(&self, SECOND));
}

static void none_at_all_never_opens(void **state)
{
    (void)state;
    breaker_t self = fresh(0);
    for (int at = 0; at < 1000; at++)
        breaker_failed(&self, false, 0, 0, middle);
    assert_true(breaker_admits(&self, 0));
    self = opened(2);
    breaker_set(&self, 0, SECOND); // turned off while it was open
    assert_true(breaker_admits(&self, 0));
}

static void one_question_tries_it_again(void **state)
{
    (void)state;
    breaker_t self = opened(2);
    assert_false(breaker_ask(&self, SECOND - 1)); // asked for want of another: no trial
    assert_int_equal(self.state, BREAKER_OPEN);
    assert_true(breaker_ask(&self, SECOND));
    assert_int_equal(self.state, BREAKER_HALF_OPEN);
    assert_false(breaker_admits(&self, 100 * SECOND)); // the others go elsewhere
    assert_false(breaker_ask(&self, 100 * SECOND));
    breaker_speaks(&self);
    assert_int_equal(self.state, BREAKER_CLOSED);
    assert_true(breaker_admits(&self, 100 * SECOND));
}

static void it_is_on_trial_until_an_answer_came_whole(void **state)
{
    (void)state;
    breaker_t self = opened(3);
    breaker_ask(&self, SECOND);
    breaker_speaks(&self);
    breaker_failed(&self, false, SECOND, 0, middle); // one is enough
    assert_int_equal(self.state, BREAKER_OPEN);
    assert_int_equal(self.until_us, SECOND + 2 * SECOND); // and the pause has grown
    breaker_ask(&self, 3 * SECOND);
    breaker_speaks(&self);
    breaker_done(&self);
    breaker_failed(&self, false, 0, 0, middle);
    breaker_failed(&self, false, 0, 0, middle);
    assert_int_equal(self.state, BREAKER_CLOSED);
    breaker_failed(&self, false, 0, 0, middle);
    assert_int_equal(self.until_us, SECOND); // all is forgotten
}

static void pauses_double_up_to_a_bound(void **state)
{
    (void)state;
    breaker_t self = opened(1);
    static const uint64_t pauses[] = {2, 4, 8, 16, 16, 16, 16, 16, 16, 16};
    uint64_t now = SECOND;
    for (size_t at = 0; at < sizeof pauses / sizeof *pauses; at++) {
        assert_true(breaker_ask(&self, now));
        breaker_failed(&self, true, now, 0, middle);
        assert_int_equal(self.until_us, now + pauses[at] * SECOND);
        now = self.until_us;
    }
    for (int at = 0; at < 100000; at++) { // no count runs over
        assert_true(breaker_ask(&self, now));
        breaker_failed(&self, true, now, 0, middle);
        assert_int_equal(self.until_us - now, 16 * SECOND);
        now = self.until_us;
    }
}

static void dice_spread_the_pauses(void **state)
{
    (void)state;
    breaker_t self = fresh(1);
    breaker_failed(&self, false, 0, 0, 0);
    assert_int_equal(self.until_us, SECOND * 3 / 4);
    self = fresh(1);
    breaker_failed(&self, false, 0, 0, 1);
    assert_int_equal(self.until_us, SECOND * 5 / 4);
}

static void what_it_asks_for_is_kept_within_the_bound(void **state)
{
    (void)state;
    breaker_t self = fresh(1);
    breaker_failed(&self, false, 0, 7 * SECOND, middle);
    assert_int_equal(self.until_us, 7 * SECOND);
    self = fresh(1);
    breaker_failed(&self, false, 0, 3000ull * SECOND, middle);
    assert_int_equal(self.until_us, 16 * SECOND);
}

static void answers_from_before_change_nothing(void **state)
{
    (void)state;
    breaker_t self = opened(2);
    breaker_failed(&self, false, SECOND / 2, 0, middle); // was asked before it opened
    assert_int_equal(self.until_us, SECOND);
    breaker_ask(&self, SECOND);
    breaker_failed(&self, false, SECOND, 0, middle);
    breaker_left(&self, false, SECOND);
    assert_int_equal(self.state, BREAKER_HALF_OPEN); // the trial is still under way
    breaker_speaks(&self);                           // words are a good sign, whoever gets them
    assert_int_equal(self.state, BREAKER_CLOSED);
}

static void a_trial_that_is_left_is_tried_by_another(void **state)
{
    (void)state;
    breaker_t self = opened(2);
    breaker_ask(&self, SECOND);
    breaker_left(&self, true, 5 * SECOND);
    assert_false(breaker_admits(&self, 5 * SECOND));
    assert_true(breaker_admits(&self, 6 * SECOND));
    self = fresh(2);
    breaker_left(&self, false, 0); // nothing to do with failures
    assert_int_equal(self.failures, 0);
}

static void another_server_starts_afresh(void **state)
{
    (void)state;
    breaker_t self = opened(2);
    breaker_reset(&self);
    assert_true(breaker_admits(&self, 0));
    assert_int_equal(self.limit, 2);
    breaker_failed(&self, false, 0, 0, middle);
    breaker_failed(&self, false, 0, 0, middle);
    assert_int_equal(self.until_us, SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_opens_after_so_many_failures_in_a_row),
        cmocka_unit_test(none_at_all_never_opens),
        cmocka_unit_test(one_question_tries_it_again),
        cmocka_unit_test(it_is_on_trial_until_an_answer_came_whole),
        cmocka_unit_test(pauses_double_up_to_a_bound),
        cmocka_unit_test(dice_spread_the_pauses),
        cmocka_unit_test(what_it_asks_for_is_kept_within_the_bound),
        cmocka_unit_test(answers_from_before_change_nothing),
        cmocka_unit_test(a_trial_that_is_left_is_tried_by_another),
        cmocka_unit_test(another_server_starts_afresh),
    };
    return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
