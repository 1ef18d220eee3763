// Files of vectors beside JSONL: NumPy's and TEXMEX's, what is wrong with them, and that they stay
// in step with the lines.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "corpus.h"
#include "index_help.h"
#include "retriever_help.h"
#include "vector_file.h"

static const float three[3][2] = {{1, 0}, {0, 2}, {-3, 4}};

static void put(const char *path, const void *head, size_t head_size, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(head, 1, head_size, file);
    fwrite(data, 1, size, file);
    assert_int_equal(fclose(file), 0);
}

// As numpy.save writes it, with this dictionary.
static void put_npy(const char *path, const char *dictionary, const void *data, size_t size)
{
    char head[200] = "\x93NUMPY\x01";
    size_t length = strlen(dictionary), room = (10 + length + 1 + 63) / 64 * 64 - 10;
    head[7] = 0;
    head[8] = (char)room;
    head[9] = 0;
    memset(head + 10, ' ', room);
    memcpy(head + 10, dictionary, length);
    head[10 + room - 1] = '\n';
    put(path, head, 10 + room, data, size);
}

#define NPY "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"

static void put_fvecs(const char *path, int32_t second)
{
    int32_t numbers[9];
    for (int row = 0; row < 3; row++) {
        numbers[row * 3] = row == 1 ? second : 2;
        memcpy(numbers + row * 3 + 1, three[row], sizeof three[row]);
    }
    put(path, "", 0, numbers, sizeof numbers);
}

static void expect_three(const char *path)
{
    char why[5000] = "";
    vector_file_t *rows = vector_file_new(path, why, sizeof why);
    assert_string_equal(why, "");
    assert_int_equal(vector_file_count(rows), 3);
    assert_int_equal(vector_file_dimension(rows), 2);
    for (int row = 0; row < 3; row++)
        assert_memory_equal(vector_file_next(rows, why, sizeof why), three[row], sizeof three[row]);
    assert_null(vector_file_next(rows, why, sizeof why));
    assert_non_null(strstr(why, "more documents"));
    vector_file_destroy(&rows);
}

static void both_forms(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char *npy = strdup(help_path(folder, "a.npy")), *fvecs = strdup(help_path(folder, "a.fvecs"));
    put_npy(npy, NPY, three, sizeof three);
    put_fvecs(fvecs, 2);
    expect_three(npy);
    expect_three(fvecs);
    free(npy);
    free(fvecs);
    help_remove(folder);
}

static void expect_wrong(const char *path, const char *word)
{
    char why[5000] = "";
    vector_file_t *rows = vector_file_new(path, why, sizeof why);
    while (rows && vector_file_next(rows, why, sizeof why))
        ;
    if (!strstr(why, word))
        fail_msg("\"%s\" does not speak of %s", why, word);
    vector_file_destroy(&rows);
}

static void what_is_wrong_is_named(void **state)
{
    static const char *const headers[] = {
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 1), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0), }",
        "{'descr': '<f4', 'fortran_order': False}",
        "no dictionary",
    };
    (void)state;
    const char *folder = help_folder();
    char *npy = strdup(help_path(folder, "a.npy")), *fvecs = strdup(help_path(folder, "a.fvecs"));
    for (size_t at = 0; at < sizeof headers / sizeof *headers; at++) {
        put_npy(npy, headers[at], three, sizeof three);
        expect_wrong(npy, "float32");
    }
    put_npy(npy, NPY, three, sizeof three - 4);
    expect_wrong(npy, "cut short");
    put_npy(npy, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999, 2), }",
            three, sizeof three);
    expect_wrong(npy, "cut short");
    put(npy, "", 0, "\x93NUMPY\x01\x00\xff\xff", 10);
    expect_wrong(npy, ".npy");
    put(npy, "", 0, "text", 4);
    expect_wrong(npy, ".npy");
    put_fvecs(fvecs, 1);
    expect_wrong(fvecs, "row 2");
    put(fvecs, "", 0, "\xff\xff\xff\xff", 4);
    expect_wrong(fvecs, ".fvecs");
    put(fvecs, "", 0, "", 0);
    expect_wrong(fvecs, ".fvecs");
    free(npy);
    free(fvecs);
    help_remove(folder);
}

