// filter: what is read, what is refused and how that is named, and the one text of what says the
// same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "filter.h"

static void same(const char *text, const char *canonical)
{
    rl_filter_error_t trouble = {0};
    rl_filter_t *filter = rl_filter_parse(text, strlen(text), &trouble);
    if (!filter)
        fail_msg("%s: %s", text, trouble.message);
    char *got = rl_filter_text(filter);
    assert_string_equal(got, canonical);
    rl_filter_destroy(&filter);
    free(got);
}

// Both ways: what is canonical stays so.
static void is(const char *text, const char *canonical)
{
    same(text, canonical);
    same(canonical, canonical);
}

static void what_says_the_same_has_one_text(void **state)
{
    (void)state;
    is("{\"eq\":2020,\"field\":\"year\"}", "{\"field\":\"year\",\"eq\":2020}");
    is("{\"field\":\"year\",\"eq\":2020.0}", "{\"field\":\"year\",\"eq\":2020}");
    is("{\"field\":\"x\",\"eq\":-0.0}", "{\"field\":\"x\",\"eq\":0}");
    is("{\"field\":\"x\",\"eq\":1e300}", "{\"field\":\"x\",\"eq\":1.0000000000000001e300}");
    is("{\"field\":\"year\",\"in\":[2020]}", "{\"field\":\"year\",\"eq\":2020}");
    is("{\"field\":\"l\",\"in\":[\"go\",\"c\",1,true,\"go\",1.0,false]}",
       "{\"field\":\"l\",\"in\":[false,true,1,\"c\",\"go\"]}");
    is("{\"field\":\"y\",\"lt\":3,\"gte\":1}", "{\"field\":\"y\",\"gte\":1,\"lt\":3}");
    is("{\"field\":\"y\",\"lte\":\"b\",\"gt\":\"a\"}",
       "{\"field\":\"y\",\"gt\":\"a\",\"lte\":\"b\"}");
    is("{\"field\":\"p\",\"prefix\":\"/usr/\"}", "{\"field\":\"p\",\"prefix\":\"/usr/\"}");
    is("{\"field\":\"p\",\"exists\":true}", "{\"field\":\"p\",\"exists\":true}");
    is("{\"field\":\"p\",\"exists\":false}", "{\"not\":{\"field\":\"p\",\"exists\":true}}");
    is("{\"not\":{\"field\":\"p\",\"exists\":false}}", "{\"field\":\"p\",\"exists\":true}");
    is("{\"not\":{\"not\":{\"not\":{\"field\":\"p\",\"eq\":1}}}}",
       "{\"not\":{\"field\":\"p\",\"eq\":1}}");
    is("{\"and\":[{\"field\":\"b\",\"eq\":1},{\"field\":\"a\",\"eq\":1}]}",
       "{\"and\":[{\"field\":\"a\",\"eq\":1},{\"field\":\"b\",\"eq\":1}]}");
    is("{\"and\":[{\"field\":\"b\",\"eq\":1},{\"and\":[{\"field\":\"a\",\"eq\":1},{\"field\":\"b\","
       "\"in\":[1]}]}]}",
       "{\"and\":[{\"field\":\"a\",\"eq\":1},{\"field\":\"b\",\"eq\":1}]}");
    is("{\"or\":[{\"field\":\"b\",\"eq\":1},{\"field\":\"b\",\"eq\":1}]}",
       "{\"field\":\"b\",\"eq\":1}");
    is("{\"or\":[{\"and\":[{\"field\":\"b\",\"eq\":1}]},{\"or\":[{\"field\":\"a\",\"eq\":\"\"}]}]}",
       "{\"or\":[{\"field\":\"a\",\"eq\":\"\"},{\"field\":\"b\",\"eq\":1}]}");
    is("{\"field\":\"\\u00e4\",\"eq\":\"\\\"\"}", "{\"field\":\"\xc3\xa4\",\"eq\":\"\\\"\"}");
}

