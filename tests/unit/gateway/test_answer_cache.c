// answer_cache: answers are copies that outlive what they were made from, and each other; no more
// bytes and no older than may be.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "answer_cache.h"

static const uint64_t LONG_US = 60000000;

static cached_answer_t *answer_of(const char *text)
{
    answer_citation_t citations[] = {{.passage = 1, .end = 3, .score = 0.5}};
    answer_t answer = {.text = rl_buf_make(1 << 20),
                       .citations = citations,
                       .citations_size = 1,
                       .finish = (char *)"stop",
                       .model = (char *)"small",
                       .upstream = (char *)"openai",
                       .completion_tokens = 2};
    passage_set_t *set = passage_set_new(NULL, 0, 4);
    uint32_t *ends = malloc(2 * sizeof *ends);
    assert_non_null(ends);
    rl_buf_adds(&answer.text, text);
    ends[0] = 1;
    ends[1] = (uint32_t)answer.text.size;
    cached_answer_t *kept = cached_answer_new(&answer, set, ends, 2);
    rl_buf_free(&answer.text);
    passage_set_unref(&set);
    return kept;
}

static void what_is_found_outlives_the_cache(void **state)
{
    (void)state;
    lru_t *cache = answer_cache_new();
    assert_false(lru_is_on(cache));
    lru_resize(cache, 100000, LONG_US);
    assert_true(lru_is_on(cache));
    assert_null(answer_cache_find(cache, "a"));
    answer_cache_put(cache, "a", answer_of("yes"));
    cached_answer_t *found = answer_cache_find(cache, "a");
    assert_non_null(found);
    lru_clear(cache);
    assert_null(answer_cache_find(cache, "a"));
    assert_true(lru_is_on(cache));
    lru_destroy(&cache);
    assert_null(cache);
    assert_int_equal(found->text_size, 3);
    assert_memory_equal(found->text, "yes", 3);
    assert_int_equal(found->ends_size, 2);
    assert_int_equal(found->ends[1], 3);
    assert_int_equal(found->citations[0].passage, 1);
    assert_string_equal(found->finish, "stop");
    assert_int_equal(found->passage_set->of, 4);
    cached_answer_unref(&found);
    assert_null(found);
}

static void it_keeps_no_more_than_it_may(void **state)
{
    (void)state;
    lru_t *cache = answer_cache_new();
    answer_cache_put(cache, "none", answer_of("off"));
    assert_int_equal(lru_counts(cache)->size, 0);
    lru_resize(cache, 10000, LONG_US);
    char key[] = "a", *text = calloc(1, 20001);
    assert_non_null(text);
    for (; *key <= 'z'; ++*key) {
        answer_cache_put(cache, key, answer_of("some words"));
        assert_true(lru_counts(cache)->cost <= 10000);
    }
    cached_answer_t *last = answer_cache_find(cache, "z");
    assert_non_null(last);
    assert_null(answer_cache_find(cache, "a"));
    cached_answer_unref(&last);
    memset(text, 'x', 20000);
    answer_cache_put(cache, "large", answer_of(text));
    assert_null(answer_cache_find(cache, "large"));
    free(text);
    lru_resize(cache, 0, LONG_US);
    assert_int_equal(lru_counts(cache)->size, 0);
    lru_destroy(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_outlives_the_cache),
        cmocka_unit_test(it_keeps_no_more_than_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
