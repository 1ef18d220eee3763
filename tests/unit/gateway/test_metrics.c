// Metrics: what an answer's timeline adds to them, how they are written, and that their number is
// bounded.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "metrics.h"
#include "metrics_process.h"

enum {
    S = 1000000, // µs
    MS = 1000,
};

static span_t spans[16];

static timeline_t timeline_of(const char *collection, request_state_t outcome)
{
    memset(spans, 0, sizeof spans);
    timeline_t out = {.trace_id = "0af7651916cd43dd8448eb211c80319c",
                      .sampled = true,
                      .form = "ask",
                      .collection = collection,
                      .wall_us = 1700000000LL * S,
                      .spans = spans,
                      .outcome = outcome,
                      .error = "",
                      .model = "fake-llm",
                      .upstream = "openai",
                      .finish = "stop"};
    return out;
}

static void enter(timeline_t *timeline, request_state_t state, uint64_t at_us)
{
    timeline->steps[timeline->steps_size++] = (timeline_step_t){state, at_us};
}

static span_t *add(timeline_t *timeline, stage_t stage, uint64_t start_us, uint64_t took_us)
{
    span_t *span = &spans[timeline->spans_size++];
    *span = (span_t){.stage = stage, .start_us = start_us, .took_us = took_us, .worker = ""};
    return span;
}

// An answer with everything: 30 ms of retrieval, 400 ms of waiting, first token at 1 s, end at 3 s.
static timeline_t whole(void)
{
    timeline_t out = timeline_of("docs", REQUEST_DONE);
    enter(&out, REQUEST_RECEIVED, 0);
    enter(&out, REQUEST_SEARCHING, 2 * MS);
    enter(&out, REQUEST_MERGING, 30 * MS);
    enter(&out, REQUEST_WAITING, 31 * MS);
    enter(&out, REQUEST_GENERATING, 431 * MS);
    enter(&out, REQUEST_STREAMING, 1 * S);
    enter(&out, REQUEST_DONE, 3 * S);
    out.first_status_us = 2 * MS;
    out.sources_us = 31 * MS;
    out.first_token_us = 1 * S;
    out.end_us = 3 * S;
    out.answered = 1;
    out.of = 2;
    out.tokens = 11;
    out.prompt_tokens = 321;
    out.completion_tokens = 21;
    out.cached_tokens = 300;
    out.cached_known = true;
    add(&out, STAGE_CACHE, 2 * MS, 1 * MS);
    add(&out, STAGE_EMBED, 2 * MS, 8 * MS);
    span_t *search = add(&out, STAGE_SEARCH_WORK, 10 * MS, 20 * MS);
    search->collection = "docs";
    search->kind = KIND_DENSE;
    search->queue_us = 5 * MS;
    search->work_us = 12 * MS;
    search = add(&out, STAGE_SEARCH_WORK, 10 * MS, 20 * MS);
    search->collection = "cooking";
    search->kind = KIND_LEXICAL;
    search->missing = "late";
    add(&out, STAGE_GENERATOR_QUEUE, 431 * MS, 100 * MS);
    add(&out, STAGE_PREFILL, 540 * MS, 450 * MS);
    return out;
}

// The text of all metrics; the caller frees it.
static char *text_of(const metrics_t *metrics, const char *accept)
{
    metrics_text_t text = metrics_text_make(accept);
    metrics_write(metrics, &text);
    metrics_text_end(&text);
    assert_false(text.out.full);
    char *out = rl_buf_take(&text.out);
    metrics_text_free(&text);
    return out;
}

// The value of one sample, -1 if there is none.
static double value(const char *text, const char *sample)
{
    size_t size = strlen(sample);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, sample, size) == 0 && line[size] == ' ')
            return strtod(line + size, NULL);
    }
    return -1;
}

static void sample_is(const metrics_t *metrics, const char *sample, double expected)
{
    char *text = text_of(metrics, NULL);
    double got = value(text, sample);
    free(text);
    if (got < expected - 1e-9 || got > expected + 1e-9)
        fail_msg("%s is %g, not %g", sample, got, expected);
}

static void stage_is(const metrics_t *metrics, const char *stage, const char *collection,
                     const char *kind, double seconds)
{
    char sample[300];
    snprintf(sample, sizeof sample,
             "ragline_stage_duration_seconds_sum{stage=\"%s\",collection=\"%s\",kind=\"%s\"}",
             stage, collection, kind);
    sample_is(metrics, sample, seconds);
}

