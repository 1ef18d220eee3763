// ragline-top: several gateways as one, and the page that is made of it.
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sanitize.h"
#include "histogram.h"
#include "live.h"
#include "top_page.h"
#include "top_sum.h"
#include "top_text.h"

enum {
    SECOND = 1000000
};

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &error);
    if (!json)
        fail_msg("%s at %d", error.text, error.position);
    return json;
}

static const json_t *at(const json_t *json, const char *path)
{
    char part[64];
    while (json && *path) {
        size_t size = strcspn(path, "/");
        snprintf(part, sizeof part, "%.*s", (int)size, path);
        json = json_object_get(json, part);
        path += size + (path[size] == '/');
    }
    assert_non_null(json);
    return json;
}

static double number(const json_t *json, const char *path)
{
    return json_number_value(at(json, path));
}

// What a gateway sends that answered `count` questions in a second, the n-th first token after
// n × `each_us`.
static json_t *gateway(unsigned count, uint64_t each_us, const char *workers)
{
    live_t *live = live_new(SECOND);
    metrics_t *metrics = metrics_new();
    metrics_count(metrics, COUNT_DONE, count);
    for (unsigned n = 1; n <= count; n++) {
        timeline_t timeline = {
            .outcome = REQUEST_DONE, .first_token_us = n * each_us, .end_us = n * each_us + 5000};
        live_answer(live, &timeline);
    }
    live_tick(live, metrics, count, 2 * SECOND);
    rl_buf_t out = rl_buf_make(1 << 20);
    rl_buf_addf(&out,
                "{\"in_flight\":{\"total\":%u,\"oldest_ms\":%u,\"states\":{\"waiting\":%u,"
                "\"streaming\":0}},\"workers\":%s,",
                count, count, count, workers);
    live_write(live, LIVE_BUCKETS, &out);
    rl_buf_adds(&out, "}");
    json_t *json = parse(out.data);
    rl_buf_free(&out);
    live_destroy(&live);
    metrics_destroy(&metrics);
    return json;
}

// Takes the snapshots.
static json_t *sum_of(json_t *one, json_t *other)
{
    json_t *both[] = {one, other};
    json_t *sum = top_sum(both, 2);
    json_decref(one);
    json_decref(other);
    return sum;
}

// ------------------------------------------------------------------------------------------- sum

static void test_counts_and_rates_add_up(void **state)
{
    (void)state;
    json_t *sum = sum_of(gateway(30, 1000, "[]"), gateway(12, 1000, "[]"));
    assert_true(number(sum, "totals/answers") == 42);
    assert_true(number(sum, "windows/10/per_second/answers") == 42);
    assert_true(number(sum, "windows/10/seconds") == 1);
    assert_true(number(sum, "in_flight/total") == 42);
    assert_true(number(sum, "in_flight/states/waiting") == 42);
    assert_true(number(sum, "in_flight/oldest_ms") == 30);
    json_decref(sum);
}

// The percentiles of all answers, not the mean of two percentiles.
static void test_percentiles_are_those_of_all_answers(void **state)
{
    (void)state;
    rl_histogram_t all = {0};
    for (unsigned n = 1; n <= 900; n++)
        rl_histogram_add(&all, n * 100);
    for (unsigned n = 1; n <= 100; n++)
        rl_histogram_add(&all, n * 10000);
    json_t *sum = sum_of(gateway(900, 100, "[]"), gateway(100, 10000, "[]"));
    const json_t *first = at(sum, "windows/60/times/first_token");
    static const struct {
        const char *key;
        double share;
    } percentiles[] = {{"p50_ms", 0.5}, {"p90_ms", 0.9}, {"p99_ms", 0.99}};
    for (size_t p = 0; p < 3; p++) {
        double expected = rl_histogram_percentile(&all, percentiles[p].share) / 1000;
        assert_true(fabs(number(first, percentiles[p].key) - expected) < 1e-6 * expected);
    }
    assert_true(number(first, "count") == 1000);
    assert_true(number(first, "max_ms") == 1000);
    assert_null(json_object_get(first, "buckets"));
    json_decref(sum);
}

static const char here[] = "[{\"worker\":\"r-1/docs/0/dense\",\"kind\":\"dense\",\"collection\":"
                           "\"docs\",\"shard\":0,\"state\":\"ready\",\"outstanding\":3,\"slots\":2,"
                           "\"latency_ms\":4.0,\"last_seen_ms\":200,\"queued\":1}]";
