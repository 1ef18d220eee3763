// Spans of an answer: read back by a JSON parser, they are a tree of the right names, ids, times
// and attributes.
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "otlp_spans.h"
#include "timeline_help.h"
#include "trace_context.h"

static const otlp_about_t about = {
    .embed = {.model = "mini-embed", .address = "10.0.0.8", .port = 8082},
    .llm = {.model = "tiny-llm", .address = "llm.example", .port = 443},
};

// The spans as a JSON array, which the caller owns.
static json_t *spans_of(const timeline_t *timeline)
{
    rl_buf_t out = rl_buf_make(1 << 20);
    json_error_t error;
    rl_buf_adds(&out, "[");
    size_t count = otlp_write_spans(timeline, &about, &out);
    rl_buf_adds(&out, "]");
    assert_false(out.full);
    json_t *spans = json_loadb(out.data, out.size, JSON_REJECT_DUPLICATES, &error);
    if (!spans)
        fail_msg("%s at %d of %s", error.text, error.position, out.data);
    assert_int_equal(json_array_size(spans), count);
    rl_buf_free(&out);
    return spans;
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

static json_t *by_name(const json_t *spans, const char *name, size_t nth)
{
    size_t at;
    json_t *span;
    json_array_foreach(spans, at, span)
    {
        if (strcmp(text(span, "name"), name) == 0 && nth-- == 0)
            return span;
    }
    return NULL;
}

static json_t *need(const json_t *spans, const char *name, size_t nth)
{
    json_t *span = by_name(spans, name, nth);
    if (!span)
        fail_msg("no span %s (%zu)", name, nth);
    return span;
}

static unsigned long long ns(const json_t *span, const char *name)
{
    return strtoull(text(span, name), NULL, 10);
}

// From the question's first byte, in µs.
static unsigned long long start_us(const json_t *span)
{
    return ns(span, "startTimeUnixNano") / 1000 - (unsigned long long)MADE_WALL_US;
}

static unsigned long long end_us(const json_t *span)
{
    return ns(span, "endTimeUnixNano") / 1000 - (unsigned long long)MADE_WALL_US;
}

static void takes(const json_t *spans, const char *name, size_t nth, unsigned from_us,
                  unsigned to_us)
{
    const json_t *span = need(spans, name, nth);
    assert_int_equal(start_us(span), from_us);
    assert_int_equal(end_us(span), to_us);
}

static void is_child(const json_t *spans, const char *child, size_t nth, const char *parent,
                     size_t parents_nth)
{
    assert_string_equal(text(need(spans, child, nth), "parentSpanId"),
                        text(need(spans, parent, parents_nth), "spanId"));
}

// The value of an attribute, {"stringValue":…} and so on.
static const json_t *attribute(const json_t *span, const char *key)
{
    size_t at;
    const json_t *one, *found = NULL;
    json_array_foreach(json_object_get(span, "attributes"), at, one)
    {
        if (strcmp(text(one, "key"), key) == 0) {
            assert_null(found); // once only
            found = json_object_get(one, "value");
        }
    }
    return found;
}

static const char *word(const json_t *span, const char *key)
{
    return text(attribute(span, key), "stringValue");
}

static const char *number(const json_t *span, const char *key)
{
    return text(attribute(span, key), "intValue"); // 64 bits are text
}

static long long kind(const json_t *span)
{
    return json_integer_value(json_object_get(span, "kind"));
}

// What holds for any answer: one trace, ids of their form that differ, children inside the answer.
static void is_sound(const json_t *spans)
{
    size_t at, other;
    const json_t *span, *more, *root = json_array_get(spans, 0);
    json_array_foreach(spans, at, span)
    {
        const char *id = text(span, "spanId");
        bool found = at == 0;
        assert_int_equal(strspn(id, "0123456789abcdef"), 16);
        assert_string_equal(text(span, "traceId"), text(root, "traceId"));
        assert_true(start_us(span) <= end_us(span));
        assert_true(start_us(span) >= start_us(root) && end_us(span) <= end_us(root));
        json_array_foreach(spans, other, more)
        {
            if (other != at)
                assert_string_not_equal(id, text(more, "spanId"));
            found = found || strcmp(text(span, "parentSpanId"), text(more, "spanId")) == 0;
        }
        assert_true(found);
    }
}

static void an_answer_is_a_tree(void **state)
{
    (void)state;
    timeline_t *timeline = make_timeline("00-" MADE_TRACE "-" MADE_PARENT "-01");
    json_t *spans = spans_of(timeline);
    const json_t *root = json_array_get(spans, 0);
    is_sound(spans);
    assert_int_equal(json_array_size(spans), 19);
    assert_string_equal(text(root, "name"), "POST /v1/chat/completions");
    assert_string_equal(text(root, "traceId"), MADE_TRACE);
    assert_string_equal(text(root, "parentSpanId"), MADE_PARENT);
    assert_string_equal(text(root, "spanId"), timeline->span_id);
    assert_int_equal(kind(root), 2);
    assert_int_equal(json_integer_value(json_object_get(root, "flags")), 0x301);
    takes(spans, "POST /v1/chat/completions", 0, 0, 500000);
    takes(spans, "retrieval docs", 0, 1000, 41000);
    takes(spans, "embeddings mini-embed", 0, 1100, 21100);
    takes(spans, "search lexical", 0, 1200, 9200);
    takes(spans, "queue", 0, 1200, 2000);
    takes(spans, "work", 0, 2000, 6000);
    takes(spans, "search dense", 0, 21200, 39200);
    takes(spans, "merge", 0, 41000, 43000);
    takes(spans, "wait", 0, 43000, 45000);
    takes(spans, "generation", 0, 44900, 500000);
    takes(spans, "generator_queue", 0, 44900, 47900);
    takes(spans, "prompt", 0, 47900, 49900);
    takes(spans, "chat tiny-llm", 0, 49900, 494900);
    takes(spans, "prefill", 0, 51400, 143900);
    takes(spans, "tokens", 0, 143900, 494900);
    is_child(spans, "embeddings mini-embed", 0, "retrieval docs", 0);
    is_child(spans, "search dense", 0, "retrieval docs", 0);
    is_child(spans, "queue", 0, "search lexical", 0);
    is_child(spans, "work", 1, "search dense", 0);
    is_child(spans, "merge", 0, "POST /v1/chat/completions", 0);
    is_child(spans, "prompt", 0, "generation", 0);
    is_child(spans, "chat tiny-llm", 0, "generation", 0);
    is_child(spans, "connect", 0, "chat tiny-llm", 0);
    is_child(spans, "tokens", 0, "chat tiny-llm", 0);
    json_decref(spans);
    timeline_destroy(&timeline);
}

static void its_attributes_are_the_conventions(void **state)
{
    (void)state;
    timeline_t *timeline = make_timeline(NULL);
    json_t *spans = spans_of(timeline);
    const json_t *root = json_array_get(spans, 0), *chat = need(spans, "chat tiny-llm", 0),
                 *embed = need(spans, "embeddings mini-embed", 0),
                 *search = need(spans, "search dense", 0);
    assert_null(json_object_get(root, "parentSpanId"));
    assert_null(json_object_get(root, "status"));
    assert_string_equal(word(root, "http.route"), "/v1/chat/completions");
    assert_string_equal(word(root, "ragline.answer"), "answer-1");
    assert_string_equal(word(root, "ragline.caller"), "alice \"a\"");
    assert_string_equal(number(root, "ragline.sources.answered"), "2");
    assert_int_equal(kind(chat), 3);
    assert_string_equal(word(chat, "gen_ai.operation.name"), "chat");
    assert_string_equal(word(chat, "gen_ai.provider.name"), "openai");
    assert_string_equal(word(chat, "gen_ai.request.model"), "tiny-llm");
    assert_string_equal(word(chat, "gen_ai.response.model"), "tiny-llm");
    assert_string_equal(word(chat, "server.address"), "::1");
    assert_string_equal(number(chat, "server.port"), "8081");
    assert_string_equal(number(chat, "gen_ai.usage.input_tokens"), "300");
    assert_string_equal(number(chat, "gen_ai.usage.output_tokens"), "41");
    assert_string_equal(number(chat, "gen_ai.usage.cache_read.input_tokens"), "120");
    const json_t *reasons = json_object_get(
        json_object_get(attribute(chat, "gen_ai.response.finish_reasons"), "arrayValue"), "values");
    assert_int_equal(json_array_size(reasons), 1);
    assert_string_equal(text(json_array_get(reasons, 0), "stringValue"), "stop");
    const json_t *first = attribute(chat, "gen_ai.response.time_to_first_chunk");
    assert_float_equal(json_real_value(json_object_get(first, "doubleValue")), 0.094, 1e-9);
    assert_int_equal(kind(embed), 3);
    assert_string_equal(word(embed, "gen_ai.operation.name"), "embeddings");
    assert_string_equal(word(embed, "gen_ai.request.model"), "mini-embed");
    assert_string_equal(word(embed, "server.address"), "10.0.0.8");
    assert_string_equal(number(embed, "server.port"), "8082");
    assert_string_equal(word(search, "ragline.worker"), "dense-1");
    assert_string_equal(number(search, "ragline.shard"), "1");
    const json_t *events = json_object_get(root, "events");
    assert_int_equal(json_array_size(events), 3);
    assert_string_equal(text(json_array_get(events, 2), "name"), "ragline.first_token");
    assert_int_equal(ns(json_array_get(events, 2), "timeUnixNano") / 1000 -
                         (unsigned long long)MADE_WALL_US,
                     145000);
    json_decref(spans);
    timeline_destroy(&timeline);
}

static void ids_are_those_that_the_servers_were_told(void **state)
{
    (void)state;
    timeline_t *timeline = make_timeline_retried();
    json_t *spans = spans_of(timeline);
    char id[17];
    is_sound(spans);
    trace_span_id(timeline->span_id, TRACE_EMBED, 0, id);
    assert_string_equal(text(need(spans, "embeddings mini-embed", 0), "spanId"), id);
    for (unsigned nth = 0; nth < 2; nth++) {
        trace_span_id(timeline->span_id, TRACE_CHAT, nth, id);
        assert_string_equal(text(need(spans, "chat tiny-llm", nth), "spanId"), id);
    }
    json_decref(spans);
    timeline_destroy(&timeline);
}

static void a_lost_generator_is_an_error_of_its_own_span(void **state)
{
    (void)state;
    timeline_t *timeline = make_timeline_retried();
    json_t *spans = spans_of(timeline);
    const json_t *lost = need(spans, "generation", 0), *good = need(spans, "generation", 1);
    takes(spans, "generation", 0, 45000, 55000);
    takes(spans, "generation", 1, 55900, 500000);
    assert_string_equal(word(lost, "ragline.worker"), "generator-1");
    assert_string_equal(word(good, "ragline.worker"), "generator-2");
    assert_string_equal(word(lost, "error.type"), "generator_lost");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(lost, "status"), "code")),
                     2);
    assert_null(json_object_get(good, "status"));
    assert_null(json_object_get(json_array_get(spans, 0), "status"));
    assert_null(attribute(need(spans, "chat tiny-llm", 0), "gen_ai.usage.output_tokens"));
    assert_string_equal(number(need(spans, "chat tiny-llm", 1), "gen_ai.usage.output_tokens"),
                        "41");
    assert_string_equal(number(json_array_get(spans, 0), "ragline.retries"), "1");
    json_decref(spans);
    timeline_destroy(&timeline);
}

