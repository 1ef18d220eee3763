// The builder's arguments: what is missing or does not go together is named.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "plan.h"

static rl_conf_t *conf_of(int argc, const char **args)
{
    char *argv[32] = {(char *)"ragline-index"};
    for (int i = 0; i < argc; i++)
        argv[i + 1] = (char *)args[i];
    rl_conf_t *conf = rl_conf_new(RL_INDEX, argc + 1, argv);
    assert_non_null(conf);
    return conf;
}

#define ARGS(...)                                                                                  \
    (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[])                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void expect_wrong(const char *word, int argc, const char **args)
{
    rl_conf_t *conf = conf_of(argc, args);
    plan_t plan;
    char why[512] = "";
    assert_int_equal(plan_make(conf, &plan, why, sizeof why), -1);
    if (!strstr(why, word))
        fail_msg("\"%s\" does not speak of %s", why, word);
    rl_conf_destroy(&conf);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    expect_wrong("files or folders", ARGS("--index-out", "/tmp/x"));
    expect_wrong("--index-out", ARGS("a.md"));
    expect_wrong("index.language", ARGS("--index-out", "x", "--index-language", "klingon", "a.md"));
    expect_wrong("index.overlap_words", ARGS("--index-out", "x", "--index-chunk-words", "50",
                                             "--index-overlap-words", "40", "a.md"));
    expect_wrong("index.chunk_tokens",
                 ARGS("--index-out", "x", "--index-chunk-tokens", "5", "a.md"));
    expect_wrong("embed.url", ARGS("--index-out", "x", "--embed-url", "ftp://x", "a.md"));
    expect_wrong("embed.model", ARGS("--index-out", "x", "--embed-url", "http://x/v1",
                                     "--embed-model", "", "a.md"));
    expect_wrong("--index-collection",
                 ARGS("--index-out", "x", "--index-collection", "a/b", "a.md"));
    expect_wrong("--index-collection", ARGS("--index-out", "/", "a.md"));
    expect_wrong("--index-collection", ARGS("--index-out", "..", "a.md"));
}

static void a_plan(void **state)
{
    (void)state;
    rl_conf_t *conf =
        conf_of(ARGS("--index-out", "/tmp/my-docs/", "--embed-url", "http://e/v1", "--index-shards",
                     "3", "--index-chunk-words", "100", "a.md", "b"));
    plan_t plan;
    char why[512] = "";
    assert_int_equal(plan_make(conf, &plan, why, sizeof why), 0);
    assert_string_equal(plan.collection, "my-docs");
    assert_int_equal(plan.shards, 3);
    assert_int_equal(plan.rules.words, 100);
    assert_false(plan.lexical_only);
    char *json = plan_json(&plan, NULL);
    json_t *root = json_loads(json, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "chunk_words")), 100);
    assert_int_equal(json_array_size(json_object_get(root, "sources")), 2);
    json_decref(root);
    free(json);
    rl_conf_destroy(&conf);
    conf =
        conf_of(ARGS("--index-out", "x", "--lexical-only", "--embed-url", "http://e/v1", "a.md"));
    assert_int_equal(plan_make(conf, &plan, why, sizeof why), 0);
    assert_true(plan.lexical_only);
    rl_conf_destroy(&conf);
    conf = conf_of(ARGS("--index-out", "x", "a.md"));
    assert_int_equal(plan_make(conf, &plan, why, sizeof why), 0);
    assert_true(plan.lexical_only);
    rl_conf_destroy(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
