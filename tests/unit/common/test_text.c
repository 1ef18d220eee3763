// buf and utf8: bounds, JSON strings, characters in pieces.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "buf.h"
#include "utf8.h"

static void a_buffer_never_grows_past_its_bound(void **state)
{
    (void)state;
    rl_buf_t buf = rl_buf_make(10);
    assert_int_equal(rl_buf_adds(&buf, "12345"), 0);
    assert_int_equal(rl_buf_adds(&buf, "67890"), 0);
    assert_int_equal(rl_buf_adds(&buf, "x"), -1);
    assert_true(buf.full);
    assert_string_equal(buf.data, "1234567890");
    rl_buf_clear(&buf);
    assert_int_equal(rl_buf_addf(&buf, "%d", 12345), 0);
    assert_int_equal(rl_buf_addf(&buf, "%s", "123456"), -1);
    rl_buf_free(&buf);
}

static void json_strings_are_read_back_the_same(void **state)
{
    (void)state;
    char text[128];
    for (int at = 1; at < 128; at++)
        text[at - 1] = (char)at;
    text[127] = '\0';
    rl_buf_t buf = rl_buf_make(4096);
    rl_buf_add_json(&buf, text, 127);
    json_t *back = json_loads(buf.data, JSON_DECODE_ANY, NULL);
    assert_string_equal(json_string_value(back), text);
    json_decref(back);
    rl_buf_free(&buf);
}

static void dropping_and_taking(void **state)
{
    (void)state;
    rl_buf_t buf = rl_buf_make(100);
    rl_buf_adds(&buf, "hello world");
    rl_buf_drop(&buf, 6);
    assert_string_equal(buf.data, "world");
    char *taken = rl_buf_take(&buf);
    assert_string_equal(taken, "world");
    assert_int_equal(buf.size, 0);
    free(taken);
}

static void valid(const char *text, bool expected)
{
    assert_int_equal(rl_utf8_valid(text, strlen(text)), expected);
}

static void utf8_is_told_from_what_only_looks_like_it(void **state)
{
    (void)state;
    valid("", true);
    valid("plain", true);
    valid("Grüße 東京 🎉", true);
    valid("\xc0\x80", false);         // overlong NUL
    valid("\xe0\x80\xaf", false);     // overlong
    valid("\xed\xa0\x80", false);     // surrogate
    valid("\xf4\x90\x80\x80", false); // above U+10FFFF
    valid("\xff", false);
    valid("a\xe6\x9d", false); // cut short
    assert_false(rl_utf8_valid("a\0b", 3));
}

static void characters_in_pieces_are_held_back(void **state)
{
    (void)state;
    const char *text = "aü東🎉";
    for (size_t size = 0; size <= strlen(text); size++) {
        size_t whole = rl_utf8_whole(text, size);
        assert_true(whole <= size && size - whole <= 3);
        assert_true(rl_utf8_valid(text, whole));
    }
    assert_int_equal(rl_utf8_whole("abc", 3), 3);
    assert_int_equal(rl_utf8_whole("a\xff", 2), 2); // never becomes valid: not waited for
    assert_int_equal(rl_utf8_whole("\x80\x80\x80\x80", 4), 4);
}

static void repaired_text_is_valid(void **state)
{
    (void)state;
    size_t size;
    char *fixed = rl_utf8_repair("a\xff"
                                 "b\xe6\x9d"
                                 "c\0d",
                                 8, &size);
    assert_true(rl_utf8_valid(fixed, size));
    assert_string_equal(fixed, "a\xef\xbf\xbd"
                               "b\xef\xbf\xbd\xef\xbf\xbd"
                               "c\xef\xbf\xbd"
                               "d");
    free(fixed);
    assert_int_equal(rl_utf8_length("aü東🎉", strlen("aü東🎉")), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_never_grows_past_its_bound),
        cmocka_unit_test(json_strings_are_read_back_the_same),
        cmocka_unit_test(dropping_and_taking),
        cmocka_unit_test(utf8_is_told_from_what_only_looks_like_it),
        cmocka_unit_test(characters_in_pieces_are_held_back),
        cmocka_unit_test(repaired_text_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
