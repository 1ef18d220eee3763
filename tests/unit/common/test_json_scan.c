// JSON in one pass: what jansson takes is taken with the same meaning, what it refuses is refused.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "json_scan.h"

static bool is_json(const char *text, size_t size)
{
    rl_scan_t scan = rl_scan_make(text, size);
    return rl_scan_skip(&scan) && rl_scan_ends(&scan);
}

static bool jansson_takes(const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, JSON_DECODE_ANY, NULL);
    json_decref(root);
    return root != NULL;
}

static void valid_documents_pass_and_others_do_not(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "{}",
        "[]",
        "[[],{}]",
        " [ 1 , 2 ] ",
        "{\"a\":1,\"b\":[true]}",
        "\"x\"",
        "null",
        "true",
        "-0.5e-3",
        "[1,]",
        "{\"a\":}",
        "{\"a\" 1}",
        "{a:1}",
        "[1 2]",
        "{\"a\":1,}",
        "",
        " ",
        "nul",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "1e+",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u0041\"",
        "\"a",
        "\"a\\\"",
        "\"tab\there\"",
        "[",
        "{",
        "}",
        "[}",
        "{\"a\":[}]",
        "1 1",
        "[1]]",
        "\"a\"b",
        "NaN",
        "[-]",
        "- 1",
        "[0,00]",
        "{\"a\":\"b\"}x",
        "{\"\":0}",
    };
    for (size_t at = 0; at < sizeof documents / sizeof *documents; at++) {
        const char *text = documents[at];
        if (is_json(text, strlen(text)) != jansson_takes(text, strlen(text)))
            fail_msg("%s: %d", text, is_json(text, strlen(text)));
    }
}

static void documents_cut_anywhere_are_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,-2.5e3,\"\\u00e9\\n\",true,null,{\"b\":{}}],\"c\":\"d\"}";
    assert_true(is_json(text, sizeof text - 1));
    for (size_t size = 0; size < sizeof text - 1; size++)
        assert_false(is_json(text, size));
}

static void nesting_has_an_end(void **state)
{
    (void)state;
    char text[2000];
    memset(text, '[', sizeof text);
    assert_false(is_json(text, sizeof text));
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_true(is_json(text, 128));
}

static void check_number(const char *text)
{
    rl_scan_t scan = rl_scan_make(text, strlen(text));
    double number = 0, expected = strtod(text, NULL);
    if (!rl_scan_number(&scan, &number) || !rl_scan_ends(&scan) ||
        fabs(number - expected) > fabs(expected) * 4e-16)
        fail_msg("%s: %.17g", text, number);
}

static void numbers_are_what_strtod_says(void **state)
{
    (void)state;
    static const char *const numbers[] = {
        "0",
        "-0",
        "7",
        "-12.5",
        "0.0250021",
        "1e3",
        "1E-3",
        "2.5e+10",
        "1e22",
        "1e23",
        "1e-300",
        "5e-324",
        "1.7976931348623157e308",
        "0.1",
        "123456789012345678901234567890",
        "0.000000000000000000000000000001",
        "-0.013427734375",
        "9007199254740993",
        "12345678901234567890",
    };
    for (size_t at = 0; at < sizeof numbers / sizeof *numbers; at++)
        check_number(numbers[at]);
    for (unsigned seed = 1; seed < 20000; seed++) {
        char text[64];
        double value = ((double)(seed * 2654435761u) / 4294967296.0 - 0.5) * pow(10, seed % 7);
        snprintf(text, sizeof text, "%.*g", 1 + (int)(seed % 17), value);
        check_number(text);
    }
    double number;
    rl_scan_t scan = rl_scan_make("1e999", 5);
    assert_false(rl_scan_number(&scan, &number));
}

static void check_string(const char *json)
{
    rl_scan_t scan = rl_scan_make(json, strlen(json));
    const char *raw;
    size_t size;
    char out[256];
    json_t *expected = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_true(rl_scan_string(&scan, &raw, &size));
    long length = rl_scan_unescape(raw, size, out);
    if (!expected || memchr(json_string_value(expected), 0, json_string_length(expected))) {
        assert_int_equal(length, -1);
    } else {
        assert_int_equal(length, json_string_length(expected));
        assert_memory_equal(out, json_string_value(expected), (size_t)length + 1);
    }
    json_decref(expected);
}

static void escapes_are_resolved(void **state)
{
    (void)state;
    check_string("\"\"");
    check_string("\"plain words\"");
    check_string("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"");
    check_string("\"\\u0041\\u00e9\\u20AC\\ud83e\\uddc0!\"");
    check_string("\"caf\xc3\xa9 \\n\"");
    check_string("\"\\ud83e\"");        // half a character
    check_string("\"\\ud83e\\u0041\""); // and half of one before another
    check_string("\"\\uddc0\"");
    check_string("\"\\u0000\"");
}

static void members_and_items_come_in_their_order(void **state)
{
    (void)state;
    static const char text[] =
        " { \"one\" : [ 1 , 2 ] , \"two\" : { \"x\" : null } , \"three\":\"\" } ";
    rl_scan_t scan = rl_scan_make(text, sizeof text - 1);
    const char *name;
    size_t size;
    double number, sum = 0;
    assert_true(rl_scan_enter_object(&scan));
    assert_true(rl_scan_member(&scan, &name, &size));
    assert_memory_equal(name, "one", size);
    assert_int_equal(rl_scan_peek(&scan), '[');
    assert_true(rl_scan_enter_array(&scan));
    while (rl_scan_item(&scan) && rl_scan_number(&scan, &number))
        sum += number;
    assert_true(sum > 2.9 && sum < 3.1);
    assert_true(rl_scan_member(&scan, &name, &size));
    assert_memory_equal(name, "two", size);
    assert_true(rl_scan_skip(&scan));
    assert_true(rl_scan_member(&scan, &name, &size));
    assert_true(rl_scan_skip(&scan));
    assert_false(rl_scan_member(&scan, &name, &size));
    assert_true(rl_scan_ends(&scan));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_documents_pass_and_others_do_not),
        cmocka_unit_test(documents_cut_anywhere_are_refused),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(numbers_are_what_strtod_says),
        cmocka_unit_test(escapes_are_resolved),
        cmocka_unit_test(members_and_items_come_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
