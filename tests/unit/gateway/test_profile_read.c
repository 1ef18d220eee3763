// Recordings: every form that answers are saved in is read alike, and what is wrong is named.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway_cpu.h"
#include "overlap.h"
#include "read.h"
#include "recording.h"
#include "shares.h"
#include "values.h"
#include "whatif.h"

#define TIMELINE(at, first)                                                                             \
    "{\"unix_ms\":" #at ",\"total_ms\":300,\"first_token_ms\":" #first ",\"tokens\":7,"                 \
    "\"states\":[{\"state\":\"received\",\"start_ms\":0,\"ms\":1},"                                     \
    "{\"state\":\"searching\",\"start_ms\":1,\"ms\":50},"                                               \
    "{\"state\":\"merging\",\"start_ms\":51,\"ms\":2},"                                                 \
    "{\"state\":\"waiting\",\"start_ms\":53,\"ms\":7},"                                                 \
    "{\"state\":\"generating\",\"start_ms\":60,\"ms\":40},"                                             \
    "{\"state\":\"streaming\",\"start_ms\":" #first ",\"ms\":200}],"                                    \
    "\"spans\":[{\"stage\":\"embed\",\"start_ms\":1.5,\"ms\":10},"                                      \
    "{\"stage\":\"search\",\"source\":\"docs/0/dense\",\"worker\":\"r-1/docs/0/dense\","                \
    "\"start_ms\":12,\"ms\":39,\"queue_ms\":9,\"work_ms\":20,\"network_ms\":10},"                       \
    "{\"stage\":\"search\",\"source\":\"docs/0/lexical\",\"worker\":\"r-1/docs/0/lexical\","            \
    "\"start_ms\":1.5,\"ms\":30,\"missing\":\"late\"},"                                                 \
    "{\"stage\":\"generator_queue\",\"start_ms\":60,\"ms\":3,\"worker\":\"g-1\"},"                      \
    "{\"stage\":\"prompt\",\"start_ms\":63,\"ms\":1,\"worker\":\"g-1\"},"                               \
    "{\"stage\":\"send\",\"start_ms\":64,\"ms\":1,\"worker\":\"g-1\"},"                                 \
    "{\"stage\":\"prefill\",\"start_ms\":65,\"ms\":30,\"worker\":\"g-1\"},"                             \
    "{\"stage\":\"tokens\",\"start_ms\":95,\"ms\":190,\"worker\":\"g-1\"}],"                            \
    "\"critical_path\":[{\"stage\":\"receive\",\"start_ms\":0,\"ms\":1,\"first_token_without_ms\":99}," \
    "{\"stage\":\"search_work\",\"source\":\"docs/0/dense\",\"start_ms\":1,\"ms\":52,"                  \
    "\"first_token_without_ms\":70},{\"stage\":\"prefill\",\"start_ms\":53,\"ms\":47,\"first_token_without_ms\":60}]}"

static void take(void *arg, const json_t *value)
{
    recording_take(arg, value);
}

// Reads `text` a few bytes at a time; returns what is wrong with it ("" if nothing).
static const char *read_text(recording_t *recording, const char *text, size_t step)
{
    static char why[400];
    reading_t *reading = reading_new(take, recording);
    size_t size = strlen(text);
    for (size_t at = 0; at < size; at += step)
        if (reading_feed(reading, text + at, size - at < step ? size - at : step) != 0)
            break;
    reading_end(reading);
    snprintf(why, sizeof why, "%s", reading_error(reading));
    reading_destroy(&reading);
    assert_null(reading);
    return why;
}

static void every_form_is_read(void **state)
{
    static const char *const forms[] = {
        TIMELINE(1000, 100) "\n" TIMELINE(2000, 110) "\n",
        TIMELINE(1000, 100) TIMELINE(2000, 110),
        "{\"traces\":[" TIMELINE(1000, 100) "," TIMELINE(2000, 110) "],\"next\":\"x\"}",
        "[\n  " TIMELINE(1000, 100) ",\n  " TIMELINE(2000, 110) "\n]\n",
        "{\"unix_ms\":1000,\"tokens\":7,\"timings\":" TIMELINE(
            1000, 100) ",\"answer\":\"a } in { words \\\" \"}\n"
                       "{\"timings\":" TIMELINE(2000, 110) "}",
        ": hello\nevent: timings\nid: 5\ndata: " TIMELINE(
            1000, 100) "\n\nretry: 5\r\n\r\n"
                       "event: timings\ndata:" TIMELINE(2000, 110) "\n\n",
    };
    (void)state;
    for (size_t form = 0; form < sizeof forms / sizeof *forms; form++)
        for (size_t step = 1; step < 5000; step = step * 7 + 1) {
            recording_t *recording = recording_new();
            assert_string_equal(read_text(recording, forms[form], step), "");
            assert_int_equal(recording_size(recording), 2);
            assert_int_equal(recording_foreign(recording), 0);
            assert_float_equal(recording_at(recording, 1)->first_ms, 110, 1e-6);
            recording_destroy(&recording);
            assert_null(recording);
        }
}

