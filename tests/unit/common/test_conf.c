// The configuration: sources and their order, and what is said of mistakes.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf.h"
#include "options.h"

static char path[64], said[65536];

static void write_file(const char *text)
{
    strcpy(path, "/tmp/ragline-conf-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

// Reads the configuration with stderr caught in `said`.
static rl_conf_t *load_as(unsigned program, const char *file_text, const char *option,
                          const char *value)
{
    char *argv[8] = {(char *)"test"};
    int argc = 1;
    if (file_text) {
        write_file(file_text);
        argv[argc++] = (char *)"--config";
        argv[argc++] = path;
    }
    if (option)
        argv[argc++] = (char *)option;
    if (value)
        argv[argc++] = (char *)value;
    fflush(stderr);
    int kept = dup(2), pipes[2];
    assert_int_equal(pipe(pipes), 0);
    dup2(pipes[1], 2);
    rl_conf_t *conf = rl_conf_new(program, argc, argv);
    fflush(stderr);
    dup2(kept, 2);
    close(kept);
    close(pipes[1]);
    ssize_t size = read(pipes[0], said, sizeof said - 1);
    said[size > 0 ? size : 0] = '\0';
    close(pipes[0]);
    if (file_text)
        unlink(path);
    return conf;
}

static rl_conf_t *load(const char *file_text, const char *option, const char *value)
{
    return load_as(RL_GATEWAY, file_text, option, value);
}

static void defaults_hold_where_nothing_is_said(void **state)
{
    (void)state;
    rl_conf_t *conf = load(NULL, NULL, NULL);
    assert_non_null(conf);
    assert_string_equal(rl_conf_str(conf, "gateway.listen"), "127.0.0.1:8080");
    assert_int_equal(rl_conf_int(conf, "gateway.k"), 8);
    assert_false(rl_conf_given(conf, "gateway.k"));
    assert_false(rl_conf_bool(conf, "gateway.allow_public"));
    rl_conf_destroy(&conf);
}

static void the_command_line_wins_over_environment_over_file(void **state)
{
    (void)state;
    const char *file = "# comment\n[gateway]\nk = 3 # trailing\nlisten = \" spaced \"\n";
    rl_conf_t *conf = load(file, NULL, NULL);
    assert_int_equal(rl_conf_int(conf, "gateway.k"), 3);
    assert_string_equal(rl_conf_str(conf, "gateway.listen"), " spaced ");
    rl_conf_destroy(&conf);
    setenv("RAGLINE_GATEWAY_K", "4", 1);
    conf = load(file, NULL, NULL);
    assert_int_equal(rl_conf_int(conf, "gateway.k"), 4);
    rl_conf_destroy(&conf);
    conf = load(file, "--gateway-k", "5");
    assert_int_equal(rl_conf_int(conf, "gateway.k"), 5);
    rl_conf_destroy(&conf);
    conf = load(file, "--gateway-k=6", NULL);
    assert_int_equal(rl_conf_int(conf, "gateway.k"), 6);
    rl_conf_destroy(&conf);
    unsetenv("RAGLINE_GATEWAY_K");
}

static void a_misspelt_variable_is_named_another_is_not_ours(void **state)
{
    (void)state;
    setenv("RAGLINE_GATEWAY_KK", "4", 1);
    assert_null(load(NULL, NULL, NULL));
    assert_non_null(strstr(said, "RAGLINE_GATEWAY_KK: there is no option of this name; did you "
                                 "mean RAGLINE_GATEWAY_K?"));
    unsetenv("RAGLINE_GATEWAY_KK");
    setenv("RAGLINE_GATEWAY_PORT", "tcp://10.0.0.1:80", 1);
    setenv("RAGLINE_CACHE", "/tmp", 1);
    rl_conf_t *conf = load(NULL, NULL, NULL);
    assert_non_null(conf);
    rl_conf_destroy(&conf);
    unsetenv("RAGLINE_GATEWAY_PORT");
    unsetenv("RAGLINE_CACHE");
}

static void mistakes_are_named_with_file_line_key_and_what_may_be(void **state)
{
    (void)state;
    assert_null(load("[gateway]\n\nlissten = x\n", NULL, NULL));
    assert_non_null(
        strstr(said, ":3: there is no option gateway.lissten; did you mean gateway.listen?"));
    assert_null(load("[gateway]\nk = many\n", NULL, NULL));
    assert_non_null(
        strstr(said, ":2: gateway.k = many is not right: it may be a whole number from 1 to 100"));
    assert_null(load("[gateway]\nk = 0\nfusion = sum\n", NULL, NULL));
    assert_non_null(strstr(said, "it may be one of: convex rrf")); // every mistake, not the first
    assert_non_null(strstr(said, "gateway.k = 0"));
    assert_null(load("[gatway]\nk = 1\n", NULL, NULL));
    assert_non_null(strstr(said, ":1: there is no section [gatway]"));
    assert_null(load("k = 1\n", NULL, NULL));
    assert_non_null(strstr(said, ":1: a line should be"));
    assert_null(load(NULL, "--gateway-q", "5"));
    assert_non_null(strstr(said, "option --gateway-q: there is no option gateway.q"));
    assert_null(load(NULL, "--gateway-k", NULL));
    assert_non_null(strstr(said, "a value must follow"));
    assert_null(load("[gateway]\ntls_cert = /no/such/file\n", NULL, NULL));
    assert_non_null(strstr(said, "No such file"));
}

static void named_sections_are_kept_apart(void **state)
{
    (void)state;
    rl_conf_t *conf = load("[model a b]\nquery_prefix = \"query: \"\n[model c]\n", NULL, NULL);
    assert_int_equal(rl_conf_sections(conf, "model"), 2);
    assert_string_equal(rl_conf_section_at(conf, "model", 0), "a b");
    assert_string_equal(rl_conf_in(conf, "model", "a b", "query_prefix"), "query: ");
    assert_string_equal(rl_conf_in(conf, "model", "c", "query_prefix"), "");
    assert_string_equal(rl_conf_in(conf, "model", "none", "query_prefix"), "");
    rl_conf_destroy(&conf);
}

static void secrets_come_from_files_and_are_not_shown(void **state)
{
    (void)state;
    write_file("s3cret\n");
    char secret_path[64], text[128];
    strcpy(secret_path, path);
    snprintf(text, sizeof text, "[embed]\nkey_file = %s\n", secret_path);
    rl_conf_t *conf = load(text, NULL, NULL);
    assert_string_equal(rl_conf_secret(conf, "embed.key"), "s3cret");
    rl_conf_destroy(&conf);
    unlink(secret_path);
    assert_null(load(text, NULL, NULL));
    assert_null(strstr(said, "s3cret"));
}

// All programs read one file, which names files that only some of them have at hand.
static void files_are_looked_for_by_those_who_read_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned reader, other;
    } each[] = {
        {"[gateway]\nkeys_file = /none/keys\n", RL_GATEWAY, RL_RETRIEVER},
        {"[gateway]\ntls_cert = /none/cert\n", RL_GATEWAY, RL_GENERATOR},
        {"[curve]\nkey_file = /none/key\n", RL_GENERATOR, RL_INDEX},
        {"[llm]\ntemplate = /none/template\n", RL_GENERATOR, RL_RETRIEVER},
        {"[llm]\nkey_file = /none/key\n", RL_GATEWAY, RL_RETRIEVER},
        {"[engine]\nkey_file = /none/key\n", RL_INDEX, RL_GENERATOR},
        {"[upstream a]\nkey_file = /none/key\n", RL_GENERATOR, RL_GATEWAY},
        {"[ask]\nkey_file = /none/key\n", RL_ASK, RL_TOP},
    };
    for (size_t at = 0; at < sizeof each / sizeof *each; at++) {
        assert_null(load_as(each[at].reader, each[at].text, NULL, NULL));
        assert_non_null(strstr(said, "/none/"));
        rl_conf_t *conf = load_as(each[at].other, each[at].text, NULL, NULL);
        assert_non_null(conf);
        assert_string_equal(said, "");
        rl_conf_destroy(&conf);
    }
    // their names and forms are checked by all
    assert_null(load_as(RL_RETRIEVER, "[gateway]\nkey_file = /none/keys\n", NULL, NULL));
    assert_null(load_as(RL_RETRIEVER, "[gateway]\nk = eight\n", NULL, NULL));
}

