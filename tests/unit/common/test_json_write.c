// JSON written into a buffer: commas, names, numbers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "json_write.h"

static void commas_stand_between_members_and_items(void **state)
{
    rl_buf_t out = rl_buf_make(1000);
    json_t *value = json_pack("{s:[i, f]}", "a", 1, 0.5);
    (void)state;
    rl_buf_adds(&out, "data: ");
    rl_json_open(&out, NULL, '{');
    rl_json_text(&out, "text", "a {[:\" \n");
    rl_json_text(&out, "none", NULL);
    rl_json_bytes(&out, "part", "abc", 2);
    rl_json_open(&out, "items", '[');
    rl_json_count(&out, NULL, 0);
    rl_json_count(&out, NULL, UINT64_MAX);
    rl_json_open(&out, NULL, '{');
    rl_json_close(&out, '}');
    rl_json_open(&out, NULL, '{');
    rl_json_ms(&out, "ms", 1234007);
    rl_json_ms(&out, "short", 50);
    rl_json_close(&out, '}');
    rl_json_close(&out, ']');
    rl_json_flag(&out, "yes", true);
    rl_json_flag(&out, "no", false);
    rl_json_value(&out, "value", value);
    rl_json_value(&out, "null", NULL);
    rl_json_close(&out, '}');
    assert_string_equal(out.data,
                        "data: {\"text\":\"a {[:\\\" \\n\",\"none\":\"\",\"part\":\"ab\",\"items\":"
                        "[0,18446744073709551615,{},{\"ms\":1234.007,\"short\":0.050}],"
                        "\"yes\":true,\"no\":false,\"value\":{\"a\":[1,0.5]},\"null\":null}");
    json_decref(value);
    rl_buf_free(&out);
}

static void what_does_not_fit_shows(void **state)
{
    rl_buf_t out = rl_buf_make(8);
    (void)state;
    rl_json_text(&out, "name", "longer than that");
    assert_true(out.full);
    rl_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_stand_between_members_and_items),
        cmocka_unit_test(what_does_not_fit_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