static void each_stage_gets_its_time(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    timeline_t timeline = whole();
    metrics_answer(metrics, &timeline);
    stage_is(metrics, "receive", "docs", "", 0.002);
    stage_is(metrics, "merge", "docs", "", 0.001);
    stage_is(metrics, "wait", "docs", "", 0.4);
    stage_is(metrics, "cache", "docs", "", 0.001);
    stage_is(metrics, "embed", "docs", "", 0.008);
    stage_is(metrics, "generator_queue", "docs", "", 0.1);
    stage_is(metrics, "prefill", "docs", "", 0.45);
    stage_is(metrics, "tokens", "docs", "", 2);
    stage_is(metrics, "search_network", "docs", "dense", 0.003);
    stage_is(metrics, "search_queue", "docs", "dense", 0.005);
    stage_is(metrics, "search_work", "docs", "dense", 0.012);
    stage_is(metrics, "missing", "cooking", "lexical", 0.02);
    stage_is(metrics, "rewrite", "docs", "", -1); // it was not rewritten
    stage_is(metrics, "client", "docs", "", -1);  // nor had the client to be waited for
    metrics_destroy(&metrics);
    assert_null(metrics);
}

// Two waits, since the first generator was lost, are one wait of this answer.
static void a_stage_counts_once_an_answer(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    timeline_t timeline = timeline_of("docs", REQUEST_FAILED);
    enter(&timeline, REQUEST_WAITING, 0);
    enter(&timeline, REQUEST_GENERATING, 10 * MS);
    enter(&timeline, REQUEST_WAITING, 20 * MS);
    enter(&timeline, REQUEST_FAILED, 50 * MS);
    timeline.end_us = 50 * MS;
    metrics_answer(metrics, &timeline);
    stage_is(metrics, "wait", "docs", "", 0.04);
    sample_is(metrics,
              "ragline_stage_duration_seconds_count{stage=\"wait\",collection=\"docs\",kind=\"\"}",
              1);
    metrics_destroy(&metrics);
}

static void times_are_from_the_first_byte(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    timeline_t timeline = whole();
    metrics_answer(metrics, &timeline);
    sample_is(metrics, "ragline_time_to_first_status_seconds_sum{form=\"ask\"}", 0.002);
    sample_is(metrics, "ragline_time_to_first_source_seconds_sum{form=\"ask\"}", 0.031);
    sample_is(metrics, "ragline_time_to_first_token_seconds_sum{form=\"ask\"}", 1);
    // less 400 ms in the gateway and 100 ms in the generator
    sample_is(metrics, "ragline_time_to_first_token_unqueued_seconds_sum{form=\"ask\"}", 0.5);
    // two seconds, 20 tokens behind the first
    sample_is(metrics, "ragline_time_per_output_token_seconds_sum{form=\"ask\"}", 0.1);
    sample_is(metrics, "ragline_answer_duration_seconds_sum{outcome=\"done\",form=\"ask\"}", 3);
    sample_is(metrics, "ragline_answer_duration_seconds_count{outcome=\"failed\",form=\"ask\"}",
              -1);
    metrics_destroy(&metrics);
}

static void buckets_hold_what_is_at_most_their_bound(void **state)
{
    (void)state;
    static const struct {
        uint64_t us;
        const char *first; // of the buckets that count it
    } rows[] = {{0, "0.0001"},      {100, "0.0001"},       {101, "0.00025"},    {1 * S, "1.0"},
                {1 * S + 1, "2.5"}, {120ULL * S, "120.0"}, {121ULL * S, "+Inf"}};
    for (size_t at = 0; at < sizeof rows / sizeof *rows; at++) {
        metrics_t *metrics = metrics_new();
        timeline_t timeline = timeline_of("docs", REQUEST_CANCELLED);
        timeline.end_us = rows[at].us;
        metrics_answer(metrics, &timeline);
        char *text = text_of(metrics, NULL);
        const char *line =
            strstr(text, "ragline_answer_duration_seconds_bucket{outcome=\"cancelled\"");
        assert_non_null(line);
        char bound[16] = "";
        for (; line && strncmp(line, "ragline_answer_duration_seconds_bucket", 38) == 0;
             line = strchr(line, '\n') + 1) {
            unsigned count;
            if (sscanf(strstr(line, "le=\"") + 4, "%15[^\"]\"} %u", bound, &count) == 2 && count)
                break;
        }
        assert_string_equal(bound, rows[at].first);
        free(text);
        metrics_destroy(&metrics);
    }
}