static const char there[] =
    "[{\"worker\":\"r-1/docs/0/dense\",\"kind\":\"dense\",\"collection\":\"docs\",\"shard\":0,"
    "\"state\":\"leaving\",\"outstanding\":5,\"slots\":2,\"latency_ms\":9.0,\"last_seen_ms\":20,"
    "\"queued\":6},{\"worker\":\"g-1\",\"kind\":\"generator\",\"state\":\"ready\",\"model\":\"m\","
    "\"outstanding\":0,\"slots\":8}]";

static void test_a_worker_of_two_gateways_is_one(void **state)
{
    (void)state;
    json_t *sum = sum_of(gateway(1, 1, here), gateway(1, 1, there));
    const json_t *workers = at(sum, "workers"), *worker = json_array_get(workers, 0);
    assert_int_equal(json_array_size(workers), 2);
    assert_true(number(worker, "outstanding") == 8);
    assert_true(number(worker, "latency_ms") == 9);
    assert_string_equal(json_string_value(at(worker, "state")), "leaving"); // the news
    assert_true(number(worker, "queued") == 6);
    json_decref(sum);
}

static void test_nonsense_counts_as_nothing(void **state)
{
    (void)state;
    static const char *const nonsense[] = {
        "{}",
        "[]",
        "7",
        "{\"in_flight\":3,\"totals\":[],\"windows\":{\"10\":7,\"60\":{\"times\":{\"end\":4}}}}",
        "{\"totals\":{\"answers\":\"many\"},\"workers\":[1,\"x\",{}],\"in_flight\":{\"states\":0}}",
        "{\"windows\":{\"10\":{\"times\":{\"end\":{\"buckets\":[[-1,5],[128,5],[3,-5],7,[\"a\"]],"
        "\"max_ms\":1e300,\"mean_ms\":-4}}}}}",
    };
    for (size_t n = 0; n < sizeof nonsense / sizeof *nonsense; n++) {
        json_t *sum = sum_of(gateway(3, 1000, "[]"), parse(nonsense[n]));
        assert_true(number(sum, "totals/answers") == 3);
        assert_true(number(sum, "windows/10/times/first_token/count") == 3);
        rl_buf_t page = rl_buf_make(1 << 20);
        top_page(sum, &(top_view_t){.filter = "", .columns = 80}, &page);
        assert_false(page.full);
        rl_buf_free(&page);
        json_decref(sum);
    }
    json_t *large = parse("{\"totals\":{\"answers\":9223372036854775807}}");
    json_t *sum = sum_of(json_incref(large), large);
    assert_true(number(sum, "totals/answers") > 9e18);
    json_decref(sum);
    sum = top_sum(NULL, 0);
    assert_int_equal(json_array_size(at(sum, "workers")), 0);
    json_decref(sum);
}

// ------------------------------------------------------------------------------------------ page

// The page without its looks; the caller frees it.
static char *page_of(const json_t *sum, const top_view_t *view)
{
    rl_buf_t page = rl_buf_make(1 << 20), plain = rl_buf_make(1 << 20);
    top_page(sum, view, &page);
    top_strip(&plain, page.data, page.size);
    assert_false(page.full || plain.full);
    rl_buf_free(&page);
    return rl_buf_take(&plain);
}

static void assert_page(const json_t *sum, const top_view_t *view, const char *has,
                        const char *has_not)
{
    char *page = page_of(sum, view);
    if ((has && !strstr(page, has)) || (has_not && strstr(page, has_not)))
        fail_msg("expected %s and not %s:\n%s", has, has_not, page);
    free(page);
}

static void test_the_filter_takes_either_case(void **state)
{
    (void)state;
    json_t *sum = sum_of(gateway(1, 1, here), gateway(1, 1, there));
    assert_page(sum, &(top_view_t){.filter = "", .columns = 200}, "g-1", NULL);
    assert_page(sum, &(top_view_t){.filter = "DENSE", .columns = 200}, "r-1/docs", "g-1");
    assert_page(sum, &(top_view_t){.filter = "none", .columns = 200}, "no worker's line", "r-1");
    json_decref(sum);
}