static void a_failed_answer_says_what_failed(void **state)
{
    (void)state;
    timeline_t *timeline = make_timeline_failed();
    json_t *spans = spans_of(timeline);
    static const char *const names[] = {"POST /v1/chat/completions", "retrieval docs"};
    is_sound(spans);
    assert_int_equal(json_array_size(spans), 3);
    for (size_t at = 0; at < 2; at++) {
        const json_t *span = need(spans, names[at], 0), *status = json_object_get(span, "status");
        assert_int_equal(json_integer_value(json_object_get(status, "code")), 2);
        assert_string_equal(text(status, "message"), "timeout");
        assert_string_equal(word(span, "error.type"), "timeout");
    }
    const json_t *search = need(spans, "search lexical", 0);
    assert_string_equal(word(search, "error.type"), "source_missing");
    assert_string_equal(text(json_object_get(search, "status"), "message"),
                        "no answer within 80 ms");
    json_decref(spans);
    timeline_destroy(&timeline);
}

static void a_cache_or_an_extract_is_no_call(void **state)
{
    (void)state;
    timeline_t *timeline = make_timeline(NULL);
    timeline->spans[0].detail = "cache";
    timeline->cache = "shared";
    timeline->upstream = "extractive";
    json_t *spans = spans_of(timeline);
    assert_int_equal(kind(need(spans, "embeddings mini-embed", 0)), 1);
    assert_null(attribute(need(spans, "embeddings mini-embed", 0), "server.address"));
    assert_string_equal(word(need(spans, "embeddings mini-embed", 0), "ragline.cache"), "cache");
    assert_string_equal(word(need(spans, "retrieval docs", 0), "ragline.cache"), "shared");
    assert_int_equal(kind(need(spans, "chat tiny-llm", 0)), 1);
    assert_string_equal(word(need(spans, "chat tiny-llm", 0), "gen_ai.provider.name"), "ragline");
    json_decref(spans);
    timeline_destroy(&timeline);
}

