// live: what is counted in a second is told when it is over, in the windows that it belongs to, and
// forgotten a minute later; stages come from pieces of work, or else from the way to the first
// token.
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "histogram.h"
#include "live.h"

enum {
    SECOND = 1000000
};

// The way to the first token as these tests want it; wins over the library's.
static path_step_t way[TIMELINE_MAX_PATH];
static size_t way_size;
size_t timeline_path(const timeline_t *timeline, path_step_t *path)
{
    (void)timeline;
    memcpy(path, way, way_size * sizeof *way);
    return way_size;
}

typedef struct watched {
    live_t *live;
    metrics_t *metrics;
    uint64_t now_us;
} watched_t;

static int start(void **state)
{
    static watched_t self;
    self = (watched_t){live_new(5 * SECOND), metrics_new(), 5 * SECOND};
    way_size = 0;
    *state = &self;
    return 0;
}

static int stop(void **state)
{
    watched_t *self = *state;
    live_destroy(&self->live);
    metrics_destroy(&self->metrics);
    return 0;
}

static void tick(watched_t *self, unsigned seconds, size_t in_flight)
{
    while (seconds-- > 0) {
        self->now_us += SECOND;
        live_tick(self->live, self->metrics, in_flight, self->now_us);
    }
}

// The snapshot as JSON; the caller owns it.
static json_t *told(const watched_t *self, unsigned parts)
{
    rl_buf_t out = rl_buf_make(1 << 20);
    json_error_t error;
    rl_buf_adds(&out, "{");
    live_write(self->live, parts, &out);
    rl_buf_adds(&out, "}");
    assert_false(out.full);
    json_t *json = json_loadb(out.data, out.size, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s at %d of %s", error.text, error.position, out.data);
    rl_buf_free(&out);
    return json;
}

// "windows/10/counts/answers"
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

static double number(const watched_t *self, const char *path)
{
    json_t *json = told(self, 0);
    double value = json_number_value(at(json, path));
    json_decref(json);
    return value;
}

static void assert_near(double value, double expected, double share)
{
    if (fabs(value - expected) > share * fabs(expected))
        fail_msg("%f, expected %f", value, expected);
}

static void test_says_nothing_happened_before_the_first_second_is_over(void **state)
{
    watched_t *self = *state;
    metrics_count(self->metrics, COUNT_DONE, 1);
    assert_true(number(self, "windows/10/seconds") == 0);
    assert_true(number(self, "windows/10/per_second/answers") == 0);
    assert_true(number(self, "windows/60/stages/embed/p99_ms") == 0);
}

static void test_counts_leave_the_windows_when_their_time_is_over(void **state)
{
    watched_t *self = *state;
    metrics_count(self->metrics, COUNT_DONE, 20);
    metrics_count(self->metrics, COUNT_TOKENS, 640);
    tick(self, 1, 3);
    assert_true(number(self, "windows/10/seconds") == 1);
    assert_true(number(self, "windows/10/per_second/answers") == 20);
    tick(self, 9, 3);
    assert_true(number(self, "windows/10/per_second/answers") == 2);
    assert_true(number(self, "windows/10/per_second/tokens") == 64);
    tick(self, 1, 3);
    assert_true(number(self, "windows/10/counts/answers") == 0);
    assert_true(number(self, "windows/60/counts/answers") == 20);
    tick(self, 49, 3);
    assert_true(number(self, "windows/60/counts/answers") == 20);
    assert_true(number(self, "windows/60/seconds") == 60);
    tick(self, 1, 3);
    assert_true(number(self, "windows/60/counts/answers") == 0);
    assert_true(number(self, "totals/answers") == 20);
}

// A process that was held up does not show the rates of a shorter time.
static void test_a_second_that_took_three_counts_as_three(void **state)
{
    watched_t *self = *state;
    metrics_count(self->metrics, COUNT_QUESTIONS, 30);
    self->now_us += 3 * SECOND;
    live_tick(self->live, self->metrics, 0, self->now_us);
    assert_true(number(self, "windows/10/seconds") == 3);
    assert_true(number(self, "windows/10/per_second/questions") == 10);
}

static timeline_t answered(uint64_t first_token_us, uint64_t end_us)
{
    return (timeline_t){.outcome = REQUEST_DONE,
                        .first_status_us = 300,
                        .sources_us = 2000,
                        .first_token_us = first_token_us,
                        .end_us = end_us};
}

static void test_times_of_answers_come_as_percentiles(void **state)
{
    watched_t *self = *state;
    for (unsigned n = 0; n < 1000; n++) {
        timeline_t timeline = answered(n % 50 == 0 ? 900000 : 100000, 1000000);
        live_answer(self->live, &timeline);
    }
    tick(self, 1, 0);
    assert_true(number(self, "windows/10/times/first_token/count") == 1000);
    assert_near(number(self, "windows/10/times/first_token/p50_ms"), 100, 0.19);
    assert_near(number(self, "windows/10/times/first_token/p99_ms"), 900, 0.19);
    assert_true(number(self, "windows/10/times/first_token/max_ms") == 900);
    assert_true(number(self, "windows/10/times/end/p90_ms") == 1000);
    assert_true(number(self, "windows/10/times/status/p50_ms") == 0.3);
    assert_near(number(self, "windows/60/stages/tokens/p50_ms"), 900, 0.19);
}

// How long a failed or cancelled answer took says nothing about how long answers take.
static void test_an_answer_that_failed_has_no_time_to_the_end(void **state)
{
    watched_t *self = *state;
    timeline_t timeline = answered(0, 7000);
    timeline.outcome = REQUEST_FAILED;
    live_answer(self->live, &timeline);
    tick(self, 1, 0);
    assert_true(number(self, "windows/10/times/end/count") == 0);
    assert_true(number(self, "windows/10/times/first_token/count") == 0);
    assert_true(number(self, "windows/10/times/sources/count") == 1);
}

static void test_each_search_counts_with_its_three_parts(void **state)
{
    watched_t *self = *state;
    span_t spans[] = {
        {.stage = STAGE_EMBED, .took_us = 4000},
        {.stage = STAGE_SEARCH_WORK, .took_us = 10000, .queue_us = 2000, .work_us = 5000},
        {.stage = STAGE_SEARCH_WORK, .took_us = 3000, .work_us = 2500, .dispatch = 700},
        {.stage = STAGE_SEARCH_WORK, .took_us = 1500000, .missing = "too late"},
    };
    timeline_t timeline = answered(100000, 200000);
    timeline.spans = spans;
    timeline.spans_size = 4;
    // on the way to the first token, but told by the pieces of work above
    way[way_size++] = (path_step_t){.stage = STAGE_SEARCH_WORK, .took_us = 5000};
    way[way_size++] = (path_step_t){.stage = STAGE_MERGE, .took_us = 800};
    way[way_size++] = (path_step_t){.stage = STAGE_PREFILL, .took_us = 94200};
    live_answer(self->live, &timeline);
    tick(self, 1, 0);
    assert_true(number(self, "windows/10/stages/embed/p50_ms") == 4);
    assert_true(number(self, "windows/10/stages/search_work/count") == 2);
    assert_true(number(self, "windows/10/stages/search_work/max_ms") == 5);
    assert_true(number(self, "windows/10/stages/search_queue/count") == 1);
    assert_true(number(self, "windows/10/stages/search_network/count") == 2);
    assert_true(number(self, "windows/10/stages/search_network/max_ms") == 3);
    assert_true(number(self, "windows/10/stages/dispatch/p50_ms") == 0.7);
    assert_true(number(self, "windows/10/stages/missing/p50_ms") == 1500);
    assert_true(number(self, "windows/10/stages/merge/p50_ms") == 0.8);
    assert_true(number(self, "windows/10/stages/prefill/p50_ms") == 94.2);
    assert_true(number(self, "windows/10/stages/wait/count") == 0);
    assert_near(number(self, "windows/10/stages/prefill/first_token_share"), 0.942, 0.001);
    assert_near(number(self, "windows/10/stages/search_work/first_token_share"), 0.05, 0.001);
}

static void test_a_client_that_does_not_read_is_told(void **state)
{
    watched_t *self = *state;
    timeline_t timeline = answered(1000, 9000);
    timeline.client_us = 6000;
    live_answer(self->live, &timeline);
    tick(self, 1, 0);
    assert_true(number(self, "windows/10/stages/client/p50_ms") == 6);
}

static void test_buckets_make_the_histogram_again(void **state)
{
    watched_t *self = *state;
    rl_histogram_t again = {0};
    for (unsigned n = 1; n <= 500; n++) {
        timeline_t timeline = answered(n * 1000, 600000);
        live_answer(self->live, &timeline);
    }
    tick(self, 1, 0);
    json_t *json = told(self, LIVE_BUCKETS);
    const json_t *first = at(json, "windows/10/times/first_token");
    const json_t *buckets = at(first, "buckets");
    const json_t *each;
    size_t index;
    json_array_foreach(buckets, index, each)
    {
        size_t bucket = (size_t)json_integer_value(json_array_get(each, 0));
        uint64_t count = (uint64_t)json_integer_value(json_array_get(each, 1));
        again.buckets[bucket] = count;
        again.count += count;
    }
    again.min_us = (uint64_t)(json_number_value(at(first, "min_ms")) * 1000);
    again.max_us = (uint64_t)(json_number_value(at(first, "max_ms")) * 1000);
    assert_int_equal(again.count, 500);
    assert_near(rl_histogram_percentile(&again, 0.99) / 1000,
                json_number_value(at(first, "p99_ms")), 1e-3);
    json_decref(json);
}

static void test_the_history_is_the_last_minute_in_order(void **state)
{
    watched_t *self = *state;
    for (unsigned n = 1; n <= 70; n++) {
        metrics_count(self->metrics, COUNT_QUESTIONS, n);
        if (n == 70) {
            timeline_t timeline = answered(5000, 6000);
            live_answer(self->live, &timeline);
        }
        tick(self, 1, n);
    }
    json_t *json = told(self, LIVE_HISTORY);
    const json_t *questions = at(json, "history/questions");
    assert_int_equal(json_array_size(questions), LIVE_SECONDS);
    assert_true(json_number_value(json_array_get(questions, 0)) == 11);
    assert_true(json_number_value(json_array_get(questions, 59)) == 70);
    assert_int_equal(json_integer_value(json_array_get(at(json, "history/in_flight"), 59)), 70);
    const json_t *median = at(json, "history/first_token_p50_ms");
    assert_true(json_is_null(json_array_get(median, 58)));
    assert_true(json_number_value(json_array_get(median, 59)) == 5);
    assert_true(json_number_value(at(json, "second/questions")) == 70);
    assert_true(json_number_value(at(json, "second/first_token_p99_ms")) == 5);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
        TEST(test_says_nothing_happened_before_the_first_second_is_over),
        TEST(test_counts_leave_the_windows_when_their_time_is_over),
        TEST(test_a_second_that_took_three_counts_as_three),
        TEST(test_times_of_answers_come_as_percentiles),
        TEST(test_an_answer_that_failed_has_no_time_to_the_end),
        TEST(test_each_search_counts_with_its_three_parts),
        TEST(test_a_client_that_does_not_read_is_told),
        TEST(test_buckets_make_the_histogram_again),
        TEST(test_the_history_is_the_last_minute_in_order),
    };
    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
