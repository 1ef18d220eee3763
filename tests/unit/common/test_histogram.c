// histogram: buckets at their bounds, percentiles of known distributions, sums of several.
#include "histogram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_every_duration_is_in_the_bucket_that_its_bounds_say(void **state)
{
    (void)state;
    assert_int_equal(rl_histogram_bucket(0), 0);
    assert_int_equal(rl_histogram_bucket(UINT64_MAX), RL_HISTOGRAM_BUCKETS - 1);
    for (size_t bucket = 0; bucket < RL_HISTOGRAM_BUCKETS; bucket++) {
        double expected = pow(2, (double)bucket / RL_HISTOGRAM_STEPS);
        assert_true(fabs(rl_histogram_bound(bucket) / expected - 1) < 1e-12);
    }
    for (size_t bucket = 16; bucket < RL_HISTOGRAM_BUCKETS; bucket++) { // at the edge itself
        uint64_t first = (uint64_t)ceil(rl_histogram_bound(bucket));
        assert_int_equal(rl_histogram_bucket(first), bucket);
        assert_int_equal(rl_histogram_bucket(first - 1), bucket - 1);
    }
    for (uint64_t us = 1; us < UINT64_C(1) << 33; us += 1 + us / 999) {
        size_t bucket = rl_histogram_bucket(us);
        assert_true((double)us >= rl_histogram_bound(bucket));
        assert_true((double)us < rl_histogram_bound(bucket + 1) ||
                    bucket == RL_HISTOGRAM_BUCKETS - 1);
    }
}

static void test_nothing_counted_is_zero(void **state)
{
    (void)state;
    rl_histogram_t empty = {0}, other = {0};
    rl_histogram_merge(&empty, &other);
    assert_int_equal(empty.count, 0);
    assert_true(rl_histogram_percentile(&empty, 0.99) == 0);
    assert_true(rl_histogram_mean(&empty) == 0);
}

static void test_one_duration_is_every_percentile(void **state)
{
    (void)state;
    static const uint64_t durations[] = {0, 1, 2, 777, 1200000000, UINT64_C(1) << 40};
    for (size_t at = 0; at < sizeof durations / sizeof *durations; at++) {
        rl_histogram_t one = {0};
        rl_histogram_add(&one, durations[at]);
        assert_true(rl_histogram_percentile(&one, 0.5) == (double)durations[at]);
        assert_true(rl_histogram_percentile(&one, 0.99) == (double)durations[at]);
        assert_true(rl_histogram_mean(&one) == (double)durations[at]);
    }
}

static void test_percentiles_of_an_even_spread_are_a_few_percent_off_at_most(void **state)
{
    (void)state;
    rl_histogram_t even = {0};
    for (uint64_t us = 1; us <= 1000000; us += 7)
        rl_histogram_add(&even, us);
    static const double shares[] = {0.01, 0.1, 0.5, 0.9, 0.99, 1.0};
    for (size_t at = 0; at < sizeof shares / sizeof *shares; at++) {
        double found = rl_histogram_percentile(&even, shares[at]);
        assert_true(fabs(found / (shares[at] * 1e6) - 1) < 0.03);
    }
    assert_true(fabs(rl_histogram_mean(&even) / 5e5 - 1) < 0.001);
}

// 1 of 100 takes 100 times as long: the 99th percentile is with the many, the maximum is seen.
static void test_the_tail_is_where_it_is(void **state)
{
    (void)state;
    rl_histogram_t tail = {0};
    for (int at = 0; at < 1000; at++)
        rl_histogram_add(&tail, at % 100 == 99 ? 500000 : 5000);
    assert_true(rl_histogram_percentile(&tail, 0.5) < 5000 * 1.19);
    assert_true(rl_histogram_percentile(&tail, 0.99) < 5000 * 1.19);
    assert_true(rl_histogram_percentile(&tail, 0.995) > 500000 / 1.19);
    assert_int_equal(tail.min_us, 5000);
    assert_int_equal(tail.max_us, 500000);
}

static void test_parts_add_up_to_the_whole(void **state)
{
    (void)state;
    rl_histogram_t whole = {0}, parts[3] = {{0}}, sum = {0};
    srand(7);
    for (int at = 0; at < 3000; at++) {
        uint64_t us = (uint64_t)rand() % 3000000;
        rl_histogram_add(&whole, us);
        rl_histogram_add(&parts[at % 3], us);
    }
    for (int at = 0; at < 3; at++)
        rl_histogram_merge(&sum, &parts[at]);
    assert_memory_equal(&sum, &whole, sizeof sum);
    rl_histogram_reset(&sum);
    assert_int_equal(sum.count, 0);
    assert_true(rl_histogram_percentile(&sum, 0.5) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_duration_is_in_the_bucket_that_its_bounds_say),
        cmocka_unit_test(test_nothing_counted_is_zero),
        cmocka_unit_test(test_one_duration_is_every_percentile),
        cmocka_unit_test(test_percentiles_of_an_even_spread_are_a_few_percent_off_at_most),
        cmocka_unit_test(test_the_tail_is_where_it_is),
        cmocka_unit_test(test_parts_add_up_to_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
