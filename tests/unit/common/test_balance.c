// The choice among replicas: least load, late ones last, ties at random; medians of what is recent.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balance.h"

static void the_median_is_of_the_last_durations(void **state)
{
    rl_recent_t recent = {0};
    (void)state;
    for (unsigned at = 0; at < RL_RECENT / 2 - 1; at++)
        rl_recent_add(&recent, 0);
    assert_int_equal(recent.median_us, 0); // too few
    rl_recent_add(&recent, 0);
    assert_int_equal(recent.median_us, 1); // known, and never 0
    for (unsigned at = 0; at < RL_RECENT; at++)
        rl_recent_add(&recent, 100 + at);
    assert_in_range(recent.median_us, 100 + RL_RECENT / 2 - 1, 100 + RL_RECENT / 2);
    for (unsigned at = 0; at < RL_RECENT; at++)
        rl_recent_add(&recent, UINT64_MAX);
    assert_int_equal(recent.median_us, UINT32_MAX);
}

static void a_slow_replica_counts_for_more(void **state)
{
    (void)state;
    uint64_t usual = rl_choice_load(0, 1000, 1000);
    assert_int_equal(rl_choice_load(1, 1000, 1000), 2 * usual);
    assert_int_equal(rl_choice_load(0, 2000, 1000), usual); // chance
    assert_int_equal(rl_choice_load(0, 8000, 1000), 8 * usual);
    assert_int_equal(rl_choice_load(0, 8000, 0), usual);
}

static void the_least_load_is_chosen_and_late_ones_last(void **state)
{
    int a, b, c, d;
    uint64_t random = 1;
    (void)state;
    rl_choice_t choice = {.random = &random};
    assert_null(choice.best);
    rl_choice_offer(&choice, &a, true, 0, 1);
    assert_ptr_equal(choice.best, &a);
    rl_choice_offer(&choice, &b, false, 3, 4);
    assert_ptr_equal(choice.best, &b);
    rl_choice_offer(&choice, &c, false, 1, 2); // less a slot
    assert_ptr_equal(choice.best, &c);
    rl_choice_offer(&choice, &b, false, 3, 4);
    rl_choice_offer(&choice, &d, true, 0, 1);
    assert_ptr_equal(choice.best, &c);
}

static void ties_are_broken_evenly_and_some_choices_probe(void **state)
{
    int candidates[3];
    unsigned chosen[3] = {0}, probes = 0;
    uint64_t random = 42;
    (void)state;
    for (unsigned at = 0; at < 3000; at++) {
        rl_choice_t choice = {.random = &random};
        for (unsigned each = 0; each < 3; each++)
            rl_choice_offer(&choice, &candidates[each], false, 5, 1);
        chosen[(int *)choice.best - candidates]++;
        probes += rl_choice_probes(&random);
    }
    for (unsigned each = 0; each < 3; each++)
        assert_in_range(chosen[each], 850, 1150);
    assert_in_range(probes, 50, 140); // 1 in 32
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_median_is_of_the_last_durations),
        cmocka_unit_test(a_slow_replica_counts_for_more),
        cmocka_unit_test(the_least_load_is_chosen_and_late_ones_last),
        cmocka_unit_test(ties_are_broken_evenly_and_some_choices_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
