// passage_set: passages that are counted, and the cache of them: by key, and by vector.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "passage_cache.h"
#include "passage_set_help.h"

enum {
    LONG_US = 1000000000
};

static lru_t *cache_of(size_t bytes)
{
    lru_t *cache = passage_cache_new();
    lru_resize(cache, bytes, LONG_US);
    return cache;
}

static void put(lru_t *cache, const char *key, const char *rest, float x, float y)
{
    passage_set_t *set = help_passage_set(key);
    snprintf(set->rest, sizeof set->rest, "%s", rest);
    set->dimension = 2;
    set->vector = malloc(2 * sizeof *set->vector);
    assert_non_null(set->vector);
    set->vector[0] = x;
    set->vector[1] = y;
    passage_cache_put(cache, key, set);
    passage_set_unref(&set);
}

// The text of the passage that is found, "" if none is; the reference is dropped.
static const char *text_of(passage_set_t *set)
{
    static char text[64];
    snprintf(text, sizeof text, "%s", set ? set->passages[0].passage->text : "");
    passage_set_unref(&set);
    assert_null(set);
    return text;
}

static const char *near(lru_t *cache, const char *rest, float x, float y, double threshold)
{
    const float vector[] = {x, y};
    return text_of(passage_cache_find_near(cache, rest, vector, 2, threshold));
}

static void references_are_counted(void **state)
{
    (void)state;
    passage_set_t *one = help_passage_set("the passage"), *two = passage_set_ref(one), *none = NULL;
    assert_ptr_equal(one, two);
    passage_set_unref(&one);
    assert_null(one);
    assert_string_equal(two->passages[0].passage->text, "the passage");
    passage_set_unref(&two);
    passage_set_unref(&none);
}

static void what_is_dropped_from_the_cache_stays_with_those_who_have_it(void **state)
{
    (void)state;
    lru_t *cache = cache_of(1 << 20);
    passage_set_t *set = help_passage_set("first");
    assert_true(passage_set_cost(set) > sizeof *set + strlen("first"));
    passage_cache_put(cache, "key", set);
    passage_set_unref(&set);
    passage_set_t *had = passage_cache_find(cache, "key");
    set = help_passage_set("second");
    passage_cache_put(cache, "key", set); // in its place
    passage_set_unref(&set);
    assert_string_equal(text_of(passage_cache_find(cache, "key")), "second");
    lru_resize(cache, 0, LONG_US);
    assert_null(passage_cache_find(cache, "key"));
    assert_int_equal(lru_counts(cache)->size, 0);
    lru_destroy(&cache);
    assert_null(cache);
    assert_string_equal(had->passages[0].passage->text, "first");
    passage_set_unref(&had);
}

static void the_cache_is_bounded_by_bytes(void **state)
{
    (void)state;
    passage_set_t *set = help_passage_set("passage");
    size_t one = passage_set_cost(set);
    lru_t *cache = cache_of(3 * one);
    passage_cache_put(cache, "1", set);
    passage_cache_put(cache, "2", set);
    passage_cache_put(cache, "3", set);
    passage_cache_put(cache, "4", set);
    passage_set_unref(&set);
    assert_int_equal(lru_counts(cache)->cost, 3 * one);
    assert_null(passage_cache_find(cache, "1"));
    assert_string_equal(text_of(passage_cache_find(cache, "4")), "passage");
    lru_destroy(&cache);
}

static void the_nearest_is_found(void **state)
{
    (void)state;
    lru_t *cache = cache_of(1 << 20);
    put(cache, "east", "rest", 1, 0);
    put(cache, "north", "rest", 0, 1);
    put(cache, "nearly east", "rest", 0.8f, 0.6f);
    put(cache, "of others", "other rest", 1, 0);
    assert_string_equal(near(cache, "rest", 1, 0, 0.9), "east");
    assert_string_equal(near(cache, "rest", 0.6f, 0.8f, 0.9), "nearly east");
    assert_string_equal(near(cache, "rest", 0.6f, 0.8f, 0.97), "");
    assert_string_equal(near(cache, "rest", -1, 0, 0.1), "");
    assert_string_equal(near(cache, "other rest", 0.6f, 0.8f, 0.5), "of others");
    assert_string_equal(near(cache, "no rest", 1, 0, 0.1), "");
    const float longer[] = {1, 0, 0};
    assert_null(passage_cache_find_near(cache, "rest", longer, 3, 0.1));
    passage_set_t *wordless = help_passage_set("without a vector");
    snprintf(wordless->rest, sizeof wordless->rest, "rest");
    passage_cache_put(cache, "words", wordless);
    passage_set_unref(&wordless);
    assert_string_equal(near(cache, "rest", 1, 0, 0.9), "east");
    lru_destroy(&cache);
}

static void only_so_many_are_looked_at(void **state)
{
    (void)state;
    lru_t *cache = cache_of(64 << 20);
    put(cache, "east", "rest", 1, 0);
    for (int at = 0; at < 999; at++) {
        char key[16];
        snprintf(key, sizeof key, "%d", at);
        put(cache, key, "rest", 0, 1);
    }
    assert_string_equal(near(cache, "rest", 1, 0, 0.9), "east"); // the 1,000th
    put(cache, "999", "rest", 0, 1);
    assert_string_equal(near(cache, "rest", 1, 0, 0.9), "");
    assert_string_equal(text_of(passage_cache_find(cache, "east")), "east"); // the first again
    assert_string_equal(near(cache, "rest", 1, 0, 0.9), "east");
    lru_destroy(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_counted),
        cmocka_unit_test(what_is_dropped_from_the_cache_stays_with_those_who_have_it),
        cmocka_unit_test(the_cache_is_bounded_by_bytes),
        cmocka_unit_test(the_nearest_is_found),
        cmocka_unit_test(only_so_many_are_looked_at),
    };
    return cmocka_run_group_tests_name("hits", tests, NULL, NULL);
}
