// Files to documents: which are listed, in which order, what their ids are, what is said of those
// that cannot be used.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "corpus.h"
#include "index_help.h"
#include "listing.h"
#include "retriever_help.h"

// What the report of the last ids_of said, as JSON lines, and its counts.
static char problems[4000];
static uint64_t faults, counted[REPORT_REASONS];

// Ids, one after the other ("a b "), of all documents below these paths.
static char *ids_of(const char *const *paths, corpus_counts_t *counts)
{
    report_t *report = help_report();
    listing_t *listing = listing_new(report);
    roots_t *roots = roots_new();
    for (; *paths; paths++) {
        roots_add(roots, *paths);
        listing_add(listing, *paths);
    }
    listing_close(listing);
    corpus_t *corpus = corpus_new(listing, roots, report);
    rl_buf_t ids = rl_buf_make(10000);
    rl_buf_adds(&ids, "");
    document_t doc;
    corpus_next_t next;
    while ((next = corpus_next(corpus, &doc)) != CORPUS_END) {
        if (next == CORPUS_NOTHING)
            continue;
        help_check(&doc);
        assert_non_null(doc.source);
        rl_buf_addf(&ids, "%s ", doc.id);
        document_free(&doc);
    }
    *counts = *corpus_counts(corpus);
    assert_int_equal(counts->bytes, listing_bytes(listing));
    corpus_destroy(&corpus);
    roots_unref(&roots);
    listing_destroy(&listing);
    faults = report_faults(report);
    for (size_t at = 0; at < REPORT_REASONS; at++)
        counted[at] = report_count(report, (report_reason_t)at);
    help_report_end(&report, problems, sizeof problems);
    return rl_buf_take(&ids);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    FILE *file = fopen(help_path(folder, name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_folder_of_everything(void **state)
{
    (void)state;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", help_fixture("guide.md"));
    *strrchr(folder, '/') = '\0';
    corpus_counts_t counts;
    char *ids = ids_of((const char *[]){folder, NULL}, &counts);
    assert_string_equal(ids, "guide.md heron.1 note-1 note-2 page.html sub/parts.txt ");
    assert_int_equal(counts.files, 6);
    assert_int_equal(counted[REPORT_PROGRAM], 1); // the style sheet
    assert_int_equal(counted[REPORT_EMPTY], 1);
    assert_int_equal(faults, 1);
    assert_non_null(strstr(problems, "lines.jsonl\",\"line\":3,"));
    free(ids);
}

static void names_that_meet_twice(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char one[200], two[200];
    snprintf(one, sizeof one, "%s/one", folder);
    snprintf(two, sizeof two, "%s/two", folder);
    mkdir(one, 0700);
    mkdir(two, 0700);
    write_file(one, "a.md", "text of one");
    write_file(two, "a.md", "text of two");
    write_file(two, "b.jsonl",
               "{\"id\":\"a.md\",\"text\":\"x\"}\n{\"id\":\"a.md\",\"text\":\"y\"}\n");
    corpus_counts_t counts;
    char expected[600];
    char *ids = ids_of((const char *[]){one, two, one, NULL}, &counts);
    snprintf(expected, sizeof expected, "one/a.md two/a.md a.md ");
    assert_string_equal(ids, expected);
    assert_int_equal(counted[REPORT_ID_TAKEN], 1); // the second line of b.jsonl
    assert_non_null(strstr(problems, "b.jsonl\",\"line\":2,"));
    free(ids);
    help_remove(folder);
}

// Two ids with the same 64 bit FNV-1a hash, by which they were told apart once.
static void ids_that_somebody_has_made_collide(void **state)
{
    (void)state;
    const char *folder = help_folder();
    write_file(folder, "a.jsonl",
               "{\"id\":\"8yn0iYCKYHlIj4-BwPqk\",\"text\":\"x\"}\n"
               "{\"id\":\"GReLUrM4wMqfg9yzV3KQ\",\"text\":\"y\"}\n");
    corpus_counts_t counts;
    char *ids = ids_of((const char *[]){folder, NULL}, &counts);
    assert_string_equal(ids, "8yn0iYCKYHlIj4-BwPqk GReLUrM4wMqfg9yzV3KQ ");
    assert_int_equal(faults, 0);
    free(ids);
    help_remove(folder);
}

static void links_and_loops(void **state)
{
    (void)state;
    const char *folder = help_folder();
    write_file(folder, "real.md", "text");
    assert_int_equal(symlink("real.md", help_path(folder, "another.md")), 0);
    assert_int_equal(symlink(".", help_path(folder, "loop")), 0);
    assert_int_equal(symlink("nowhere", help_path(folder, "gone.md")), 0);
    corpus_counts_t counts;
    char *ids = ids_of((const char *[]){folder, NULL}, &counts);
    assert_string_equal(ids, "real.md ");
    assert_non_null(strstr(problems, "gone.md\",\"reason\":\"link\""));
    free(ids);
    help_remove(folder);
}

static void what_is_named_must_be_readable(void **state)
{
    (void)state;
    const char *folder = help_folder();
    write_file(folder, "pic.png", "\x89PNG\r\n\x1a\n\x01\x02\x03\x04\x05");
    char picture[200];
    snprintf(picture, sizeof picture, "%s/pic.png", folder);
    corpus_counts_t counts;
    char *ids = ids_of((const char *[]){picture, "/nonexistent/x", NULL}, &counts);
    assert_string_equal(ids, "");
    assert_non_null(strstr(problems, "pic.png\",\"reason\":\"format\""));
    assert_non_null(strstr(problems, "\"/nonexistent/x\",\"reason\":\"unreadable\""));
    free(ids);
    ids = ids_of((const char *[]){folder, NULL}, &counts); // found in a folder: named as well
    assert_int_equal(faults, 1);
    assert_non_null(strstr(problems, "\"a PNG image\""));
    free(ids);
    help_remove(folder);
}

static void titles_of_files(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"guide.md", "The Heron pump"},
        {"page.html", "Heron: questions & answers"},
        {"heron.1", "heron - controls a bilge pump"},
        {"sub/parts.txt", "Spare parts"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char why[200];
        report_t *report = report_new("", why, sizeof why);
        listing_t *listing = listing_new(report);
        listing_add(listing, help_fixture(pairs[i][0]));
        listing_close(listing);
        corpus_t *corpus = corpus_new(listing, NULL, report);
        document_t doc;
        corpus_next_t next;
        while ((next = corpus_next(corpus, &doc)) == CORPUS_NOTHING)
            continue;
        assert_int_equal(next, CORPUS_DOCUMENT);
        assert_string_equal(doc.title, pairs[i][1]);
        document_free(&doc);
        corpus_destroy(&corpus);
        listing_destroy(&listing);
        report_destroy(&report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_of_everything),
        cmocka_unit_test(names_that_meet_twice),
        cmocka_unit_test(ids_that_somebody_has_made_collide),
        cmocka_unit_test(links_and_loops),
        cmocka_unit_test(what_is_named_must_be_readable),
        cmocka_unit_test(titles_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
