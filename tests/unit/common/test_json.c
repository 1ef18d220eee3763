// JSON from outside: what is valid is taken, with the values that are there; all else is refused.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "json.h"

static bool is_json(const char *text, size_t size)
{
    const char *why = NULL;
    rl_json_doc_t *doc = rl_json_parse(text, size, &why);
    assert_true(doc || (why && *why));
    bool valid = doc != NULL;
    rl_json_free(&doc);
    return valid;
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
        "",
        " ",
        "{\"a\":1,}",
        "nul",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "1e+",
        "\"\\x\"",
        "\"a",
        "\"\\u12g4\"",
        "\"\\u0041\"",
        "\"a\\\"",
        "[",
        "{",
        "}",
        "[}",
        "\"tab\there\"",
        "{\"a\":[}]",
        "1 1",
        "[1]]",
        "\"a\"b",
        "NaN",
        "[-]",
        "- 1",
        "[0,00]",
        "1e999",
        "{\"\":0}",
        "\"\xff\"",
        "{\"a\":\"b\"}x",
        "\"\\ud83d\"",
    };
    for (size_t at = 0; at < sizeof documents / sizeof *documents; at++) {
        const char *text = documents[at];
        json_t *tree = json_loadb(text, strlen(text), JSON_DECODE_ANY, NULL);
        if (is_json(text, strlen(text)) != (tree != NULL))
            fail_msg("%s: %d", text, tree == NULL);
        json_decref(tree);
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
    char text[4000];
    memset(text, '[', sizeof text);
    memset(text + 2000, ']', 2000);
    assert_false(is_json(text, sizeof text));
    memset(text + 64, ']', 64);
    assert_true(is_json(text, 128));
}

static void values_are_taken_by_their_type(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":1,\"a\":2,\"s\":\"x\\u0000y\",\"f\":2.5,\"n\":null,"
                               "\"l\":[1,2.5,-3],\"big\":18446744073709551615,\"m\":[1,1e300]}";
    const char *why;
    rl_json_doc_t *doc = rl_json_parse(text, sizeof text - 1, &why);
    rl_json_t root = rl_json_root(doc);
    int64_t integer = -1;
    double number = -1;
    size_t size = 0;
    float floats[3];
    assert_true(rl_json_is_object(root) && !rl_json_is_array(root));
    assert_true(rl_json_integer(rl_json_get(root, "a"), &integer));
    assert_int_equal(integer, 1); // the first of two
    assert_memory_equal(rl_json_string(rl_json_get(root, "s"), &size), "x\0y", 4);
    assert_int_equal(size, 3);
    assert_false(rl_json_integer(rl_json_get(root, "f"), &integer));
    assert_false(rl_json_integer(rl_json_get(root, "big"), &integer));
    assert_int_equal(integer, 1);
    assert_true(rl_json_number(rl_json_get(root, "a"), &number) && number == 1);
    assert_true(rl_json_is_null(rl_json_get(root, "n")));
    assert_int_equal(rl_json_size(rl_json_get(root, "l")), 3);
    assert_true(rl_json_floats(rl_json_get(root, "l"), floats, 3) && floats[1] == 2.5F);
    assert_false(rl_json_floats(rl_json_get(root, "l"), floats, 2));
    assert_false(rl_json_floats(rl_json_get(root, "m"), floats, 2)); // too large for a float
    // what is not there says no to everything
    rl_json_t none = rl_json_get(rl_json_at(rl_json_get(root, "missing"), 7), "x");
    assert_null(none.document);
    assert_null(rl_json_string(none, &size));
    assert_false(rl_json_is_null(none) || rl_json_number(none, &number));
    assert_int_equal(rl_json_size(none), 0);
    rl_json_free(&doc);
    assert_null(doc);
    assert_null(rl_json_root(doc).document);
}

// A document stays as it is while others are read.
static void documents_do_not_share(void **state)
{
    (void)state;
    const char *why;
    rl_json_doc_t *first = rl_json_parse("[\"first\"]", 9, &why);
    rl_json_doc_t *other = rl_json_parse("[\"other\"]", 9, &why);
    assert_string_equal(rl_json_string(rl_json_at(rl_json_root(first), 0), NULL), "first");
    assert_string_equal(rl_json_string(rl_json_at(rl_json_root(other), 0), NULL), "other");
    rl_json_free(&first);
    rl_json_free(&other);
}

static void numbers_are_what_strtod_says(void **state)
{
    (void)state;
    const char *why;
    for (unsigned seed = 1; seed < 5000; seed++) {
        char text[64];
        double value = ((double)(seed * 2654435761u) / 4294967296.0 - 0.5) * pow(10, seed % 7);
        double number = NAN;
        int size = snprintf(text, sizeof text, "%.*g", 1 + (int)(seed % 17), value);
        rl_json_doc_t *doc = rl_json_parse(text, (size_t)size, &why);
        if (!rl_json_number(rl_json_root(doc), &number) || number != strtod(text, NULL))
            fail_msg("%s: %.17g", text, number);
        rl_json_free(&doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_documents_pass_and_others_do_not),
        cmocka_unit_test(documents_cut_anywhere_are_refused),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(values_are_taken_by_their_type),
        cmocka_unit_test(documents_do_not_share),
        cmocka_unit_test(numbers_are_what_strtod_says),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