static void outcomes_sources_and_tokens_are_counted(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    timeline_t timeline = whole();
    metrics_answer(metrics, &timeline);
    timeline = timeline_of("docs", REQUEST_FAILED);
    timeline.error = "llm_busy";
    metrics_answer(metrics, &timeline);
    timeline.error = "what nobody has heard of";
    metrics_answer(metrics, &timeline);
    timeline = timeline_of("docs", REQUEST_CANCELLED);
    metrics_answer(metrics, &timeline);
    sample_is(metrics, "ragline_answers_total", 1);
    sample_is(metrics, "ragline_failures_total{code=\"llm_busy\"}", 1);
    sample_is(metrics, "ragline_failures_total{code=\"other\"}", 1);
    sample_is(metrics, "ragline_cancellations_total", 1);
    sample_is(metrics, "ragline_incomplete_total", 1);
    sample_is(metrics, "ragline_sources_asked_total", 2);
    sample_is(metrics, "ragline_sources_answered_total", 1);
    sample_is(metrics,
              "ragline_source_searches_total{collection=\"docs\",kind=\"dense\","
              "outcome=\"answered\"}",
              1);
    sample_is(metrics,
              "ragline_source_searches_total{collection=\"cooking\",kind=\"lexical\","
              "outcome=\"missing\"}",
              1);
    sample_is(metrics, "ragline_prompt_tokens_total{model=\"fake-llm\"}", 321);
    sample_is(metrics, "ragline_completion_tokens_total{model=\"fake-llm\"}", 21);
    sample_is(metrics, "ragline_cached_prompt_tokens_total{model=\"fake-llm\"}", 300);
    metrics_destroy(&metrics);
}

// What a client did not wait for says nothing about the sources.
static void a_cancelled_search_is_nobodys_fault(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    timeline_t timeline = whole();
    timeline.outcome = REQUEST_CANCELLED;
    timeline.first_token_us = timeline.sources_us = 0;
    metrics_answer(metrics, &timeline);
    sample_is(metrics, "ragline_cancellations_total", 1);
    sample_is(metrics, "ragline_sources_asked_total", 0);
    stage_is(metrics, "missing", "cooking", "lexical", -1);
    metrics_destroy(&metrics);
}

static void a_draft_is_no_question(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    timeline_t timeline = whole();
    timeline.form = "draft";
    metrics_answer(metrics, &timeline);
    sample_is(metrics, "ragline_answers_total", 0);
    sample_is(metrics, "ragline_sources_asked_total", 0);
    sample_is(metrics, "ragline_answer_duration_seconds_sum{outcome=\"done\",form=\"draft\"}", 3);
    sample_is(metrics, "ragline_answer_duration_seconds_sum{outcome=\"done\",form=\"ask\"}", 0);
    stage_is(metrics, "search_work", "docs", "dense", 0.012); // retrievers have worked for it
    metrics_destroy(&metrics);
}

static void what_fails_is_counted_by_code(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    metrics_count_failure(metrics, FAILURE_UPSTREAM, "llm_timeout");
    metrics_count_failure(metrics, FAILURE_DENSE, "index_gone");
    metrics_count_failure(metrics, FAILURE_GENERATOR, "evil\"} 7\n");
    sample_is(metrics, "ragline_upstream_errors_total{code=\"llm_timeout\"}", 1);
    sample_is(metrics, "ragline_task_failures_total{kind=\"dense\",code=\"index_gone\"}", 1);
    sample_is(metrics, "ragline_task_failures_total{kind=\"generator\",code=\"other\"}", 1);
    metrics_destroy(&metrics);
}

static size_t lines_of(const char *text)
{
    size_t out = 0;
    for (; *text; text++)
        out += *text == '\n';
    return out;
}

// However many collections and models are named, the number of series stays.
static void names_from_outside_are_bounded(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    size_t after[2];
    for (int round = 0; round < 2; round++) {
        for (int at = 0; at < 100; at++) {
            char name[32];
            snprintf(name, sizeof name, "%s-%d", round ? "more" : "collection", at);
            timeline_t timeline = whole();
            timeline.collection = timeline.model = spans[2].collection = spans[3].collection = name;
            metrics_answer(metrics, &timeline);
        }
        char *text = text_of(metrics, NULL);
        after[round] = lines_of(text);
        free(text);
    }
    assert_int_equal(after[0], after[1]);
    stage_is(metrics, "merge", "collection-0", "", 0.001);
    stage_is(metrics, "merge", "other", "", 0.001 * (200 - METRICS_MAX_VALUES));
    assert_string_equal(metrics_collection(metrics, "yet another"), "other");
    metrics_destroy(&metrics);
}

