// API keys: the file, who has which key, what they may read and how often they may ask.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "keys.h"

// SHA-256 of "alpha" and "beta".
#define ALPHA "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
#define BETA "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753"

static char path[] = "/tmp/ragline-keys-XXXXXX";
static char why[512];

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static keys_t *load(const char *text)
{
    write_file(text);
    why[0] = '\0';
    return keys_new(path, why, sizeof why);
}

static const char *name_of(keys_t *keys, const char *key)
{
    static char name[128];
    const keys_caller_t *caller = keys_find(keys, key);
    snprintf(name, sizeof name, "%s", caller ? keys_name(caller) : "(none)");
    keys_unref(&caller);
    return name;
}

static void finds_who_has_a_key(void **state)
{
    (void)state;
    keys_t *keys =
        load("# who may ask\n\nann sha256:" ALPHA "\r\n  bob\tsha256:" BETA " # twice\n");
    assert_non_null(keys);
    assert_true(keys_needed(keys));
    assert_string_equal(name_of(keys, "alpha"), "ann");
    assert_string_equal(name_of(keys, "beta"), "bob");
    static const char *const wrong[] = {"", "Alpha", "alpha ", "alph", ALPHA, "sha256:" ALPHA};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++)
        assert_string_equal(name_of(keys, wrong[at]), "(none)");
    keys_destroy(&keys);
}

static void without_a_file_everyone_may_do_everything(void **state)
{
    (void)state;
    keys_t *keys = keys_new("", why, sizeof why);
    assert_non_null(keys);
    assert_false(keys_needed(keys));
    const keys_caller_t *caller = keys_anonymous(keys);
    assert_true(keys_may_read(caller, "docs"));
    assert_int_equal(keys_take(caller, 1), 0);
    keys_destroy(&keys);
    assert_string_equal(keys_name(caller), "anonymous"); // a reference outlives them
    keys_unref(&caller);
    assert_null(caller);
}

static void a_key_reads_its_collections_only(void **state)
{
    (void)state;
    keys_t *keys =
        load("ann sha256:" ALPHA " collections=docs,man\nbob sha256:" BETA " collections=*\n");
    assert_non_null(keys);
    const keys_caller_t *ann = keys_find(keys, "alpha"), *bob = keys_find(keys, "beta");
    assert_true(keys_may_read(ann, "docs"));
    assert_true(keys_may_read(ann, "man"));
    assert_false(keys_may_read(ann, "doc"));
    assert_false(keys_may_read(ann, "docs,man"));
    assert_false(keys_may_read(ann, ""));
    assert_true(keys_may_read(bob, "anything"));
    keys_unref(&ann);
    keys_unref(&bob);
    keys_destroy(&keys);
}

static void a_rate_is_a_bucket(void **state)
{
    (void)state;
    enum {
        SECOND = 1000000
    };
    keys_t *keys = load("ann sha256:" ALPHA " rate=2/s\nbob sha256:" BETA " rate=1/min\n");
    assert_non_null(keys);
    const keys_caller_t *ann = keys_find(keys, "alpha"), *bob = keys_find(keys, "beta");
    uint64_t now = 1000 * (uint64_t)SECOND;
    assert_int_equal(keys_take(ann, now), 0);
    assert_int_equal(keys_take(ann, now), 0);
    assert_int_equal(keys_take(ann, now), 1);
    assert_int_equal(keys_take(ann, now + SECOND / 2), 0);
    assert_int_equal(keys_take(ann, now + SECOND / 2), 1);
    assert_int_equal(keys_take(ann, now + 100 * (uint64_t)SECOND), 0); // not more than its burst
    assert_int_equal(keys_take(ann, now + 100 * (uint64_t)SECOND), 0);
    assert_int_equal(keys_take(ann, now + 100 * (uint64_t)SECOND), 1);
    assert_int_equal(keys_take(bob, now), 0);
    assert_int_equal(keys_take(bob, now), 60);
    assert_int_equal(keys_take(bob, now + 45 * (uint64_t)SECOND), 15);
    assert_int_equal(keys_take(bob, now - SECOND), 15); // a clock that goes back gives nothing
    keys_unref(&ann);
    keys_unref(&bob);
    keys_destroy(&keys);
}

