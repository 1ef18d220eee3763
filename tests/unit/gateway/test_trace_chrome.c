// The trace file: held against the Trace Event Format: every event has what its phase wants, tracks
// are named once, and nothing on one track overlaps.
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "timeline_help.h"
#include "trace_chrome.h"

// The file as JSON, which the caller owns.
static json_t *file_of(const timeline_t *const *timelines, size_t size)
{
    rl_buf_t out = rl_buf_make(64 << 20);
    json_error_t error;
    trace_chrome_write(timelines, size, "gateway \"1\"", &out);
    assert_false(out.full);
    json_t *file = json_loadb(out.data, out.size, JSON_REJECT_DUPLICATES, &error);
    if (!file)
        fail_msg("%s at %d", error.text, error.position);
    rl_buf_free(&out);
    return file;
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

static long long number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static bool is(const json_t *event, const char *phase)
{
    return strcmp(text(event, "ph"), phase) == 0;
}

static bool same_thread(const json_t *a, const json_t *b)
{
    return number(a, "pid") == number(b, "pid") && number(a, "tid") == number(b, "tid");
}

// The name that a metadata event gives to this process or thread; it must be given once.
static const char *name_of(const json_t *events, const char *what, const json_t *event)
{
    const char *found = NULL;
    size_t at;
    const json_t *meta;
    json_array_foreach(events, at, meta)
    {
        bool thread = strcmp(what, "thread_name") == 0;
        if (!is(meta, "M") || strcmp(text(meta, "name"), what) != 0 ||
            (thread ? !same_thread(meta, event) : number(meta, "pid") != number(event, "pid")))
            continue;
        assert_null(found);
        found = text(json_object_get(meta, "args"), "name");
    }
    assert_non_null(found);
    return found;
}

static void is_sound(const json_t *file)
{
    const json_t *events = json_object_get(file, "traceEvents"), *event, *other;
    size_t at, more;
    assert_true(json_is_array(events));
    assert_string_equal(text(file, "displayTimeUnit"), "ms");
    json_array_foreach(events, at, event)
    {
        assert_true(is(event, "X") || is(event, "M"));
        assert_true(number(event, "pid") > 0 && number(event, "tid") >= 0);
        assert_true(*text(event, "name"));
        assert_true(json_is_object(json_object_get(event, "args")));
        if (is(event, "M"))
            continue;
        assert_true(*text(event, "cat"));
        assert_true(number(event, "ts") >= MADE_RECEIVED_US && number(event, "dur") >= 0);
        name_of(events, "process_name", event);
        name_of(events, "thread_name", event);
        json_array_foreach(events, more, other)
        {
            if (more <= at || !is(other, "X") || !same_thread(event, other))
                continue;
            long long from = number(event, "ts"), other_from = number(other, "ts");
            assert_true(from + number(event, "dur") <= other_from ||
                        other_from + number(other, "dur") <= from);
        }
    }
}

// The nth event of a track of a process.
static const json_t *find(const json_t *file, const char *process, const char *track, size_t nth)
{
    const json_t *events = json_object_get(file, "traceEvents"), *event;
    size_t at;
    json_array_foreach(events, at, event)
    {
        if (is(event, "X") && strcmp(name_of(events, "process_name", event), process) == 0 &&
            strcmp(name_of(events, "thread_name", event), track) == 0 && nth-- == 0)
            return event;
    }
    return NULL;
}

static void takes(const json_t *file, const char *process, const char *track, long long from_us,
                  long long took_us)
{
    const json_t *event = find(file, process, track, 0);
    if (!event)
        fail_msg("%s has no %s", process, track);
    assert_int_equal(number(event, "ts"), MADE_RECEIVED_US + from_us);
    assert_int_equal(number(event, "dur"), took_us);
    assert_null(find(file, process, track, 1));
}

static void an_answer_has_a_track_for_each_stage(void **state)
{
    (void)state;
    timeline_t *timeline = make_timeline("00-" MADE_TRACE "-" MADE_PARENT "-01");
    json_t *file = file_of((const timeline_t *const[]){timeline}, 1);
    static const char gateway[] = "gateway \"1\"";
    is_sound(file);
    takes(file, gateway, "answer", 0, 500000);
    takes(file, gateway, "received", 0, 1000);
    takes(file, gateway, "searching", 1000, 40000);
    takes(file, gateway, "streaming", 145000, 355000);
    takes(file, gateway, "embed", 1100, 20000);
    takes(file, "lexical-1", "search", 1200, 8000);
    takes(file, "lexical-1", "search_queue", 1200, 800);
    takes(file, "lexical-1", "search_work", 2000, 4000);
    takes(file, "dense-1", "search", 21200, 18000);
    takes(file, "generator-1", "prefill", 51400, 92500);
    takes(file, "generator-1", "tokens", 143900, 351000);
    const json_t *args = json_object_get(find(file, gateway, "answer", 0), "args");
    assert_string_equal(text(args, "answer"), "answer-1");
    assert_string_equal(text(args, "trace_id"), MADE_TRACE);
    assert_string_equal(text(args, "outcome"), "done");
    assert_int_equal(atoll(text(json_object_get(file, "otherData"), "unix_us_at_0")),
                     MADE_WALL_US - MADE_RECEIVED_US);
    json_decref(file);
    timeline_destroy(&timeline);
}

static void answers_at_the_same_time_lie_beside_each_other(void **state)
{
    (void)state;
    enum {
        ANSWERS = 6
    };
    timeline_t *made[ANSWERS];
    for (unsigned at = 0; at < ANSWERS; at++) {
        made[at] = at % 3 == 0   ? make_timeline(NULL)
                   : at % 3 == 1 ? make_timeline_retried()
                                 : make_timeline_failed();
        made[at]->received_us += (ANSWERS - at) * 50000; // newest first
    }
    json_t *file = file_of((const timeline_t *const *)made, ANSWERS);
    is_sound(file);
    for (size_t at = 0; at < ANSWERS; at++)
        assert_non_null(find(file, "gateway \"1\"", "answer", at));
    assert_null(find(file, "gateway \"1\"", "answer", ANSWERS));
    assert_non_null(find(file, "generator-2", "tokens", 0));
    json_decref(file);
    for (unsigned at = 0; at < ANSWERS; at++)
        timeline_destroy(&made[at]);
}

static void no_answers_are_a_file_too(void **state)
{
    (void)state;
    json_t *file = file_of(NULL, 0);
    is_sound(file);
    json_decref(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_has_a_track_for_each_stage),
        cmocka_unit_test(answers_at_the_same_time_lie_beside_each_other),
        cmocka_unit_test(no_answers_are_a_file_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