static void values_of_labels_are_escaped(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    timeline_t timeline = timeline_of("a\"b\\c\nd", REQUEST_DONE);
    enter(&timeline, REQUEST_MERGING, 0);
    enter(&timeline, REQUEST_DONE, 1 * MS);
    metrics_answer(metrics, &timeline);
    stage_is(metrics, "merge", "a\\\"b\\\\c\\nd", "", 0.001);
    metrics_destroy(&metrics);
}

static void long_names_are_cut_between_characters(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    char name[200] = "x";
    for (int at = 0; at < 60; at++)
        strcat(name, "é");
    const char *cut = metrics_collection(metrics, name);
    assert_int_equal(strlen(cut), 63); // x and 31 of two bytes; half a character more would be 64
    assert_ptr_equal(metrics_collection(metrics, name), cut);
    metrics_destroy(&metrics);
}

static void a_label_that_does_not_fit_is_left_out(void **state)
{
    (void)state;
    char labels[METRICS_TEXT_MAX_LABELS] = "", long_value[METRICS_TEXT_MAX_LABELS];
    memset(long_value, '"', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = 0;
    metrics_text_label(labels, "a", "1");
    metrics_text_label(labels, "b", long_value);
    metrics_text_label(labels, "c", "3");
    assert_string_equal(labels, "a=\"1\",c=\"3\"");
}

static void openmetrics_has_exemplars_and_an_end(void **state)
{
    (void)state;
    metrics_t *metrics = metrics_new();
    timeline_t timeline = whole();
    metrics_answer(metrics, &timeline);
    char *plain = text_of(metrics, "text/plain"),
         *open = text_of(metrics, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert_null(strstr(plain, "trace_id"));
    assert_null(strstr(plain, "# EOF"));
    assert_non_null(strstr(plain, "# TYPE ragline_questions_total counter\n"));
    assert_non_null(strstr(open, "# TYPE ragline_questions counter\n"));
    assert_non_null(strstr(open, "\nragline_questions_total 0\n"));
    assert_non_null(strstr(open, "ragline_time_to_first_token_seconds_bucket{form=\"ask\","
                                 "le=\"1.0\"} 1 # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} "
                                 "1 1700000003.000000\n"));
    assert_string_equal(open + strlen(open) - 6, "# EOF\n");
    free(plain);
    free(open);
    // a trace that is not kept is no example
    timeline_t quiet = whole();
    quiet.sampled = false;
    metrics_destroy(&metrics);
    metrics = metrics_new();
    metrics_answer(metrics, &quiet);
    open = text_of(metrics, "application/openmetrics-text");
    assert_null(strstr(open, "trace_id"));
    free(open);
    metrics_destroy(&metrics);
}

static void the_process_is_told_as_the_kernel_sees_it(void **state)
{
    (void)state;
    metrics_text_t text = metrics_text_make(NULL);
    metrics_process_write(&text);
    FILE *held = fopen("/dev/null", "r");
    metrics_text_t more = metrics_text_make(NULL);
    metrics_process_write(&more);
    fclose(held);
    double before = value(text.out.data, "process_open_fds");
    assert_true(before >= 3);
    assert_true(value(more.out.data, "process_open_fds") == before + 1);
    assert_true(value(text.out.data, "process_max_fds") >= before);
    assert_true(value(text.out.data, "process_cpu_seconds_total") >= 0);
    assert_true(value(text.out.data, "process_resident_memory_bytes") > 100000);
    assert_true(value(text.out.data, "process_virtual_memory_bytes") >
                value(text.out.data, "process_resident_memory_bytes"));
    double started = value(text.out.data, "process_start_time_seconds"), now = (double)time(NULL);
    assert_true(started <= now + 2 && started > now - 3600);
    metrics_text_free(&text);
    metrics_text_free(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stage_gets_its_time),
        cmocka_unit_test(a_stage_counts_once_an_answer),
        cmocka_unit_test(times_are_from_the_first_byte),
        cmocka_unit_test(buckets_hold_what_is_at_most_their_bound),
        cmocka_unit_test(outcomes_sources_and_tokens_are_counted),
        cmocka_unit_test(a_cancelled_search_is_nobodys_fault),
        cmocka_unit_test(a_draft_is_no_question),
        cmocka_unit_test(what_fails_is_counted_by_code),
        cmocka_unit_test(names_from_outside_are_bounded),
        cmocka_unit_test(values_of_labels_are_escaped),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(a_label_that_does_not_fit_is_left_out),
        cmocka_unit_test(openmetrics_has_exemplars_and_an_end),
        cmocka_unit_test(the_process_is_told_as_the_kernel_sees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