static void an_answer_is_taken_apart(void **state)
{
    (void)state;
    recording_t *recording = recording_new();
    assert_string_equal(read_text(recording, TIMELINE(1000, 100), 64), "");
    const answer_record_t *answer = recording_at(recording, 0);
    names_t *names = recording_names(recording);
    assert_float_equal(answer->at_ms, 1000, 1e-6);
    assert_float_equal(answer->search_ms, 1, 1e-6);
    assert_float_equal(answer->embed_ms, 10, 1e-6);
    assert_int_equal(answer->seeks_size, 2);
    assert_float_equal(answer->seeks[0].network_ms, 10, 1e-5);
    assert_false(answer->seeks[0].missing);
    assert_true(answer->seeks[1].missing);
    assert_string_equal(names_text(names, answer->seeks[0].source), "docs/0/dense");
    uint32_t process = recording_process(recording, answer->seeks[0].worker);
    assert_string_equal(names_text(names, process), "r-1");
    assert_float_equal(answer->found_ms, 51, 1e-5);
    assert_float_equal(answer->merge_ms, 2, 1e-5);
    assert_float_equal(answer->wait_ms, 7, 1e-5);
    assert_float_equal(answer->lost_ms, 0, 1e-5);
    assert_float_equal(answer->queue_ms, 3, 1e-5);
    assert_float_equal(answer->ask_ms, 2, 1e-5);
    assert_float_equal(answer->prefill_ms, 30, 1e-5);
    assert_float_equal(answer->relay_ms, 5, 1e-4);
    assert_int_equal(answer->tokens, 7);
    assert_int_equal(answer->charges_size, 3);
    recording_destroy(&recording);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *text, *why;
    } wrong[] = {
        {"", "no answer in it"},
        {" \n\n", "no answer in it"},
        {"hello", "line 1 is not JSON"},
        {"# TYPE x counter\n", "line 1 is not JSON"},
        {"<html>", "line 1 is not JSON"},
        {"event", "line 1 is not JSON"},
        {"{}\n{}\nnonsense: 1\n", "line 3 is not JSON"},
        {"{\"total_ms\":1}\n7\n", "line 2 is not JSON"},
        {"{\"a\":1}\n{\"total_ms\":", "ends in the middle of the value that begins in line 2"},
        {"{\"traces\":[{\"total_ms\":1},{\"tot", "ends in the middle"},
        {"{\"a\":\"\\", "ends in the middle"},
        {"{\"a\":}", "begins in line 1 (byte 0) is not JSON"},
        {"\n{\"a\"]", "begins in line 2 (byte 1) is not JSON"},
        {"[[[}}}", "is not JSON"},
    };
    (void)state;
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++)
        for (size_t step = 1; step < 100; step += 33) {
            recording_t *recording = recording_new();
            const char *why = read_text(recording, wrong[at].text, step);
            if (!strstr(why, wrong[at].why))
                fail_msg("%s: %s", wrong[at].text, why);
            recording_destroy(&recording);
        }
}

static void too_large_a_value_is_refused(void **state)
{
    (void)state;
    recording_t *recording = recording_new();
    reading_t *reading = reading_new(take, recording);
    char *space = malloc(1 << 20);
    assert_non_null(space);
    memset(space, ' ', 1 << 20);
    int status = reading_feed(reading, "[", 1);
    for (size_t at = 0; at < READ_MAX_VALUE >> 20; at++)
        status |= reading_feed(reading, space, 1 << 20);
    assert_int_equal(status, -1);
    assert_non_null(strstr(reading_error(reading), "larger than 64 MiB"));
    free(space);
    reading_destroy(&reading);
    recording_destroy(&recording);
}

