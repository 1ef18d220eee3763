// What LLM servers send: chunks, whole answers, errors, and JSON with characters cut in two.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "openai_chunk.h"
#include "openai_finish.h"

static openai_chunk_t read_chunk(const char *json)
{
    openai_chunk_t chunk;
    const char *why = "";
    if (openai_chunk_read(&chunk, json, strlen(json), &why) != 0)
        fail_msg("%s: %s", json, why);
    return chunk;
}

static void check_text(const char *json, const char *expected)
{
    openai_chunk_t chunk = read_chunk(json);
    assert_int_equal(chunk.text_size, strlen(expected));
    assert_memory_equal(chunk.text, expected, chunk.text_size);
    openai_chunk_free(&chunk);
}

static void check_bad(const char *json, size_t size)
{
    openai_chunk_t chunk;
    const char *why = "";
    assert_int_equal(openai_chunk_read(&chunk, json, size, &why), -1);
    assert_true(*why);
    openai_chunk_free(&chunk);
}

static void words_come_from_deltas_and_messages(void **state)
{
    (void)state;
    check_text("{\"choices\":[{\"delta\":{\"content\":\" words\"}}]}", " words");
    check_text("{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"all\"}}]}", "all");
    check_text("{\"choices\":[{\"delta\":{\"content\":\"\\ud83e\\uddc0\"}}]}", "\xf0\x9f\xa7\x80");
}

static void what_says_nothing_is_no_error(void **state)
{
    (void)state;
    static const char *const quiet[] = {
        "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}",
        "{\"choices\":[{\"delta\":{}}]}",
        "{\"choices\":[]}",
        "{\"choices\":[{}]}",
        "{\"choices\":[{\"delta\":{\"content\":17}}]}",
        "{\"choices\":[null]}",
        "{\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}",
        "{\"usage\":{\"prompt_tokens\":1}}",
    };
    for (size_t at = 0; at < sizeof quiet / sizeof *quiet; at++) {
        openai_chunk_t chunk = read_chunk(quiet[at]);
        assert_int_equal(chunk.text_size, 0);
        assert_null(chunk.finish);
        assert_null(chunk.error);
        openai_chunk_free(&chunk);
    }
}

static void parts_are_words_thoughts_or_a_refusal(void **state)
{
    (void)state;
    check_text("{\"choices\":[{\"delta\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
               "{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]},"
               "{\"type\":\"text\",\"text\":\"b\"},\"c\"]}}]}",
               "abc");
    openai_chunk_t chunk = read_chunk(
        "{\"choices\":[{\"delta\":{\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"},"
        "{\"type\":\"thinking\",\"thinking\":\"hm\"}]}}]}");
    assert_string_equal(chunk.refusal, "no");
    assert_true(chunk.reasoning);
    assert_int_equal(chunk.text_size, 0);
    openai_chunk_free(&chunk);
}

static void a_finish_reason_is_told_in_openais_names(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"stop", "stop"},
        {"end_turn", "stop"},
        {"MAX_TOKENS", "length"},
        {"Safety", "content_filter"},
        {"tool_use", "tool_calls"},
        {"abort", "error"},
        {"whatever", "stop"},
        {"null", NULL},
        {"None", NULL},
        {"", NULL},
    };
    for (size_t at = 0; at < sizeof pairs / sizeof *pairs; at++) {
        const char *means = openai_finish(pairs[at][0]);
        assert_int_equal(means == NULL, pairs[at][1] == NULL);
        if (means)
            assert_string_equal(means, pairs[at][1]);
    }
}

static void thoughts_are_told_from_words(void **state)
{
    (void)state;
    openai_chunk_t chunk = read_chunk("{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}");
    assert_true(chunk.reasoning);
    assert_null(chunk.text);
    openai_chunk_free(&chunk);
    chunk =
        read_chunk("{\"choices\":[{\"delta\":{\"reasoning_content\":\"\",\"content\":\"a\"}}]}");
    assert_false(chunk.reasoning);
    openai_chunk_free(&chunk);
}