static void a_named_section_has_secrets_of_its_own(void **state)
{
    (void)state;
    char secret_path[64], text[256];
    write_file("s3cret\n");
    strcpy(secret_path, path);
    snprintf(text, sizeof text,
             "[llm]\nkey = general\n[upstream a]\nkey_file = %s\n[upstream b]\nkey = other\n"
             "[upstream c]\n",
             secret_path);
    rl_conf_t *conf = load_as(RL_GENERATOR, text, NULL, NULL);
    assert_non_null(conf);
    assert_string_equal(rl_conf_in(conf, "upstream", "a", "key"), "s3cret");
    assert_string_equal(rl_conf_in(conf, "upstream", "b", "key"), "other");
    assert_string_equal(rl_conf_in(conf, "upstream", "c", "key"), "");
    assert_string_equal(rl_conf_secret(conf, "llm.key"), "general");
    rl_conf_destroy(&conf);
    unlink(secret_path);
    // the file is gone: said with its place, without a secret
    assert_null(load_as(RL_GENERATOR, text, NULL, NULL));
    assert_non_null(strstr(said, ":4: upstream.*.key_file: cannot read"));
    assert_null(load("[upstream a]\nmodel_file = /x\n", NULL, NULL)); // only secrets have files
    assert_non_null(strstr(said, ":2: there is no option upstream.*.model_file"));
}

