// JSONL, the choice of a reader, bytes that are no UTF-8, gzip.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "index_help.h"
#include "input.h"

static void a_document_a_line(void **state)
{
    (void)state;
    document_t doc;
    help_read(&format_jsonl,
              "{\"id\": \"a b\", \"title\": \" T\\n x\", \"text\": \"one.\\n\\ntwo\", \"year\": 7, "
              "\"url\": \"http://e/\", \"vector\": [3, 4.0]}",
              &doc);
    assert_string_equal(doc.id, "a b");
    assert_string_equal(doc.title, "T x");
    assert_string_equal(doc.source, "http://e/");
    assert_string_equal(doc.meta, "{\"year\":7,\"url\":\"http://e/\"}");
    assert_string_equal(doc.text.data, "one.\n\ntwo");
    assert_int_equal(doc.blocks_size, 2);
    assert_int_equal(doc.vector_size, 2);
    assert_true(doc.vector[1] == 4.0f);
    document_free(&doc);
    help_read(&format_jsonl, "{\"id\":12,\"text\":\"a\\u0000b\",\"title\":null}", &doc);
    assert_string_equal(doc.id, "12");
    assert_string_equal(doc.text.data, "a\xef\xbf\xbd"
                                       "b");
    document_free(&doc);
}

static void lines_that_are_wrong_are_refused_in_words(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"nonsense", "JSON"},
        {"[1]", "object"},
        {"{\"id\":\"a\"}", "\"text\""},
        {"{\"text\":7}", "\"text\""},
        {"{\"text\":\"a\",\"id\":[]}", "\"id\""},
        {"{\"text\":\"a\",\"id\":\"\"}", "\"id\""},
        {"{\"text\":\"a\",\"title\":{}}", "\"title\""},
        {"{\"text\":\"a\",\"vector\":[]}", "\"vector\""},
        {"{\"text\":\"a\",\"vector\":\"x\"}", "\"vector\""},
        {"{\"text\":\"a\",\"vector\":[1,null]}", "finite"},
        {"{\"text\":\"a\",\"vector\":[1e39]}", "finite"},
        {"{\"text\":\"a\",\"vector\":[0,0]}", "zeros"},
        {"{\"text\":\"a\"", "JSON"},
        {"", "JSON"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char why[256] = "";
        document_t doc;
        document_init(&doc);
        const char *line = pairs[i][0];
        assert_int_equal(format_jsonl.read(line, strlen(line), &doc, why, sizeof why), -1);
        if (!strstr(why, pairs[i][1]))
            fail_msg("%s: \"%s\" does not speak of %s", line, why, pairs[i][1]);
        document_free(&doc);
    }
}

static void metadata_has_a_bound(void **state)
{
    (void)state;
    size_t size = DOC_MAX_META + 100;
    char *line = malloc(size), why[256];
    int at = snprintf(line, size, "{\"text\":\"a\",\"x\":\"");
    memset(line + at, 'x', size - (size_t)at);
    memcpy(line + size - 3, "\"}", 3);
    document_t doc;
    document_init(&doc);
    assert_int_equal(format_jsonl.read(line, size - 1, &doc, why, sizeof why), -1);
    assert_non_null(strstr(why, "metadata"));
    document_free(&doc);
    free(line);
}

static void the_reader_for_a_file(void **state)
{
    (void)state;
    static const struct {
        const char *path, *head;
        const format_t *reader;
    } rows[] = {
        {"a/b.md", "x", &format_markdown},
        {"README.MD.gz", "x", &format_markdown},
        {"x.txt", "x", &format_plain},
        {"README", "x", &format_plain},
        {"zmq.3.gz", ".TH X 3\n", &format_man},
        {"log.1", "2024-01-01 started\n", &format_plain},
        {"page", "'\\\" t\n.TH", &format_man},
        {"x.jsonl", "", &format_jsonl},
        {"x", "{\"id\":\"a\",\"text\":\"b\"}\n", &format_jsonl},
        {"style.css", "p {}", NULL},
        {"x.png", "\x89PNG\r\n\x1a\n\0\0\0\0", NULL},
        {".hidden", "x", &format_plain},
        {"empty.md", "", &format_markdown},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = strstr(rows[i].path, ".png") ? 12 : strlen(rows[i].head);
        report_reason_t reason;
        const char *what;
        assert_ptr_equal(format_for(rows[i].path, rows[i].head, size, &reason, &what),
                         rows[i].reader);
    }
}