static void the_end_says_what_it_cost(void **state)
{
    (void)state;
    openai_chunk_t chunk =
        read_chunk("{\"choices\":[{\"finish_reason\":\"length\",\"delta\":{}}],\"model\":\"m\","
                   "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,"
                   "\"prompt_tokens_details\":{\"cached_tokens\":4}},"
                   "\"timings\":{\"cache_n\":5,\"prompt_ms\":1.5}}");
    assert_string_equal(chunk.finish, "length");
    assert_string_equal(chunk.model, "m");
    assert_true(chunk.counted);
    assert_int_equal(chunk.prompt_tokens, 9);
    assert_int_equal(chunk.completion_tokens, 3);
    assert_int_equal(chunk.cached_tokens, 5);
    assert_true(chunk.prefill_ms == 1.5);
    openai_chunk_free(&chunk);
    chunk = read_chunk("{\"choices\":[],\"usage\":{\"prompt_tokens\":-9}}");
    assert_int_equal(chunk.prompt_tokens, 0);
    assert_int_equal(chunk.cached_tokens, -1);
    openai_chunk_free(&chunk);
}

static void errors_are_read_in_their_forms(void **state)
{
    (void)state;
    openai_chunk_t chunk = read_chunk("{\"error\":{\"message\":\"no\",\"code\":503}}");
    assert_string_equal(chunk.error, "no");
    assert_int_equal(chunk.error_code, 503);
    openai_chunk_free(&chunk);
    chunk = read_chunk("{\"error\":\"plain\"}");
    assert_string_equal(chunk.error, "plain");
    openai_chunk_free(&chunk);
    chunk = read_chunk("{\"error\":{}}");
    assert_non_null(chunk.error);
    openai_chunk_free(&chunk);
}

static void bytes_of_a_cut_character_come_through(void **state)
{
    (void)state;
    check_text("{\"choices\":[{\"delta\":{\"content\":\"a\xe2\x82\"}}]}", "a\xe2\x82");
    check_text("{\"choices\":[{\"delta\":{\"content\":\"\xac \\\\ud83d \\\" b\"}}]}",
               "\xac \\ud83d \" b");
    check_text("{\"choices\":[{\"delta\":{\"content\":\"\x80\xbf\xc0\xff\"}}]}",
               "\x80\xbf\xc0\xff");
    check_text("{\"choices\":[{\"delta\":{\"content\":\"\\ud83d x\"}}]}", "\xef\xbf\xbd x");
    check_text("{\"choices\":[{\"delta\":{\"content\":\"\\uddc0\"}}]}", "\xef\xbf\xbd");
    openai_chunk_t chunk = read_chunk("{\"choices\":[{\"delta\":{\"content\":\"a\\u0000b\"}}]}");
    assert_int_equal(chunk.text_size, 3);
    openai_chunk_free(&chunk);
}

static void what_is_no_answer_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "17",
                                      "{\"a\":1}",
                                      "null",
                                      "{\"choices\":{}}",
                                      "{\"choices\":[}",
                                      "\xff\xfe",
                                      "{\"choices\":[{\"delta\":{\"content\":\"\xe2"};
    for (size_t at = 0; at < sizeof bad / sizeof *bad; at++)
        check_bad(bad[at], strlen(bad[at]));
    static const char whole[] =
        "{\"choices\":[{\"delta\":{\"content\":\"words \\u00e9 \xc3\xa9\"}}]}";
    for (size_t size = 0; size < sizeof whole - 1; size++)
        check_bad(whole, size); // cut anywhere
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_come_from_deltas_and_messages),
        cmocka_unit_test(what_says_nothing_is_no_error),
        cmocka_unit_test(thoughts_are_told_from_words),
        cmocka_unit_test(parts_are_words_thoughts_or_a_refusal),
        cmocka_unit_test(a_finish_reason_is_told_in_openais_names),
        cmocka_unit_test(the_end_says_what_it_cost),
        cmocka_unit_test(errors_are_read_in_their_forms),
        cmocka_unit_test(bytes_of_a_cut_character_come_through),
        cmocka_unit_test(what_is_no_answer_is_refused),
    };
    return cmocka_run_group_tests_name("openai_chunk", tests, NULL, NULL);
}
