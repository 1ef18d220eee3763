// Trace context: what is taken of a traceparent, and the ids of spans.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trace_context.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static void a_traceparent_is_read(void **state)
{
    (void)state;
    char trace[33], parent[17];
    unsigned flags = 99;
    assert_true(trace_context_read("00-" TRACE "-" PARENT "-01", trace, parent, &flags));
    assert_string_equal(trace, TRACE);
    assert_string_equal(parent, PARENT);
    assert_int_equal(flags, TRACE_SAMPLED);
    assert_true(trace_context_read("00-" TRACE "-" PARENT "-00", trace, parent, &flags));
    assert_int_equal(flags, 0);
    assert_true(trace_context_read("00-" TRACE "-" PARENT "-03", trace, parent, &flags));
    assert_int_equal(flags, TRACE_SAMPLED | TRACE_RANDOM);
    assert_true(trace_context_read("00-" TRACE "-" PARENT "-ff", trace, parent, &flags));
    assert_int_equal(flags, TRACE_SAMPLED | TRACE_RANDOM); // others are not known
}

static void a_later_version_may_say_more(void **state)
{
    (void)state;
    char trace[33], parent[17];
    unsigned flags;
    assert_true(trace_context_read("cc-" TRACE "-" PARENT "-01", trace, parent, &flags));
    assert_true(trace_context_read("cc-" TRACE "-" PARENT "-01-what-else", trace, parent, &flags));
    assert_string_equal(trace, TRACE);
    assert_false(trace_context_read("cc-" TRACE "-" PARENT "-01.what", trace, parent, &flags));
    assert_false(trace_context_read("00-" TRACE "-" PARENT "-01-what", trace, parent, &flags));
    assert_false(trace_context_read("ff-" TRACE "-" PARENT "-01", trace, parent, &flags));
}

static void what_is_not_valid_is_not_taken(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        NULL,
        "",
        "00",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "0x-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-0g",
        "00-" TRACE "-" PARENT "-01 ",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-" TRACE "x-" PARENT "-01",
        "-0-" TRACE "-" PARENT "-01",
        "00-0af7651916cd43dd8448eb211c80319-c" PARENT "-01",
    };
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        char trace[33], parent[17];
        unsigned flags;
        assert_false(trace_context_read(wrong[at], trace, parent, &flags));
    }
}

static void a_tracestate_is_passed_on_if_it_is_text(void **state)
{
    (void)state;
    char longest[TRACESTATE_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[TRACESTATE_MAX + 1] = '\0';
    assert_true(trace_context_state_ok("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
    assert_false(trace_context_state_ok(NULL));
    assert_false(trace_context_state_ok(""));
    assert_false(trace_context_state_ok("a=b\r\nX-Evil: 1"));
    assert_false(trace_context_state_ok("a=\xc3\xa9"));
    assert_false(trace_context_state_ok(longest));
    longest[TRACESTATE_MAX] = '\0';
    assert_true(trace_context_state_ok(longest));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void span_ids_are_the_same_again_and_all_differ(void **state)
{
    (void)state;
    enum {
        EACH = 2000
    };
    static char ids[(TRACE_PART + 1) * EACH + 1][17];
    size_t size = 0;
    char again[17];
    for (unsigned span = 0; span <= TRACE_PART; span++) {
        for (unsigned nth = 0; nth < EACH; nth++, size++) {
            trace_span_id(PARENT, (trace_span_t)span, nth, ids[size]);
            assert_int_equal(strspn(ids[size], "0123456789abcdef"), 16);
        }
    }
    trace_span_id(PARENT, TRACE_CHAT, 3, again);
    assert_string_equal(again, ids[TRACE_CHAT * EACH + 3]);
    trace_span_id("b7ad6b7169203332", TRACE_CHAT, 3, again);
    assert_string_not_equal(again, ids[TRACE_CHAT * EACH + 3]);
    snprintf(ids[size++], 17, "%s", PARENT);
    qsort(ids, size, sizeof *ids, by_text);
    for (size_t at = 1; at < size; at++)
        assert_string_not_equal(ids[at - 1], ids[at]);
}

static void a_ratio_is_of_the_trace_id(void **state)
{
    (void)state;
    assert_true(trace_in_ratio(TRACE, 1));
    assert_false(trace_in_ratio(TRACE, 0));
    // the last 14 digits against the threshold: half of all is 0x80…
    assert_true(trace_in_ratio("0af7651916cd43dd8480000000000000", 0.5));
    assert_false(trace_in_ratio("0af7651916cd43dd847fffffffffffff", 0.5));
    assert_true(trace_in_ratio("000000000000000000ffffffffffffff", 1e-9));
    unsigned taken = 0;
    for (unsigned nth = 0; nth < 10000; nth++) {
        char id[33] = "0af7651916cd43dd";
        trace_span_id(PARENT, TRACE_CHAT, nth, id + 16);
        taken += trace_in_ratio(id, 0.1);
    }
    assert_in_range(taken, 880, 1120); // four standard deviations
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceparent_is_read),
        cmocka_unit_test(a_later_version_may_say_more),
        cmocka_unit_test(what_is_not_valid_is_not_taken),
        cmocka_unit_test(a_tracestate_is_passed_on_if_it_is_text),
        cmocka_unit_test(span_ids_are_the_same_again_and_all_differ),
        cmocka_unit_test(a_ratio_is_of_the_trace_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