static void check_text(const char *bytes, size_t size, const char *expected, size_t repaired)
{
    size_t length, got;
    char *text = input_text(bytes, size, &length, &got);
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
    assert_int_equal(got, repaired);
    free(text);
}

static void bytes_become_text(void **state)
{
    (void)state;
    check_text("a\r\nb\rc\fd", 8, "a\nb\nc\nd", 0);
    check_text("\xef\xbb\xbfmark", 7, "mark", 0);
    check_text("\xff\xfeh\0\xe9\0", 6, "h\xc3\xa9", 0);
    check_text("\xfe\xff\0h\0i", 6, "hi", 0);
    check_text("a\xff"
               "b\0c",
               5,
               "a\xef\xbf\xbd"
               "b\xef\xbf\xbd"
               "c",
               2);
    check_text("<meta charset=\"iso-8859-1\">caf\xe9", 31,
               "<meta charset=\"iso-8859-1\">caf\xc3\xa9", 0);
    check_text("<meta charset=bogus>\xe9", 21, "<meta charset=bogus>\xef\xbf\xbd", 1);
    check_text("", 0, "", 0);
}

static void write_gz(const char *path, const char *text, size_t cut)
{
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    gzwrite(file, text, (unsigned)strlen(text));
    gzclose(file);
    if (cut) {
        FILE *plain = fopen(path, "rb");
        fseek(plain, 0, SEEK_END);
        long size = ftell(plain);
        fclose(plain);
        assert_int_equal(truncate(path, size - (long)cut), 0);
    }
}

static void gzip_is_unpacked_and_a_torn_file_is_found_out(void **state)
{
    (void)state;
    char path[] = "/tmp/ragline-test-XXXXXX", why[256];
    close(mkstemp(path));
    write_gz(path, "line one\nline two\n", 0);
    input_t *input = input_new(path, why, sizeof why);
    size_t size;
    assert_memory_equal(input_head(input, &size), "line one", 8);
    assert_int_equal(size, 18);
    rl_buf_t line = rl_buf_make(INPUT_MAX_LINE);
    assert_int_equal(input_line(input, &line, why, sizeof why), 1);
    assert_string_equal(line.data, "line one");
    assert_int_equal(input_line(input, &line, why, sizeof why), 1);
    assert_int_equal(input_line(input, &line, why, sizeof why), 0);
    input_destroy(&input);
    write_gz(path, "some text that is torn in the middle of it", 12);
    input = input_new(path, why, sizeof why);
    input_head(input, &size);
    assert_int_equal(input_all(input, &line, why, sizeof why), -1);
    assert_non_null(strstr(why, "gzip"));
    input_destroy(&input);
    rl_buf_free(&line);
    unlink(path);
}

static void a_line_that_is_too_long_is_passed_over(void **state)
{
    (void)state;
    char path[] = "/tmp/ragline-test-XXXXXX", why[256];
    FILE *file = fdopen(mkstemp(path), "wb");
    for (size_t i = 0; i < (INPUT_MAX_LINE >> 10) + 1; i++)
        fprintf(file, "%1024s", "");
    fputs("\nnext", file);
    fclose(file);
    input_t *input = input_new(path, why, sizeof why);
    rl_buf_t line = rl_buf_make(INPUT_MAX_LINE);
    assert_int_equal(input_line(input, &line, why, sizeof why), -1);
    assert_non_null(strstr(why, "MiB"));
    assert_int_equal(input_line(input, &line, why, sizeof why), 1);
    assert_string_equal(line.data, "next");
    input_destroy(&input);
    rl_buf_free(&line);
    unlink(path);
    assert_null(input_new(path, why, sizeof why));
    assert_null(input_new("/tmp", why, sizeof why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_a_line),
        cmocka_unit_test(lines_that_are_wrong_are_refused_in_words),
        cmocka_unit_test(metadata_has_a_bound),
        cmocka_unit_test(the_reader_for_a_file),
        cmocka_unit_test(bytes_become_text),
        cmocka_unit_test(gzip_is_unpacked_and_a_torn_file_is_found_out),
        cmocka_unit_test(a_line_that_is_too_long_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