// ---- in step with the lines ---------------------------------------------------------------------

static char problems[2000];

// The corpus below FOLDER: "id first-number " of its documents, then "BROKEN why" if it is.
static char *read_corpus(const char *folder)
{
    report_t *report = help_report();
    listing_t *listing = listing_new(report);
    listing_add(listing, folder);
    listing_close(listing);
    corpus_t *corpus = corpus_new(listing, NULL, report);
    rl_buf_t out = rl_buf_make(10000);
    rl_buf_adds(&out, "");
    document_t doc;
    corpus_next_t next;
    while ((next = corpus_next(corpus, &doc)) != CORPUS_END) {
        if (next == CORPUS_BROKEN) {
            rl_buf_addf(&out, "BROKEN %s", corpus_why(corpus));
            break;
        }
        if (next == CORPUS_NOTHING)
            continue;
        assert_int_equal(doc.vector_size, 2);
        rl_buf_addf(&out, "%s %g ", doc.id, doc.vector[0]);
        document_free(&doc);
    }
    corpus_destroy(&corpus);
    listing_destroy(&listing);
    help_report_end(&report, problems, sizeof problems);
    return rl_buf_take(&out);
}

static void expect(const char *lines, const char *expected, const char *problem)
{
    const char *folder = help_folder();
    char *npy = strdup(help_path(folder, "a.npy"));
    put_npy(npy, NPY, three, sizeof three);
    put(help_path(folder, "a.jsonl"), "", 0, lines, strlen(lines));
    char *manifest = read_corpus(folder);
    if (!strstr(manifest, expected))
        fail_msg("\"%s\" has no \"%s\"", manifest, expected);
    if (!strstr(problems, problem) || (!*problem && *problems))
        fail_msg("\"%s\" has no \"%s\"", problems, problem);
    free(manifest);
    free(npy);
    help_remove(folder);
}

static void each_line_has_its_row(void **state)
{
    (void)state;
    expect("{\"id\":\"a\",\"text\":\"A\"}\n\n{\"id\":\"b\",\"text\":\"B\"}\n{\"id\":\"c\",\"text\":"
           "\"C\"}",
           "a 1 b 0 c -3 ", "");
    expect("{\"id\":\"a\",\"text\":\"A\"}\nbroken\n{\"id\":\"c\",\"text\":\"C\"}\n", "a 1 c -3 ",
           "a.jsonl\",\"line\":2,");
    expect("{\"id\":\"a\",\"text\":\"A\",\"vector\":[1,1]}\n{\"id\":\"b\",\"text\":\"B\"}\n"
           "{\"id\":\"c\",\"text\":\"\"}\n",
           "b 0 ", "file of vectors too");
}

static void what_does_not_belong_together_is_refused(void **state)
{
    (void)state;
    expect("{\"id\":\"a\",\"text\":\"A\"}\n{\"id\":\"b\",\"text\":\"B\"}\n", "BROKEN ", "");
    expect("{\"text\":\"A\"}\n{\"text\":\"B\"}\n{\"text\":\"C\"}\n{\"text\":\"D\"}\n",
           "more documents", "");
}

static void a_vector_by_another_name(void **state)
{
    (void)state;
    const char *folder = help_folder();
    const char *lines = "{\"id\":\"a\",\"text\":\"A\",\"embedding\":[7,1]}\n"
                        "{\"id\":\"b\",\"text\":\"B\",\"vector\":[8,1],\"embedding\":\"openai\"}\n";
    put(help_path(folder, "b.jsonl"), "", 0, lines, strlen(lines));
    char *manifest = read_corpus(folder);
    assert_string_equal(manifest, "a 7 b 8 ");
    free(manifest);
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(each_line_has_its_row),
        cmocka_unit_test(what_does_not_belong_together_is_refused),
        cmocka_unit_test(a_vector_by_another_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
