// lru: what is kept, in which order it goes, and keys of parts.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lru.h"

static int freed[16]; // times, by value

static void count_freed(void *value)
{
    freed[*(int *)value]++;
    free(value);
}

static int reset(void **state)
{
    (void)state;
    memset(freed, 0, sizeof freed);
    return 0;
}

static void *value(int number)
{
    int *it = malloc(sizeof *it);
    assert_non_null(it);
    *it = number;
    return it;
}

static int found(lru_t *lru, const char *key, uint64_t now)
{
    const int *it = lru_find(lru, key, now);
    return it ? *it : -1;
}

// The values in their order, as digits.
static bool note(void *arg, void *each)
{
    char *order = arg;
    size_t size = strlen(order);
    order[size] = (char)('0' + *(int *)each);
    order[size + 1] = '\0';
    return size + 1 < 4;
}

static const char *order_of(lru_t *lru, uint64_t now)
{
    static char order[16];
    *order = '\0';
    lru_each(lru, now, note, order);
    return order;
}

static void keeps_what_was_used_last(void **state)
{
    (void)state;
    lru_t *lru = lru_new(3, 1000, count_freed);
    lru_put(lru, "a", value(1), 1, 0);
    lru_put(lru, "b", value(2), 1, 0);
    lru_put(lru, "c", value(3), 1, 0);
    assert_int_equal(found(lru, "a", 1), 1);
    assert_string_equal(order_of(lru, 1), "132");
    lru_put(lru, "d", value(4), 1, 0);
    assert_int_equal(found(lru, "b", 1), -1);
    assert_int_equal(freed[2], 1);
    lru_put(lru, "e", value(5), 3, 0); // makes room for itself
    assert_string_equal(order_of(lru, 1), "5");
    assert_int_equal(lru_counts(lru)->size, 1);
    assert_int_equal(lru_counts(lru)->cost, 3);
    assert_int_equal(lru_counts(lru)->dropped, 4);
    assert_int_equal(lru_counts(lru)->hits, 1);
    assert_int_equal(lru_counts(lru)->misses, 1);
    lru_destroy(&lru);
    assert_null(lru);
    for (int at = 1; at <= 5; at++)
        assert_int_equal(freed[at], 1);
}

static void a_key_has_one_value(void **state)
{
    (void)state;
    lru_t *lru = lru_new(10, 1000, count_freed);
    lru_put(lru, "a", value(1), 4, 0);
    lru_put(lru, "a", value(2), 5, 0);
    assert_int_equal(freed[1], 1);
    assert_int_equal(found(lru, "a", 1), 2);
    assert_int_equal(lru_counts(lru)->cost, 5);
    lru_put(lru, "a", value(3), 11, 0); // too large: what was there is gone all the same
    assert_int_equal(freed[3], 1);
    assert_int_equal(found(lru, "a", 1), -1);
    lru_drop(lru, "a");
    assert_int_equal(lru_counts(lru)->size, 0);
    lru_destroy(&lru);
}

static void what_is_too_old_is_gone(void **state)
{
    (void)state;
    lru_t *lru = lru_new(10, 100, count_freed);
    lru_put(lru, "a", value(1), 1, 1000);
    lru_put(lru, "b", value(2), 1, 1050);
    assert_int_equal(found(lru, "a", 900), 1); // a clock that goes back
    assert_int_equal(found(lru, "a", 1100), 1);
    assert_string_equal(order_of(lru, 1101), "2");
    assert_int_equal(freed[1], 0);
    assert_int_equal(found(lru, "a", 1101), -1);
    assert_int_equal(freed[1], 1);
    lru_renew(lru, "b", 1, 1140);
    assert_int_equal(found(lru, "b", 1240), 2);
    assert_int_equal(found(lru, "b", 1241), -1);
    lru_destroy(&lru);
}

static void costs_and_bounds_can_change(void **state)
{
    (void)state;
    lru_t *lru = lru_new(10, 100, count_freed);
    lru_put(lru, "a", value(1), 1, 0);
    lru_put(lru, "b", value(2), 1, 0);
    lru_put(lru, "c", value(3), 1, 0);
    lru_renew(lru, "a", 9, 0);
    assert_string_equal(order_of(lru, 0), "13"); // b was used longest ago
    assert_int_equal(lru_counts(lru)->cost, 10);
    lru_renew(lru, "a", 2, 0);
    assert_int_equal(lru_counts(lru)->cost, 3);
    lru_renew(lru, "nobody", 5, 0);
    assert_int_equal(lru_counts(lru)->cost, 3);
    lru_renew(lru, "a", 11, 0); // more than all may cost
    assert_int_equal(lru_counts(lru)->size, 0);
    lru_put(lru, "a", value(4), 1, 0);
    lru_resize(lru, 0, 100);
    assert_int_equal(freed[4], 1);
    lru_put(lru, "a", value(5), 0, 0); // even what costs nothing
    assert_int_equal(freed[5], 1);
    assert_int_equal(found(lru, "a", 0), -1);
    lru_destroy(&lru);
}

static void keys_tell_parts_apart(void **state)
{
    (void)state;
    static const char *const lists[][3] = {{"ab", "c", ""}, {"a", "bc", ""}, {"abc", "", ""},
                                           {"", "ab", "c"}, {"ab", "", "c"}, {"2:ab", "c", ""},
                                           {"a", "b", "c"}, {"1:", "a", ""}, {"", "1:a", ""}};
    enum {
        LISTS = sizeof lists / sizeof *lists
    };
    char keys[LISTS + 1][LRU_KEY];
    for (size_t at = 0; at < LISTS; at++)
        lru_key(keys[at], lists[at], 3);
    lru_key(keys[LISTS], lists[0], 2); // fewer
    for (size_t at = 0; at <= LISTS; at++) {
        assert_int_equal(strlen(keys[at]), LRU_KEY - 1);
        for (size_t other = 0; other < at; other++)
            assert_string_not_equal(keys[at], keys[other]);
    }
    char again[LRU_KEY];
    lru_key(again, lists[3], 3);
    assert_string_equal(again, keys[3]);
    // printf '\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c' | sha256sum
    assert_string_equal(keys[LISTS],
                        "43ee655579de01ca739b3f95c1c2d3f46d353b2c0df818064ea594506cdb2617");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keeps_what_was_used_last, reset),
        cmocka_unit_test_setup(a_key_has_one_value, reset),
        cmocka_unit_test_setup(what_is_too_old_is_gone, reset),
        cmocka_unit_test_setup(costs_and_bounds_can_change, reset),
        cmocka_unit_test_setup(keys_tell_parts_apart, reset),
    };
    return cmocka_run_group_tests_name("lru", tests, NULL, NULL);
}
