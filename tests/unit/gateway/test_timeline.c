// Unit tests of timeline and traces: the path to the first token, what it would be without a
// stage, the JSON, the ids.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "timeline.h"
#include "traces.h"

static const uint64_t T0 = 1000000;

static timeline_t *make(void)
{
    return timeline_new("req_1", T0, NULL);
}

static span_t *add_search(timeline_t *timeline, kind_t kind, uint64_t shard, uint64_t start,
                          uint64_t queue, uint64_t work, uint64_t network)
{
    span_t *span =
        timeline_add(timeline, STAGE_SEARCH_WORK, T0 + start, T0 + start + queue + work + network);
    span->collection = "docs";
    span->kind = kind;
    span->shard = shard;
    span->queue_us = queue;
    span->work_us = work;
    span->worker = timeline_text(timeline, "retriever-1");
    return span;
}

// 2 ms received; searching to 60: embedding 3 to 23, dense 23 to 60 (5 queue, 30 work, 2 network),
// lexical 3 to 13; merged to 61; waited to 65; generating to 165: 1, 2, 0, 1, 90, and 6 on the way.
static timeline_t *typical(void)
{
    timeline_t *timeline = make();
    timeline_enter(timeline, REQUEST_SEARCHING, T0 + 2000);
    timeline_add(timeline, STAGE_EMBED, T0 + 3000, T0 + 23000)->detail = "server";
    add_search(timeline, KIND_DENSE, 0, 23000, 5000, 30000, 2000);
    add_search(timeline, KIND_LEXICAL, 0, 3000, 1000, 8000, 1000);
    timeline_enter(timeline, REQUEST_MERGING, T0 + 60000);
    timeline_enter(timeline, REQUEST_WAITING, T0 + 61000);
    timeline_enter(timeline, REQUEST_GENERATING, T0 + 65000);
    timeline_enter(timeline, REQUEST_STREAMING, T0 + 165000);
    timeline->first_token_us = 165000;
    timeline_add(timeline, STAGE_GENERATOR_QUEUE, T0 + 65000, T0 + 66000);
    timeline_add(timeline, STAGE_PROMPT, T0 + 66000, T0 + 68000);
    timeline_add(timeline, STAGE_CONNECT, T0 + 68000, T0 + 68000);
    timeline_add(timeline, STAGE_SEND, T0 + 68000, T0 + 69000);
    timeline_add(timeline, STAGE_PREFILL, T0 + 69000, T0 + 159000);
    timeline_add(timeline, STAGE_TOKENS, T0 + 159000, T0 + 900000);
    timeline_enter(timeline, REQUEST_DONE, T0 + 905000);
    return timeline;
}

static uint64_t sum_of(const path_step_t *path, size_t size)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < size; at++) {
        assert_int_equal(path[at].start_us, sum);
        sum += path[at].took_us;
    }
    return sum;
}

static void the_path_is_what_was_waited_for(void **state)
{
    static const struct {
        stage_t stage;
        uint64_t took, without;
    } expected[] = {
        {STAGE_RECEIVE, 2000, 163000},
        {STAGE_PLAN, 1000, 164000},
        {STAGE_EMBED, 20000, 145000},
        {STAGE_SEARCH_QUEUE, 5000, 160000},
        {STAGE_SEARCH_WORK, 30000, 135000},
        {STAGE_SEARCH_NETWORK, 2000, 163000},
        {STAGE_MERGE, 1000, 164000},
        {STAGE_WAIT, 4000, 161000},
        {STAGE_GENERATOR_QUEUE, 1000, 164000},
        {STAGE_PROMPT, 2000, 163000},
        {STAGE_SEND, 1000, 164000},
        {STAGE_PREFILL, 90000, 75000},
        {STAGE_RELAY, 6000, 159000},
    };
    (void)state;
    timeline_t *timeline = typical();
    path_step_t path[TIMELINE_MAX_PATH];
    size_t size = timeline_path(timeline, path);
    assert_int_equal(size, sizeof expected / sizeof *expected);
    for (size_t at = 0; at < size; at++) {
        assert_string_equal(stage_names[path[at].stage], stage_names[expected[at].stage]);
        assert_int_equal(path[at].took_us, expected[at].took);
        assert_int_equal(path[at].without_us, expected[at].without);
    }
    assert_int_equal(sum_of(path, size), 165000);
    timeline_destroy(&timeline);
}

static const path_step_t *step_of(const path_step_t *path, size_t size, stage_t stage)
{
    for (size_t at = 0; at < size; at++)
        if (path[at].stage == stage)
            return &path[at];
    return NULL;
}

