// Ids of files by the roots of an index: however a path is written, one file has one id.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "retriever_help.h"
#include "roots.h"

static void expect_id(const roots_t *roots, const char *path, const char *expected)
{
    char *id = roots_id(roots, path);
    assert_string_equal(id, expected);
    free(id);
}

// Roots as another process reads them from the manifest.
static roots_t *read_again(roots_t **roots_p)
{
    json_t *list = roots_json(*roots_p);
    roots_t *again = roots_read(list);
    json_decref(list);
    roots_unref(roots_p);
    assert_non_null(again);
    return again;
}

static void make_folders(char *folder, size_t size)
{
    snprintf(folder, size, "%s", help_folder());
    assert_int_equal(chdir(folder), 0);
    mkdir("x", 0700);
    mkdir("y", 0700);
    mkdir("x/docs", 0700);
    mkdir("y/docs", 0700);
    mkdir("x/docs/in", 0700);
}

static void one_root(void **state)
{
    (void)state;
    char folder[512], path[600];
    make_folders(folder, sizeof folder);
    assert_int_equal(symlink("x/docs", "link"), 0);
    roots_t *roots = roots_new();
    roots_add(roots, "x/docs/");
    roots_add(roots, "./x//docs"); // the same one
    roots_add(roots, "nothing");
    roots = read_again(&roots);
    snprintf(path, sizeof path, "%s/x/docs/a.md", folder);
    expect_id(roots, path, "a.md");
    expect_id(roots, "x/docs/a.md", "a.md");
    expect_id(roots, "./x/../x//docs/./in/a.md", "in/a.md");
    expect_id(roots, "link/in/a.md", "in/a.md");
    expect_id(roots, "x/docsa.md", "x/docsa.md");
    expect_id(roots, "./y//docs/../a.md", "y/a.md");
    expect_id(roots, "../../b.md", "../../b.md");
    expect_id(roots, "../a/../../b.md", "../../b.md");
    expect_id(roots, "/../b.md", "/b.md");
    roots_unref(&roots);
    help_remove(folder);
}

static void several_roots(void **state)
{
    (void)state;
    char folder[512];
    make_folders(folder, sizeof folder);
    roots_t *roots = roots_new();
    roots_add(roots, "x/docs");
    roots_add(roots, "y/docs");
    roots_add(roots, "x/docs/in"); // the innermost counts
    roots = read_again(&roots);
    expect_id(roots, "x/docs/a.md", "x/docs/a.md");
    expect_id(roots, "y/docs/a.md", "y/docs/a.md");
    expect_id(roots, "x/docs/in/a.md", "in/a.md");
    expect_id(roots, "x/a.md", "x/a.md");
    char *path = roots_locate(roots, "y/docs/a.md");
    assert_non_null(strstr(path, "/y/docs/a.md"));
    free(path);
    assert_null(roots_locate(roots, "z/a.md"));
    roots_unref(&roots);
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_root),
        cmocka_unit_test(several_roots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