static void refused(const char *text, const char *param, bool unknown)
{
    rl_filter_error_t trouble = {0};
    rl_filter_t *filter = rl_filter_parse(text, strlen(text), &trouble);
    if (filter)
        fail_msg("taken: %s", text);
    if (strcmp(trouble.param, param) != 0 || trouble.unknown != unknown ||
        !strstr(trouble.message, param))
        fail_msg("%s: named %s (%s)", text, trouble.param, trouble.message);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    refused("", "filter", false);
    refused("{", "filter", false);
    refused("7", "filter", false);
    refused("[]", "filter", false);
    refused("{}", "filter", false);
    refused("{\"year\":2020}", "filter.year", true);
    refused("{\"field\":\"year\"}", "filter", false);
    refused("{\"eq\":1}", "filter.field", false);
    refused("{\"field\":7,\"eq\":1}", "filter.field", false);
    refused("{\"field\":\"\",\"eq\":1}", "filter.field", false);
    refused("{\"field\":\"a\",\"ne\":1}", "filter.ne", true);
    refused("{\"field\":\"a\",\"\":1}", "filter.", true);
    refused("{\"field\":\"a\",\"gte\":1,\"gx\":1}", "filter.gx", true);
    refused("{\"field\":\"a\",\"gte\":1,\"gt\":1}", "filter.gt", false);
    refused("{\"field\":\"a\",\"gte\":1,\"eq\":1}", "filter.eq", false);
    refused("{\"field\":\"a\",\"eq\":1,\"lt\":1}", "filter.lt", false);
    refused("{\"field\":\"a\",\"eq\":null}", "filter.eq", false);
    refused("{\"field\":\"a\",\"eq\":[1]}", "filter.eq", false);
    refused("{\"field\":\"a\",\"in\":[]}", "filter.in", false);
    refused("{\"field\":\"a\",\"in\":1}", "filter.in", false);
    refused("{\"field\":\"a\",\"in\":[1,{}]}", "filter.in[1]", false);
    refused("{\"field\":\"a\",\"gt\":true}", "filter.gt", false);
    refused("{\"field\":\"a\",\"gt\":1,\"lt\":\"b\"}", "filter.lt", false);
    refused("{\"field\":\"a\",\"prefix\":\"\"}", "filter.prefix", false);
    refused("{\"field\":\"a\",\"prefix\":1}", "filter.prefix", false);
    refused("{\"field\":\"a\",\"exists\":1}", "filter.exists", false);
    refused("{\"and\":[]}", "filter.and", false);
    refused("{\"and\":{}}", "filter.and", false);
    refused("{\"not\":[]}", "filter.not", false);
    refused("{\"and\":[{\"field\":\"a\",\"eq\":1}],\"or\":[]}", "filter", false);
    refused(
        "{\"and\":[{\"field\":\"a\",\"eq\":1},{\"or\":[{\"not\":{\"field\":\"a\",\"gte\":[]}}]}]}",
        "filter.and[1].or[0].not.gte", false);
    refused("{\"field\":\"a\",\"eq\":1,\"field\":\"b\"}", "filter", false);
}

static void bounds_hold(void **state)
{
    (void)state;
    static char text[400000];
    for (int deep = RL_FILTER_MAX_DEPTH; deep <= RL_FILTER_MAX_DEPTH + 2; deep++) {
        rl_filter_error_t trouble;
        size_t size = 0;
        for (int at = 0; at < deep; at++)
            size += (size_t)sprintf(text + size, "{\"%s\":[", at % 2 ? "and" : "or");
        size += (size_t)sprintf(text + size, "{\"field\":\"a\",\"exists\":false}");
        for (int at = 0; at < deep; at++)
            size += (size_t)sprintf(text + size, "]}");
        json_t *json = json_loads(text, 0, NULL);
        rl_filter_t *filter = rl_filter_read(json, "f", &trouble);
        json_decref(json);
        assert_int_equal(filter != NULL, deep == RL_FILTER_MAX_DEPTH);
        rl_filter_destroy(&filter);
    }
    for (int many = RL_FILTER_MAX_VALUES; many <= RL_FILTER_MAX_VALUES + 1; many++) {
        size_t size = (size_t)sprintf(text, "{\"field\":\"a\",\"in\":[0");
        for (int at = 1; at < many; at++)
            size += (size_t)sprintf(text + size, ",%d", at);
        strcpy(text + size, "]}");
        rl_filter_error_t trouble;
        rl_filter_t *filter = rl_filter_parse(text, strlen(text), &trouble);
        assert_int_equal(filter != NULL, many == RL_FILTER_MAX_VALUES);
        rl_filter_destroy(&filter);
    }
    for (int many = RL_FILTER_MAX_CONDITIONS; many <= RL_FILTER_MAX_CONDITIONS + 1; many++) {
        size_t size = (size_t)sprintf(text, "{\"and\":[{\"or\":[{\"field\":\"a\",\"eq\":0}]}");
        for (int at = 1; at < many; at++)
            size += (size_t)sprintf(text + size, ",{\"field\":\"a\",\"eq\":%d}", at);
        strcpy(text + size, "]}");
        rl_filter_error_t trouble;
        rl_filter_t *filter = rl_filter_parse(text, strlen(text), &trouble);
        assert_int_equal(filter != NULL, many == RL_FILTER_MAX_CONDITIONS);
        rl_filter_destroy(&filter);
    }
    size_t size = (size_t)sprintf(text, "{\"field\":\"a\",\"in\":[");
    for (int at = 0; at < 200; at++)
        size += (size_t)sprintf(text + size, "%s\"%0*d\"", at ? "," : "", 400, at);
    strcpy(text + size, "]}");
    refused(text, "filter", false); // more than RL_FILTER_MAX_TEXT
    sprintf(text, "{\"field\":\"a\",\"eq\":\"%0*d\"}", RL_FILTER_MAX_STRING + 1, 0);
    refused(text, "filter.eq", false);
    sprintf(text, "{\"field\":\"%0*d\",\"eq\":1}", RL_FILTER_MAX_FIELD + 1, 0);
    refused(text, "filter.field", false);
}

static bool count(void *arg, const char *field)
{
    ++*(int *)arg;
    return strcmp(field, "stop") != 0;
}

static void fields_are_told(void **state)
{
    (void)state;
    static const char text[] =
        "{\"and\":[{\"field\":\"a\",\"eq\":1},{\"not\":{\"field\":\"stop\",\"gt\":0}},"
        "{\"field\":\"b\",\"prefix\":\"x\"}]}";
    rl_filter_error_t trouble;
    int told = 0;
    rl_filter_t *filter = rl_filter_parse(text, sizeof text - 1, &trouble);
    assert_string_equal(rl_filter_each_field(filter, count, &told), "stop");
    assert_int_equal(told, 3); // in the order of their texts: a, b, not
    rl_filter_destroy(&filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_says_the_same_has_one_text),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(fields_are_told),
    };
    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