// Without the slow search the next slowest would have been waited for.
static void without_one_search_another_is_last(void **state)
{
    (void)state;
    timeline_t *timeline = make();
    path_step_t path[TIMELINE_MAX_PATH];
    timeline_enter(timeline, REQUEST_SEARCHING, T0);
    add_search(timeline, KIND_LEXICAL, 0, 0, 0, 100000, 0);
    add_search(timeline, KIND_LEXICAL, 1, 0, 0, 1000, 79000);
    timeline_enter(timeline, REQUEST_MERGING, T0 + 100000);
    timeline_enter(timeline, REQUEST_DONE, T0 + 100500);
    size_t size = timeline_path(timeline, path);
    assert_int_equal(sum_of(path, size), 100500);
    const path_step_t *work = step_of(path, size, STAGE_SEARCH_WORK);
    assert_non_null(work);
    assert_int_equal(work->span->shard, 0);
    assert_int_equal(work->took_us, 100000);
    assert_int_equal(work->without_us, 79500); // the other's way takes as long
    timeline_destroy(&timeline);
}

static void sources_that_did_not_answer_are_waited_for(void **state)
{
    (void)state;
    timeline_t *timeline = make();
    path_step_t path[TIMELINE_MAX_PATH];
    timeline_enter(timeline, REQUEST_SEARCHING, T0);
    add_search(timeline, KIND_LEXICAL, 0, 0, 0, 4000, 0);
    add_search(timeline, KIND_LEXICAL, 1, 0, 0, 0, 500000)->missing = "late";
    timeline_enter(timeline, REQUEST_MERGING, T0 + 500000);
    timeline_enter(timeline, REQUEST_DONE, T0 + 501000);
    size_t size = timeline_path(timeline, path);
    assert_int_equal(step_of(path, size, STAGE_MISSING)->took_us, 500000);
    assert_int_equal(step_of(path, size, STAGE_MISSING)->without_us, 5000);
    assert_int_equal(sum_of(path, size), 501000);
    timeline_destroy(&timeline);
}

static void a_failed_embedding_alone(void **state)
{
    (void)state;
    timeline_t *timeline = make();
    path_step_t path[TIMELINE_MAX_PATH];
    timeline_enter(timeline, REQUEST_SEARCHING, T0);
    timeline_add(timeline, STAGE_EMBED, T0, T0 + 90000);
    add_search(timeline, KIND_LEXICAL, 0, 0, 0, 4000, 0);
    add_search(timeline, KIND_DENSE, 0, 90000, 0, 0, 0)->missing = "no vector";
    timeline_enter(timeline, REQUEST_MERGING, T0 + 90100);
    timeline_enter(timeline, REQUEST_DONE, T0 + 91000);
    size_t size = timeline_path(timeline, path);
    assert_int_equal(step_of(path, size, STAGE_EMBED)->took_us, 90000);
    assert_int_equal(step_of(path, size, STAGE_EMBED)->without_us, 5000);
    assert_int_equal(sum_of(path, size), 91000);
    timeline_destroy(&timeline);
}

static void lost_generators_come_before_the_one_that_wrote(void **state)
{
    (void)state;
    timeline_t *timeline = make();
    path_step_t path[TIMELINE_MAX_PATH];
    timeline_enter(timeline, REQUEST_WAITING, T0);
    timeline_enter(timeline, REQUEST_GENERATING, T0 + 1000);
    timeline_enter(timeline, REQUEST_WAITING, T0 + 21000);
    timeline_enter(timeline, REQUEST_GENERATING, T0 + 22000);
    timeline_enter(timeline, REQUEST_STREAMING, T0 + 50000);
    timeline->first_token_us = 50000;
    timeline_add(timeline, STAGE_GENERATE_LOST, T0 + 1000, T0 + 21000);
    timeline_add(timeline, STAGE_PREFILL, T0 + 22000, T0 + 49000);
    timeline_enter(timeline, REQUEST_DONE, T0 + 60000);
    size_t size = timeline_path(timeline, path);
    assert_int_equal(step_of(path, size, STAGE_GENERATE_LOST)->took_us, 20000);
    assert_int_equal(step_of(path, size, STAGE_PREFILL)->took_us, 27000);
    assert_int_equal(step_of(path, size, STAGE_RELAY)->took_us, 1000);
    assert_int_equal(sum_of(path, size), 50000);
    timeline_destroy(&timeline);
}

// Whatever workers say, the steps make up the time to the first token.
static void whatever_comes_the_path_adds_up(void **state)
{
    (void)state;
    srandom(7);
    for (int round = 0; round < 2000; round++) {
        timeline_t *timeline = make();
        path_step_t path[TIMELINE_MAX_PATH];
        uint64_t at = T0;
        for (int step = 0; step < random() % 80; step++)
            timeline_enter(timeline, (request_state_t)(random() % REQUEST_DONE),
                           at += (uint64_t)random() % 1000);
        for (int span = 0; span < random() % 12; span++) {
            uint64_t from = T0 + (uint64_t)random() % 60000;
            span_t *added = timeline_add(timeline, (stage_t)(random() % STAGES), from,
                                         from + (uint64_t)random() % 60000);
            if (random() % 2) {
                added->collection = "docs";
                added->queue_us = (uint64_t)random() % (random() % 4 ? 1000 : UINT32_MAX);
                added->work_us = (uint64_t)random() % (random() % 4 ? 1000 : UINT32_MAX);
                added->missing = random() % 4 ? NULL : "gone";
                added->kind = random() % 2 ? KIND_DENSE : KIND_LEXICAL;
            }
        }
        if (random() % 2)
            timeline->first_token_us = (at - T0) / 2 + 1;
        timeline_enter(timeline, REQUEST_DONE, at + 5);
        if (timeline->steps[timeline->steps_size - 1].state != REQUEST_DONE)
            timeline->end_us = at + 5 - T0;
        size_t size = timeline_path(timeline, path);
        uint64_t until = timeline->first_token_us ? timeline->first_token_us : timeline->end_us;
        assert_int_equal(sum_of(path, size), until);
        for (size_t each = 0; each < size; each++)
            assert_true(path[each].without_us <= until);
        rl_buf_t out = rl_buf_make(1 << 20);
        timeline_write(timeline, &out);
        json_t *json = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        json_decref(json);
        rl_buf_free(&out);
        timeline_destroy(&timeline);
    }
}