static void lists_are_split_and_arguments_kept(void **state)
{
    (void)state;
    rl_conf_t *conf = load(NULL, "--gateway-collections", "a, b c");
    assert_int_equal(rl_conf_list_size(conf, "gateway.collections"), 3);
    assert_string_equal(rl_conf_list_at(conf, "gateway.collections", 2), "c");
    rl_conf_destroy(&conf);
    conf = load(NULL, "word", "--");
    assert_int_equal(rl_conf_args(conf), 1);
    assert_string_equal(rl_conf_arg(conf, 0), "word");
    rl_conf_destroy(&conf);
}

static void every_option_has_a_default_that_fits_and_a_help_text(void **state)
{
    (void)state;
    for (size_t at = 0; at < rl_options_size; at++) {
        assert_true(strchr(rl_options[at].name, '.') || rl_options[at].type == RL_FLAG);
        assert_true(strlen(rl_options[at].help) > 5);
        assert_true(rl_options[at].users != 0);
    }
    rl_conf_t *conf = load(NULL, NULL, NULL); // checks no default; set each to itself
    for (size_t at = 0; at < rl_options_size; at++) {
        if (rl_options[at].type == RL_FLAG || strchr(rl_options[at].name, '*') ||
            !*rl_options[at].value)
            continue;
        char option[128], *p;
        snprintf(option, sizeof option, "--%s", rl_options[at].name);
        for (p = option + 2; *p; p++)
            *p = *p == '.' || *p == '_' ? '-' : *p;
        rl_conf_t *each = load(NULL, option, rl_options[at].value);
        if (!each)
            fail_msg("%s", said);
        rl_conf_destroy(&each);
    }
    rl_conf_destroy(&conf);
}

static void an_option_that_is_gone_is_taken_with_a_warning(void **state)
{
    (void)state;
    rl_conf_t *conf = load(NULL, "--engine-settle-ms", "65000");
    assert_non_null(conf);
    rl_conf_destroy(&conf);
    assert_non_null(strstr(said, "engine.settle_ms"));
}

static void the_sample_file_holds(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    rl_conf_sample(out);
    fclose(out);
    for (char *p = text; *p; p++) // take the comment signs of keys away
        if ((p == text || p[-1] == '\n') && *p == '#' && p[1] != ' ')
            *p = ' ';
    rl_conf_t *conf = load(text, NULL, NULL);
    if (!conf)
        fail_msg("%s", said);
    rl_conf_destroy(&conf);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_where_nothing_is_said),
        cmocka_unit_test(the_command_line_wins_over_environment_over_file),
        cmocka_unit_test(a_misspelt_variable_is_named_another_is_not_ours),
        cmocka_unit_test(mistakes_are_named_with_file_line_key_and_what_may_be),
        cmocka_unit_test(named_sections_are_kept_apart),
        cmocka_unit_test(secrets_come_from_files_and_are_not_shown),
        cmocka_unit_test(files_are_looked_for_by_those_who_read_them),
        cmocka_unit_test(a_named_section_has_secrets_of_its_own),
        cmocka_unit_test(lists_are_split_and_arguments_kept),
        cmocka_unit_test(every_option_has_a_default_that_fits_and_a_help_text),
        cmocka_unit_test(an_option_that_is_gone_is_taken_with_a_warning),
        cmocka_unit_test(the_sample_file_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