// What has the wrong type or an impossible value is as if it were not there.
static void foreign_values_do_no_harm(void **state)
{
    static const char *const foreign[] = {
        "{}",
        "{\"traces\":[1,\"x\",null,[],{}]}",
        "{\"total_ms\":-1,\"states\":[]}",
        "{\"total_ms\":1e300,\"states\":[]}",
        "{\"total_ms\":\"1\",\"states\":[]}",
        "{\"total_ms\":1,\"states\":{}}",
    };
    static const char odd[] =
        "{\"unix_ms\":\"x\",\"total_ms\":5,\"first_token_ms\":-3,\"tokens\":-1,"
        "\"states\":[1,{\"state\":7},{\"state\":\"generating\",\"start_ms\":\"x\"}],"
        "\"spans\":[null,{\"stage\":\"search\",\"work_ms\":-5,\"ms\":1e99,\"worker\":9},"
        "{\"stage\":\"search\",\"dispatch_ms\":5,\"start_ms\":1}],"
        "\"critical_path\":[[],{\"ms\":{}}]}";
    (void)state;
    recording_t *recording = recording_new();
    size_t expected = 0;
    for (size_t at = 0; at < sizeof foreign / sizeof *foreign; at++) {
        read_text(recording, foreign[at], 16);
        expected += at == 1 ? 5 : 1;
        assert_int_equal(recording_size(recording), 0);
        assert_int_equal(recording_foreign(recording), expected);
    }
    assert_string_equal(read_text(recording, odd, 16), "");
    const answer_record_t *answer = recording_at(recording, 0);
    assert_true(isnan(answer->at_ms));
    assert_true(answer->first_ms < 0);
    assert_int_equal(answer->seeks_size, 2);
    assert_true(answer->seeks[0].missing && answer->seeks[0].work_ms >= 0);
    recording_busiest(recording, 1);
    assert_int_equal(recording_size(recording), 1);
    assert_true(recording_rate(recording) <= 0);
    recording_destroy(&recording);
}

static void the_busiest_stretch_is_kept(void **state)
{
    (void)state;
    recording_t *recording = recording_new();
    char line[4096];
    static const long at_s[] = {5000, 10, 11, 12, 13, 900, 901, 902, 905, 906, 7000};
    for (size_t at = 0; at < sizeof at_s / sizeof *at_s; at++) {
        snprintf(line, sizeof line,
                 "{\"unix_ms\":%ld,\"total_ms\":5,\"first_token_ms\":%zu,\"states\":[]}\n",
                 at_s[at] * 1000, at);
        assert_string_equal(read_text(recording, line, 4096), "");
    }
    recording_busiest(recording, 10);
    assert_int_equal(recording_size(recording), 5);
    assert_float_equal(recording_at(recording, 0)->at_ms, 900000, 1e-6);
    assert_float_equal(recording_lasted_ms(recording), 6000, 1e-6);
    assert_float_equal(recording_rate(recording), 4.0 / 6, 1e-9);
    recording_destroy(&recording);
}

static void order_statistics_are_nearest_rank(void **state)
{
    (void)state;
    values_t values = {0};
    assert_float_equal(values_share(&values, 0.5), 0, 0);
    for (int at = 100; at > 0; at--)
        values_add(&values, at);
    assert_float_equal(values_share(&values, 0.5), 50, 0);
    assert_float_equal(values_share(&values, 0.99), 99, 0);
    assert_float_equal(values_share(&values, 1), 100, 0);
    assert_float_equal(values_share(&values, 0), 1, 0);
    assert_float_equal(values_mean(&values), 50.5, 1e-12);
    values_free(&values);
}

static void shares_find_the_stage_of_the_slow(void **state)
{
    (void)state;
    recording_t *recording = recording_new();
    shares_t shares;
    char line[4096];
    for (int at = 0; at < 1000;
         at++) { // one in fifty waits 900 ms for the LLM, all 10 for a search
        int prefill = at % 50 == 7 ? 900 : 20;
        snprintf(
            line, sizeof line,
            "{\"total_ms\":2000,\"first_token_ms\":%d,\"states\":[],\"critical_path\":["
            "{\"stage\":\"search_work\",\"source\":\"d/%d/dense\",\"ms\":10,\"first_token_without_ms\":%d},"
            "{\"stage\":\"prefill\",\"ms\":%d,\"first_token_without_ms\":10}]}\n",
            10 + prefill, at % 50 == 7 ? 1 : 0, prefill, prefill);
        assert_string_equal(read_text(recording, line, 4096), "");
    }
    shares_of(recording, &shares);
    names_t *names = recording_names(recording);
    assert_int_equal(shares.answers, 1000);
    assert_float_equal(shares.p50_ms, 30, 1e-5);
    assert_float_equal(shares.p99_ms, 910, 1e-5);
    assert_int_equal(shares.size, 2);
    assert_string_equal(names_text(names, shares.rows[0].stage), "prefill");
    assert_float_equal(shares.rows[0].p99_ms, 900, 1e-4);
    assert_float_equal(shares.rows[0].p50_ms, 20, 1e-4);
    assert_float_equal(shares.rows[0].without_99_ms, 10, 1e-3);
    assert_float_equal(shares.rows[0].own_p99_ms, 900, 1e-4);
    assert_string_equal(names_text(names, shares.rows[1].source), "d/1/dense");
    assert_float_equal(shares.rows[1].without_99_ms, 900, 1e-3);
    recording_destroy(&recording);
}