static void says_what_is_wrong_with_a_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"ann\n", ":1: after the name comes sha256:"},
        {"\n\nann sha256:123\n", ":3: after the name comes sha256:"},
        {"ann sha256:zzd3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8\n",
         ":1: after"},
        {"ann sha256:" ALPHA "00\n", ":1: after"},
        {"a/b sha256:" ALPHA "\n", ":1: a name has"},
        {"ann sha256:" ALPHA " colections=docs\n", ":1: only collections=, rate= and operator"},
        {"ann sha256:" ALPHA " collections=\n", ":1: collections= must be"},
        {"ann sha256:" ALPHA " collections=a,,b\n", ":1: collections= must be"},
        {"ann sha256:" ALPHA " rate=fast\n", ":1: rate= must be"},
        {"ann sha256:" ALPHA " rate=0/s\n", ":1: rate= must be"},
        {"ann sha256:" ALPHA " rate=-1/s\n", ":1: rate= must be"},
        {"ann sha256:" ALPHA " rate=nan/s\n", ":1: rate= must be"},
        {"ann sha256:" ALPHA " rate=1/h\n", ":1: rate= must be"},
        {"ann sha256:" ALPHA "\nann sha256:" BETA "\n", ":2: this name is there already"},
        {"ann sha256:" ALPHA "\nbob sha256:" ALPHA "\n", ":2: this key is there already"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        assert_null(load(cases[at].text));
        if (!strstr(why, cases[at].says) || strncmp(why, path, strlen(path)) != 0)
            fail_msg("\"%s\" is said of %s", why, cases[at].text);
        assert_null(strstr(why, "8ed3f6")); // not even a hash of a key
    }
    assert_null(keys_new("/nowhere/keys", why, sizeof why));
    assert_non_null(strstr(why, "/nowhere/keys: No such file"));
    char *line = malloc(10000);
    memset(line, 'x', 9999);
    line[9999] = '\0';
    assert_null(load(line));
    assert_non_null(strstr(why, ":1: the line is too long"));
    free(line);
}

// What is found for one caller may be shown to another with the same rights.
static void rights_are_what_may_be_read(void **state)
{
    (void)state;
    keys_t *keys = load("ann sha256:" ALPHA " collections=* collections=docs,man\n"
                        "bob sha256:" BETA " collections=docs collections=*\n");
    assert_non_null(keys);
    const keys_caller_t *ann = keys_find(keys, "alpha"), *bob = keys_find(keys, "beta");
    const keys_caller_t *anyone = keys_anonymous(keys);
    assert_string_equal(keys_rights(ann), "docs,man");
    assert_false(keys_may_read(ann, "secrets"));
    assert_string_equal(keys_rights(bob), "*");
    assert_true(keys_may_read(bob, "secrets"));
    assert_string_equal(keys_rights(anyone), "*");
    keys_unref(&ann);
    keys_unref(&bob);
    keys_unref(&anyone);
    keys_destroy(&keys);
}

static void reads_again_and_keeps_what_is_used_up(void **state)
{
    (void)state;
    keys_t *keys = load("ann sha256:" ALPHA " rate=1/min\nbob sha256:" BETA "\n");
    assert_non_null(keys);
    const keys_caller_t *ann = keys_find(keys, "alpha"), *bob = keys_find(keys, "beta");
    assert_int_equal(keys_take(ann, 1000), 0);
    write_file("annie sha256:" ALPHA " rate=1/min collections=docs\n");
    assert_int_equal(keys_reload(keys, path, why, sizeof why), 0);
    assert_string_equal(name_of(keys, "alpha"), "annie");
    assert_string_equal(name_of(keys, "beta"), "(none)");
    assert_string_equal(keys_name(bob), "bob"); // who asked before is still who they were
    const keys_caller_t *annie = keys_find(keys, "alpha");
    assert_int_equal(keys_take(annie, 1000), 60);
    write_file("nonsense\n");
    assert_int_equal(keys_reload(keys, path, why, sizeof why), -1);
    assert_string_equal(name_of(keys, "alpha"), "annie");
    assert_true(keys_needed(keys));
    keys_unref(&ann);
    keys_unref(&annie);
    keys_unref(&bob);
    keys_destroy(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_who_has_a_key),
        cmocka_unit_test(without_a_file_everyone_may_do_everything),
        cmocka_unit_test(a_key_reads_its_collections_only),
        cmocka_unit_test(a_rate_is_a_bucket),
        cmocka_unit_test(says_what_is_wrong_with_a_line),
        cmocka_unit_test(rights_are_what_may_be_read),
        cmocka_unit_test(reads_again_and_keeps_what_is_used_up),
    };
    return cmocka_run_group_tests_name("keys", tests, make_file, remove_file);
}
