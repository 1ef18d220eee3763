// The cache of embeddings: what is put in comes out, also after a crash in the middle of a record.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "retriever_help.h"
#include "vector_cache.h"

enum {
    MANY = 3000,
    DIMENSION = 5
};

static char why[300];

static vector_key_t key_of(size_t number)
{
    char text[32];
    int size = snprintf(text, sizeof text, "text %zu", number);
    return vector_key("model", text, (size_t)size);
}

static vector_cache_t *open_cache(const char *path)
{
    vector_cache_t *cache = vector_cache_new(path, why, sizeof why);
    if (!cache)
        fail_msg("%s", why);
    return cache;
}

static void put(vector_cache_t *cache, size_t number)
{
    vector_key_t key = key_of(number);
    float vector[DIMENSION] = {(float)number, 1, 2, 3, 4};
    assert_int_equal(vector_cache_put(cache, &key, vector, DIMENSION, why, sizeof why), 0);
}

static bool has(vector_cache_t *cache, size_t number)
{
    vector_key_t key = key_of(number);
    size_t dimension = 0;
    const float *vector = vector_cache_get(cache, &key, &dimension, why, sizeof why);
    if (!vector)
        return false;
    assert_int_equal(dimension, DIMENSION);
    assert_true(vector[0] == (float)number && vector[4] == 4);
    return true;
}

static void keys_tell_models_and_texts_apart(void **state)
{
    (void)state;
    vector_key_t a = vector_key("m", "text", 4), b = vector_key("m", "text", 4),
                 c = vector_key("mt", "ext", 3), d = vector_key("m2", "text", 4);
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_not_equal(&a, &c, sizeof a);
    assert_memory_not_equal(&a, &d, sizeof a);
}

static void what_is_put_in_comes_out(void **state)
{
    (void)state;
    const char *folder = help_folder(), *path = help_path(folder, "cache");
    vector_cache_t *cache = open_cache(path);
    for (size_t i = 0; i < MANY; i++)
        put(cache, i);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(vector_cache_size(cache), MANY);
        for (size_t i = 0; i < MANY; i++)
            assert_true(has(cache, i));
        assert_false(has(cache, MANY));
        vector_cache_destroy(&cache);
        cache = open_cache(path);
    }
    vector_cache_destroy(&cache);
    help_remove(folder);
}

static void states_of_a_key(void **state)
{
    (void)state;
    const char *folder = help_folder();
    vector_cache_t *cache = open_cache(help_path(folder, "cache"));
    vector_key_t key = key_of(1);
    assert_false(has(cache, 1));
    assert_int_equal(vector_cache_want(cache, &key), VECTOR_NONE);
    assert_int_equal(vector_cache_want(cache, &key), VECTOR_WANTED);
    assert_int_equal(vector_cache_dimension(cache), 0);
    assert_true(vector_cache_take(cache, &key));
    assert_false(vector_cache_take(cache, &key));
    put(cache, 1);
    assert_int_equal(vector_cache_dimension(cache), DIMENSION);
    assert_int_equal(vector_cache_want(cache, &key), VECTOR_THERE);
    assert_false(vector_cache_take(cache, &key));
    vector_cache_destroy(&cache);
    help_remove(folder);
}

static void a_torn_tail_is_cut_off_wherever_it_tears(void **state)
{
    (void)state;
    const char *folder = help_folder(), *path = help_path(folder, "cache");
    vector_cache_t *cache = open_cache(path);
    for (size_t i = 0; i < 4; i++)
        put(cache, i);
    vector_cache_destroy(&cache);
    long whole = help_size(path), record = 24 + DIMENSION * 4;
    assert_int_equal(whole, 8 + 4 * record);
    for (long size = whole - 1; size >= 0; size--) {
        help_cut(path, size);
        cache = open_cache(path);
        size_t left = size < 8 ? 0 : (size_t)((size - 8) / record);
        assert_int_equal(vector_cache_size(cache), left);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(has(cache, i), i < left);
        put(cache, 3); // and it goes on from there
        vector_cache_destroy(&cache);
        cache = open_cache(path);
        assert_true(has(cache, 3));
        assert_int_equal(vector_cache_size(cache), left + (left < 4));
        vector_cache_destroy(&cache);
        help_cut(path, 8 + (long)left * record);
    }
    help_remove(folder);
}

static void spoilt_bytes_are_never_a_vector(void **state)
{
    (void)state;
    const char *folder = help_folder(), *path = help_path(folder, "cache");
    vector_cache_t *cache = open_cache(path);
    long record = 24 + DIMENSION * 4;
    for (long at = 8; at < 8 + record; at++) {
        help_cut(path, 8);
        vector_cache_destroy(&cache);
        cache = open_cache(path);
        put(cache, 1);
        put(cache, 2);
        vector_cache_destroy(&cache);
        help_spoil(path, at, "\xa5");
        cache = open_cache(path);
        assert_false(has(cache, 1)); // a byte of the first: it goes, and only it
        assert_true(has(cache, 2));
        assert_int_equal(vector_cache_size(cache), 1);
    }
    put(cache, 3);
    vector_key_t key = key_of(2);
    assert_int_equal(vector_cache_want(cache, &key), VECTOR_THERE);
    assert_int_equal(vector_cache_prune(cache, why, sizeof why), 0);
    assert_int_equal(help_size(path), 8 + record); // what is spoilt goes with what is not wanted
    assert_true(has(cache, 2));
    vector_cache_destroy(&cache);
    help_spoil(path, 0, "GIF89a");
    assert_null(vector_cache_new(path, why, sizeof why));
    assert_non_null(strstr(why, "remove it"));
    help_remove(folder);
}

static void pruning_keeps_what_is_wanted(void **state)
{
    (void)state;
    const char *folder = help_folder(), *path = help_path(folder, "cache");
    vector_cache_t *cache = open_cache(path);
    for (size_t i = 0; i < 100; i++)
        put(cache, i);
    vector_cache_destroy(&cache);
    cache = open_cache(path);
    for (size_t i = 0; i < 100; i += 3) {
        vector_key_t key = key_of(i);
        assert_int_equal(vector_cache_want(cache, &key), VECTOR_THERE);
    }
    assert_int_equal(vector_cache_prune(cache, why, sizeof why), 0);
    for (size_t i = 0; i < 100; i += 3)
        assert_true(has(cache, i));
    vector_cache_destroy(&cache);
    cache = open_cache(path);
    assert_int_equal(vector_cache_size(cache), 34);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(has(cache, i), i % 3 == 0);
    vector_cache_destroy(&cache);
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_tell_models_and_texts_apart),
        cmocka_unit_test(what_is_put_in_comes_out),
        cmocka_unit_test(states_of_a_key),
        cmocka_unit_test(a_torn_tail_is_cut_off_wherever_it_tears),
        cmocka_unit_test(spoilt_bytes_are_never_a_vector),
        cmocka_unit_test(pruning_keeps_what_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
