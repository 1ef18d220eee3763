// How fast a server reads, as prompts are cut by it: it follows what is measured, but not every
// measurement, so that prompts stay the same byte for byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upstreams.h"

static void the_first_measurement_counts(void **state)
{
    (void)state;
    upstream_t upstream = {0};
    upstream_measured(&upstream, 500, 1);
    assert_float_equal(upstream.reading_rate, 500, 0.001);
    assert_float_equal(upstream.planned_rate, 500, 0.001);
}

static void a_few_tokens_prove_nothing(void **state)
{
    (void)state;
    upstream_t upstream = {0};
    upstream_measured(&upstream, 20, 1);
    upstream_measured(&upstream, 500, 0);
    assert_float_equal(upstream.reading_rate, 0, 0);
    assert_float_equal(upstream.planned_rate, 0, 0);
}

static void what_differs_by_little_changes_no_prompt(void **state)
{
    (void)state;
    upstream_t upstream = {0};
    upstream_measured(&upstream, 500, 1);
    for (int at = 0; at < 100; at++)
        upstream_measured(&upstream, at % 2 ? 450 : 560, 1);
    assert_float_equal(upstream.planned_rate, 500, 0.001);
}

static void a_server_that_became_slower_is_noticed(void **state)
{
    (void)state;
    upstream_t upstream = {0};
    upstream_measured(&upstream, 500, 1);
    for (int at = 0; at < 20; at++)
        upstream_measured(&upstream, 100, 1);
    assert_true(upstream.planned_rate < 130 && upstream.planned_rate > 99);
}

static void one_prompt_that_was_cached_without_saying_so_is_no_new_speed(void **state)
{
    (void)state;
    upstream_t upstream = {0};
    upstream_measured(&upstream, 500, 1);
    upstream_measured(&upstream, 500, 0.001);
    assert_true(upstream.reading_rate < 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_measurement_counts),
        cmocka_unit_test(a_few_tokens_prove_nothing),
        cmocka_unit_test(what_differs_by_little_changes_no_prompt),
        cmocka_unit_test(a_server_that_became_slower_is_noticed),
        cmocka_unit_test(one_prompt_that_was_cached_without_saying_so_is_no_new_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