static double number_at(const json_t *json, const char *name)
{
    return json_number_value(json_object_get(json, name));
}

static void as_json(void **state)
{
    (void)state;
    timeline_t *timeline = typical();
    rl_buf_t out = rl_buf_make(1 << 20);
    timeline_write(timeline, &out);
    json_t *json = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_true(number_at(json, "total_ms") == 905);
    assert_true(number_at(json, "first_token_ms") == 165);
    assert_true(number_at(json, "unattributed_ms") == 0);
    const json_t *states = json_object_get(json, "states"), *each;
    double sum = 0;
    size_t at;
    assert_int_equal(json_array_size(states), 6);
    json_array_foreach(states, at, each) sum += number_at(each, "ms");
    assert_true(sum == 905);
    const json_t *search = json_array_get(json_object_get(json, "spans"), 1);
    assert_string_equal(json_string_value(json_object_get(search, "stage")), "search");
    assert_string_equal(json_string_value(json_object_get(search, "source")), "docs/0/dense");
    assert_true(number_at(search, "network_ms") == 2 && number_at(search, "work_ms") == 30);
    assert_int_equal(json_array_size(json_object_get(json, "critical_path")), 13);
    json_decref(json);
    rl_buf_clear(&out);
    timeline_write_header(timeline, &out);
    assert_string_equal(out.data,
                        "receive;dur=2.000, plan;dur=1.000, embed;dur=20.000, "
                        "search_network;dur=2.000, search_queue;dur=5.000, search_work;dur=30.000, "
                        "merge;dur=1.000, wait;dur=4.000, generator_queue;dur=1.000, "
                        "prompt;dur=2.000, send;dur=1.000, prefill;dur=90.000, relay;dur=6.000, "
                        "total;dur=905.000");
    rl_buf_free(&out);
    timeline_destroy(&timeline);
}

static void trace_context(void **state)
{
    static const char good[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    static const char *const bad[] = {
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    };
    (void)state;
    timeline_t *timeline = timeline_new("req_1", T0, good);
    assert_string_equal(timeline->trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_string_equal(timeline->parent_id, "b7ad6b7169203331");
    assert_true(timeline->sampled);
    assert_int_equal(strlen(timeline->span_id), 16);
    timeline_destroy(&timeline);
    for (size_t at = 0; at < sizeof bad / sizeof *bad; at++) {
        timeline = timeline_new("req_1", T0, bad[at]);
        assert_string_equal(timeline->parent_id, "");
        assert_int_equal(strlen(timeline->trace_id), 32);
        timeline_destroy(&timeline);
    }
}

static void keep(traces_t *traces, const char *id)
{
    timeline_t *timeline = timeline_new(id, T0, NULL);
    timeline_enter(timeline, REQUEST_DONE, T0 + 5);
    traces_keep(traces, &timeline);
    assert_null(timeline);
}

static void the_last_are_kept(void **state)
{
    (void)state;
    traces_t *traces = traces_new(3);
    for (int at = 0; at < 5; at++) {
        char id[16];
        snprintf(id, sizeof id, "req_%d", at);
        keep(traces, id);
    }
    assert_int_equal(traces_size(traces), 3);
    assert_string_equal(traces_at(traces, 0)->id, "req_4");
    assert_string_equal(traces_at(traces, 2)->id, "req_2");
    traces_resize(traces, 2);
    assert_string_equal(traces_at(traces, 1)->id, "req_3");
    traces_resize(traces, 4);
    keep(traces, "req_5");
    assert_int_equal(traces_size(traces), 3);
    assert_string_equal(traces_at(traces, 0)->id, "req_5");
    assert_string_equal(traces_at(traces, 2)->id, "req_3");
    traces_resize(traces, 0);
    keep(traces, "req_6");
    assert_int_equal(traces_size(traces), 0);
    traces_destroy(&traces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_path_is_what_was_waited_for),
        cmocka_unit_test(without_one_search_another_is_last),
        cmocka_unit_test(sources_that_did_not_answer_are_waited_for),
        cmocka_unit_test(a_failed_embedding_alone),
        cmocka_unit_test(lost_generators_come_before_the_one_that_wrote),
        cmocka_unit_test(whatever_comes_the_path_adds_up),
        cmocka_unit_test(as_json),
        cmocka_unit_test(trace_context),
        cmocka_unit_test(the_last_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