static void test_workers_are_sorted(void **state)
{
    (void)state;
    json_t *sum = sum_of(gateway(1, 1, here), gateway(1, 1, there));
    static const struct {
        top_sort_t sort;
        bool reverse, dense_first;
    } orders[] = {{TOP_BY_KIND, false, true},
                  {TOP_BY_KIND, true, false},
                  {TOP_BY_LOAD, false, true},
                  {TOP_BY_LATENCY, true, false},
                  {TOP_BY_NAME, false, false}};
    for (size_t n = 0; n < sizeof orders / sizeof *orders; n++) {
        top_view_t view = {
            .filter = "", .columns = 200, .sort = orders[n].sort, .reverse = orders[n].reverse};
        char *page = page_of(sum, &view);
        assert_true((strstr(page, "r-1/docs") < strstr(page, "g-1")) == orders[n].dense_first);
        free(page);
    }
    json_decref(sum);
}

static void test_rows_of_items_keep_to_the_columns(void **state)
{
    (void)state;
    json_t *sum = sum_of(gateway(1, 1, "[]"), gateway(1, 1, "[]"));
    for (int columns = 40; columns < 140; columns += 7) {
        char *page = page_of(sum, &(top_view_t){.filter = "", .columns = columns});
        char *end = strstr(page, "TIME TO");
        assert_non_null(end);
        *end = '\0';
        for (char *line = strtok(page, "\n"); line; line = strtok(NULL, "\n"))
            assert_true(rl_sanitize_columns(line) <= (size_t)columns);
        free(page);
    }
    json_decref(sum);
}

// A name must not be able to command the terminal, nor to look like one of the page's own looks.
static void test_names_from_outside_are_harmless(void **state)
{
    (void)state;
    static const char evil[] =
        "[{\"worker\":\"a\\u001b[31m\\u0007\\u0002b\",\"kind\":\"\\u001b]0;x\\u0007\",\"model\":"
        "\"\\u202e\\n\\r\\u009b\",\"state\":\"\\u0004ready\"}]";
    json_t *sum =
        sum_of(gateway(1, 1, evil), parse("{\"in_flight\":{\"states\":{\"\\u001b[2J\":1}},"
                                          "\"windows\":{\"10\":{\"per_second\":"
                                          "{\"\\u001b[2J\":1}},\"60\":{\"stages\":"
                                          "{\"\\u001b[2J\":{\"buckets\":[[1,1]]}}}}}"));
    char *page = page_of(sum, &(top_view_t){.filter = "", .columns = 200});
    for (const char *at_ = page; *at_; at_++)
        assert_true((unsigned char)*at_ >= 32 || *at_ == '\n');
    assert_null(strstr(page, "\u202e"));
    free(page);
    rl_buf_t line = rl_buf_make(1 << 16);
    top_line(sum, "now", &line);
    assert_null(strchr(line.data, 27));
    rl_buf_free(&line);
    json_decref(sum);
}

static void test_a_duration_is_short(void **state)
{
    (void)state;
    static const struct {
        double ms;
        const char *text;
    } durations[] = {{0, "–"},
                     {-3, "–"},
                     {0.001, "<0.01 ms"},
                     {0.25, "0.25 ms"},
                     {3.14159, "3.1 ms"},
                     {182.4, "182 ms"},
                     {1920, "1.92 s"},
                     {12345, "12.3 s"},
                     {120000, "120 s"},
                     {1e300, "1000000 s"}};
    char text[32];
    for (size_t n = 0; n < sizeof durations / sizeof *durations; n++)
        assert_string_equal(top_duration(durations[n].ms, text), durations[n].text);
    assert_string_equal(top_amount(0, text), "0");
    assert_string_equal(top_amount(0.25, text), "0.2");
    assert_string_equal(top_amount(23700, text), "23.7k");
    assert_string_equal(top_count(8, text), "8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_and_rates_add_up),
        cmocka_unit_test(test_percentiles_are_those_of_all_answers),
        cmocka_unit_test(test_a_worker_of_two_gateways_is_one),
        cmocka_unit_test(test_nonsense_counts_as_nothing),
        cmocka_unit_test(test_the_filter_takes_either_case),
        cmocka_unit_test(test_workers_are_sorted),
        cmocka_unit_test(test_rows_of_items_keep_to_the_columns),
        cmocka_unit_test(test_names_from_outside_are_harmless),
        cmocka_unit_test(test_a_duration_is_short),
    };
    return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
