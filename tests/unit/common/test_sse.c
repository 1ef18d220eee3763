// Event streams: every way of cutting the bytes gives the same events.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sse.h"

typedef struct heard {
    char text[4096]; // "name=data;" of each event
    int left;        // stops after so many
} heard_t;

static bool hear(void *arg, const char *name, const char *data, size_t size)
{
    heard_t *heard = arg;
    size_t used = strlen(heard->text);
    assert_int_equal(strlen(data), size);
    snprintf(heard->text + used, sizeof heard->text - used, "%s=%s;", name, data);
    return --heard->left != 0;
}

static void check(const char *bytes, size_t size, size_t step, const char *expected)
{
    heard_t heard = {.left = -1};
    rl_sse_t *sse = rl_sse_new(1024, hear, &heard);
    for (size_t at = 0; at < size; at += step)
        assert_int_equal(rl_sse_feed(sse, bytes + at, size - at < step ? size - at : step), 0);
    rl_sse_end(sse);
    rl_sse_destroy(&sse);
    assert_null(sse);
    assert_string_equal(heard.text, expected);
}

static void check_all_cuts(const char *bytes, const char *expected)
{
    for (size_t step = 1; step <= strlen(bytes); step++)
        check(bytes, strlen(bytes), step, expected);
}

static void events_come_through_in_any_pieces(void **state)
{
    (void)state;
    check_all_cuts("data: one\n\ndata:two\n\n", "message=one;message=two;");
    check_all_cuts("event: token\ndata: {\"a\":1}\nid: 7\nretry: 10\n\ndata: x\n\n",
                   "token={\"a\":1};message=x;");
    check_all_cuts("data: a\ndata: b\ndata\n\n", "message=a\nb\n;");
    check_all_cuts("data:  two spaces\n\n", "message= two spaces;");
}

static void lines_may_end_in_three_ways(void **state)
{
    (void)state;
    check_all_cuts("data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", "message=a\nb;message=c;");
    check_all_cuts("data: a\rdata: b\r\rdata: c\r\r", "message=a\nb;message=c;");
    check_all_cuts("data: a\rdata: b\r\n\ndata: c\n\r\n", "message=a\nb;message=c;");
}

static void what_is_no_event_is_passed_over(void **state)
{
    (void)state;
    check_all_cuts(": keep-alive\n\n:\n\n\n\ndata: a\n: within\n\n", "message=a;");
    check_all_cuts("\xEF\xBB\xBF"
                   "data: marked\n\n",
                   "message=marked;");
    check_all_cuts("\xEF\xBB"
                   "data: no mark\n\n",
                   ""); // an unknown field
    check_all_cuts("event: only a name\n\ndata: next\n\n", "message=next;");
    check_all_cuts("unknown: field\nDATA: not it\n\n", "");
}

static void an_end_without_a_blank_line_delivers(void **state)
{
    (void)state;
    check_all_cuts("data: a\n\ndata: [DONE]", "message=a;message=[DONE];");
    check_all_cuts("data: a\n\ndata: [DONE]\n", "message=a;message=[DONE];");
    check_all_cuts("data: a\n\nevent: x\n", "message=a;");
}

static void too_large_an_event_is_refused(void **state)
{
    (void)state;
    char line[2000];
    heard_t heard = {.left = -1};
    rl_sse_t *sse = rl_sse_new(1000, hear, &heard);
    memset(line, 'x', sizeof line);
    assert_int_equal(rl_sse_feed(sse, "data: ", 6), 0);
    assert_int_equal(rl_sse_feed(sse, line, sizeof line), -1);
    assert_int_equal(rl_sse_feed(sse, "\n\n", 2), -1);
    rl_sse_end(sse);
    assert_string_equal(heard.text, "");
    rl_sse_destroy(&sse);
    sse = rl_sse_new(1000, hear, &heard); // many lines of one event
    int rc = 0;
    for (int at = 0; at < 100 && rc == 0; at++)
        rc = rl_sse_feed(sse, "data: 0123456789012345678\n", 26);
    assert_int_equal(rc, -1);
    rl_sse_destroy(&sse);
}

static void the_callback_can_stop_it(void **state)
{
    (void)state;
    heard_t heard = {.left = 2};
    rl_sse_t *sse = rl_sse_new(1000, hear, &heard);
    const char bytes[] = "data: 1\n\ndata: 2\n\ndata: 3\n\n";
    assert_int_equal(rl_sse_feed(sse, bytes, sizeof bytes - 1), 0);
    assert_int_equal(rl_sse_feed(sse, bytes, sizeof bytes - 1), 0);
    rl_sse_end(sse);
    assert_string_equal(heard.text, "message=1;message=2;");
    rl_sse_destroy(&sse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_through_in_any_pieces),
        cmocka_unit_test(lines_may_end_in_three_ways),
        cmocka_unit_test(what_is_no_event_is_passed_over),
        cmocka_unit_test(an_end_without_a_blank_line_delivers),
        cmocka_unit_test(too_large_an_event_is_refused),
        cmocka_unit_test(the_callback_can_stop_it),
    };
    return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