static void servers_are_read_off_the_overlap(void **state)
{
    piece_t pieces[300];
    (void)state;
    for (unsigned servers = 1; servers <= 4; servers++) {
        // a new one comes every 10 ms and takes `servers` times that: never idle after the first
        for (size_t at = 0; at < 300; at++)
            pieces[at] = (piece_t){.waited = at > 4,
                                   .start_ms = 10.0 * (double)at,
                                   .end_ms = 10.0 * (double)(at + servers)};
        overlap_t found = overlap_of(pieces, 300, 0.5);
        assert_int_equal(found.servers, servers);
        assert_int_equal(found.most, servers);
    }
    for (size_t at = 0; at < 300; at++)
        pieces[at].waited = false;
    assert_int_equal(overlap_of(pieces, 300, 0.5).servers, 0);
    // up to twenty at a time, and now and then one is late for another reason
    for (size_t at = 0; at < 300; at++)
        pieces[at] = (piece_t){
            .waited = at % 20 == 5, .start_ms = (double)at, .end_ms = (double)(at + 20 - at % 20)};
    assert_int_equal(overlap_of(pieces, 300, 0.5).servers, 0);
    assert_int_equal(overlap_of(NULL, 0, 0.5).most, 0);
}

static void queues_beyond_are_taken_out(void **state)
{
    (void)state;
    // two servers of 10 ms each; five came at once: done at 10, 10, 20, 20, 30
    piece_t pieces[] = {{0, false, 0, 10},
                        {1, false, 0.1, 10},
                        {2, false, 0.2, 20},
                        {3, false, 0.3, 20},
                        {4, false, 0.4, 30}};
    static const double starts[] = {0, 0.1, 10, 10, 20};
    overlap_unqueue(pieces, 5, 2);
    for (size_t at = 0; at < 5; at++)
        assert_float_equal(pieces[at].start_ms, starts[at], 1e-9);
}

static void more_is_plus_or_times(void **state)
{
    static const char *const wrong[] = {"1",   "+",   "x",    "+0",    "x-1",
                                        "+1x", "+ 1", "1001", "x1001", "times"};
    more_t more;
    (void)state;
    assert_true(more_read("", &more) && more.add == 0 && more.times == 1);
    assert_true(more_read("+2", &more) && more.add == 2 && more.times == 1);
    assert_true(more_read("x3", &more) && more.add == 0 && more.times == 3);
    assert_true(more_read("×4", &more) && more.times == 4);
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++)
        assert_false(more_read(wrong[at], &more));
}

static void the_gateways_cpu_is_in_its_metrics(void **state)
{
    (void)state;
    assert_float_equal(gateway_cpu_ms("# HELP process_cpu_seconds_total x\n"
                                      "process_cpu_seconds_total 3.5\nragline_questions 7\n"
                                      "ragline_questions_total 1000\n"),
                       3.5, 1e-9);
    assert_float_equal(gateway_cpu_ms("ragline_questions_total 1000\nprocess_cpu_seconds_total 2"),
                       2, 1e-9);
    static const char *const silent[] = {
        "",
        "\n",
        "process_cpu_seconds_total 3\n",
        "ragline_questions_total 1000\n",
        "process_cpu_seconds_total NaN\nragline_questions_total 1000\n",
        "process_cpu_seconds_total 1\nragline_questions_total 19\n",
        "process_cpu_seconds_total \nragline_questions_total{a=\"b\"} 1000\n"};
    for (size_t at = 0; at < sizeof silent / sizeof *silent; at++)
        assert_float_equal(gateway_cpu_ms(silent[at]), 0, 0);
}

static void names_end_somewhere(void **state)
{
    char text[32];
    (void)state;
    names_t *names = names_new();
    for (int at = 0; at < NAMES_MAX + 100; at++) {
        int size = snprintf(text, sizeof text, "worker-%d", at);
        uint32_t number = names_number(names, text, (size_t)size);
        assert_int_equal(names_number(names, text, (size_t)size), number);
        assert_string_equal(names_text(names, number), at < NAMES_MAX ? text : "others");
    }
    assert_int_equal(names_size(names), NAMES_MAX + 1);
    names_destroy(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(an_answer_is_taken_apart),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(too_large_a_value_is_refused),
        cmocka_unit_test(foreign_values_do_no_harm),
        cmocka_unit_test(the_busiest_stretch_is_kept),
        cmocka_unit_test(order_statistics_are_nearest_rank),
        cmocka_unit_test(shares_find_the_stage_of_the_slow),
        cmocka_unit_test(servers_are_read_off_the_overlap),
        cmocka_unit_test(queues_beyond_are_taken_out),
        cmocka_unit_test(more_is_plus_or_times),
        cmocka_unit_test(the_gateways_cpu_is_in_its_metrics),
        cmocka_unit_test(names_end_somewhere),
    };
    return cmocka_run_group_tests_name("profile_read", tests, NULL, NULL);
}
