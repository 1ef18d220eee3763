// hits: passages that are counted, and the cache of them: by key, and by vector.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hits.h"
#include "hits_help.h"

enum {
    LONG_US = 1000000000
};

static hits_cache_t *cache_of(size_t bytes)
{
    hits_cache_t *cache = hits_cache_new();
    hits_cache_resize(cache, bytes, LONG_US);
    return cache;
}

static void put(hits_cache_t *cache, const char *key, const char *rest, float x, float y)
{
    hits_t *hits = help_hits(key);
    snprintf(hits->rest, sizeof hits->rest, "%s", rest);
    hits->dimension = 2;
    hits->vector = malloc(2 * sizeof *hits->vector);
    assert_non_null(hits->vector);
    hits->vector[0] = x;
    hits->vector[1] = y;
    hits_cache_put(cache, key, hits);
    hits_drop(&hits);
}

// The text of the passage that is found, "" if none is; the reference is dropped.
static const char *text_of(hits_t *hits)
{
    static char text[64];
    snprintf(text, sizeof text, "%s", hits ? hits->passages[0].passage->text : "");
    hits_drop(&hits);
    assert_null(hits);
    return text;
}

static const char *near(hits_cache_t *cache, const char *rest, float x, float y, double threshold)
{
    const float vector[] = {x, y};
    return text_of(hits_cache_near(cache, rest, vector, 2, threshold));
}

static void references_are_counted(void **state)
{
    (void)state;
    hits_t *one = help_hits("the passage"), *two = hits_keep(one), *none = NULL;
    assert_ptr_equal(one, two);
    hits_drop(&one);
    assert_null(one);
    assert_string_equal(two->passages[0].passage->text, "the passage");
    hits_drop(&two);
    hits_drop(&none);
}

static void what_is_dropped_from_the_cache_stays_with_those_who_have_it(void **state)
{
    (void)state;
    hits_cache_t *cache = cache_of(1 << 20);
    hits_t *hits = help_hits("first");
    assert_true(hits_cost(hits) > sizeof *hits + strlen("first"));
    hits_cache_put(cache, "key", hits);
    hits_drop(&hits);
    hits_t *had = hits_cache_find(cache, "key");
    hits = help_hits("second");
    hits_cache_put(cache, "key", hits); // in its place
    hits_drop(&hits);
    assert_string_equal(text_of(hits_cache_find(cache, "key")), "second");
    hits_cache_resize(cache, 0, LONG_US);
    assert_null(hits_cache_find(cache, "key"));
    assert_int_equal(hits_cache_counts(cache)->size, 0);
    hits_cache_destroy(&cache);
    assert_null(cache);
    assert_string_equal(had->passages[0].passage->text, "first");
    hits_drop(&had);
}

static void the_cache_is_bounded_by_bytes(void **state)
{
    (void)state;
    hits_t *hits = help_hits("passage");
    size_t one = hits_cost(hits);
    hits_cache_t *cache = cache_of(3 * one);
    hits_cache_put(cache, "1", hits);
    hits_cache_put(cache, "2", hits);
    hits_cache_put(cache, "3", hits);
    hits_cache_put(cache, "4", hits);
    hits_drop(&hits);
    assert_int_equal(hits_cache_counts(cache)->cost, 3 * one);
    assert_null(hits_cache_find(cache, "1"));
    assert_string_equal(text_of(hits_cache_find(cache, "4")), "passage");
    hits_cache_destroy(&cache);
}

static void the_nearest_is_found(void **state)
{
    (void)state;
    hits_cache_t *cache = cache_of(1 << 20);
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
    assert_null(hits_cache_near(cache, "rest", longer, 3, 0.1));
    hits_t *wordless = help_hits("without a vector");
    snprintf(wordless->rest, sizeof wordless->rest, "rest");
    hits_cache_put(cache, "words", wordless);
    hits_drop(&wordless);
    assert_string_equal(near(cache, "rest", 1, 0, 0.9), "east");
    hits_cache_destroy(&cache);
}

static void only_so_many_are_looked_at(void **state)
{
    (void)state;
    hits_cache_t *cache = cache_of(64 << 20);
    put(cache, "east", "rest", 1, 0);
    for (int at = 0; at < 999; at++) {
        char key[16];
        snprintf(key, sizeof key, "%d", at);
        put(cache, key, "rest", 0, 1);
    }
    assert_string_equal(near(cache, "rest", 1, 0, 0.9), "east"); // the 1,000th
    put(cache, "999", "rest", 0, 1);
    assert_string_equal(near(cache, "rest", 1, 0, 0.9), "");
    assert_string_equal(text_of(hits_cache_find(cache, "east")), "east"); // the first again
    assert_string_equal(near(cache, "rest", 1, 0, 0.9), "east");
    hits_cache_destroy(&cache);
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