static void names_from_outside_become_good_json(void **state)
{
    (void)state;
    timeline_t *timeline = make_timeline(NULL);
    timeline->model = "m\"\\\n\x01\xff";
    timeline->caller = "\xc3\xa9\xe2\x82";
    json_t *spans = spans_of(timeline);
    is_sound(spans);
    assert_non_null(by_name(spans, "chat m\"\\\n\x01\xef\xbf\xbd", 0));
    json_decref(spans);
    timeline_destroy(&timeline);
}

static void the_most_spans_do_not_overflow_ids(void **state)
{
    (void)state;
    timeline_t *timeline = make_timeline(NULL);
    while (timeline->spans_lost == 0) {
        span_t *span = timeline_add(timeline, STAGE_SEARCH_WORK, MADE_RECEIVED_US + 2000,
                                    MADE_RECEIVED_US + 3000);
        if (!span)
            break;
        *span = (span_t){.stage = STAGE_SEARCH_WORK,
                         .start_us = 2000,
                         .took_us = 1000,
                         .worker = "w",
                         .collection = "docs",
                         .queue_us = 1,
                         .work_us = 2};
    }
    json_t *spans = spans_of(timeline);
    is_sound(spans);
    assert_true(json_array_size(spans) > 3 * 1000);
    json_decref(spans);
    timeline_destroy(&timeline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_a_tree),
        cmocka_unit_test(its_attributes_are_the_conventions),
        cmocka_unit_test(ids_are_those_that_the_servers_were_told),
        cmocka_unit_test(a_lost_generator_is_an_error_of_its_own_span),
        cmocka_unit_test(a_failed_answer_says_what_failed),
        cmocka_unit_test(a_cache_or_an_extract_is_no_call),
        cmocka_unit_test(names_from_outside_become_good_json),
        cmocka_unit_test(the_most_spans_do_not_overflow_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
