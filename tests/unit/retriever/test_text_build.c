// The text's index, written in segments by several threads and merged: each passage is found under
// its id, and scores are those of an index that was written in one go.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "passages.h"
#include "retriever_help.h"
#include "text_build.h"
#include "text_index.h"

enum {
    MANY = 24000, // of 400 bytes: more than one thread is worth
    K = 5,
};

static void write_passages(const char *folder, uint64_t count)
{
    char why[256], text[512], filler[380];
    passages_writer_t *writer = passages_writer_new(folder, why, sizeof why);
    assert_non_null(writer);
    for (size_t at = 0; at < sizeof filler - 1; at++)
        filler[at] = at % 8 == 7 ? ' ' : 'x';
    filler[sizeof filler - 1] = '\0';
    for (uint64_t at = 1; at <= count; at++) {
        snprintf(text, sizeof text, "unique%llu every%llu %s", (unsigned long long)at,
                 (unsigned long long)at % 100, filler);
        rl_passage_t passage = {.doc = "doc", .title = "Title", .text = text, .id = at};
        assert_int_equal(passages_writer_add(writer, &passage, why, sizeof why), 0);
    }
    assert_int_equal(passages_writer_close(&writer, why, sizeof why), 0);
}

typedef struct seen {
    uint64_t last;
    bool merged;
} seen_t;

static void on_progress(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    seen_t *seen = arg;
    seen->merged = seen->merged || strcmp(stage, "merging") == 0;
    assert_true(done <= total);
    if (strcmp(stage, "text") == 0) {
        assert_true(done >= seen->last && total == MANY);
        seen->last = done;
    }
}

static text_index_t *build(const char *folder, uint64_t count, size_t threads, seen_t *seen)
{
    char why[256] = "";
    write_passages(folder, count);
    assert_int_equal(text_build(folder, "english", count, threads, seen ? on_progress : NULL, seen,
                                why, sizeof why),
                     0);
    assert_false(help_exists(folder, "text.0.0"));
    text_index_t *reader =
        text_index_new(help_path(folder, TEXT_FOLDER), "english", why, sizeof why);
    assert_non_null(reader);
    assert_int_equal(text_index_count(reader), count);
    return reader;
}

static void segments_are_as_one(void **state)
{
    (void)state;
    const char *one = help_folder(), *two = help_folder();
    seen_t alone = {0}, shared = {0};
    text_index_t *reader = build(one, MANY, 1, &alone), *other = build(two, MANY, 3, &shared);
    assert_false(alone.merged);
    assert_true(shared.merged);
    assert_int_equal(shared.last, MANY);
    for (uint64_t at = 1; at <= MANY; at += 997) {
        char question[64], why[256];
        uint64_t ids[K], others[K];
        double scores[K], others_scores[K], bound, others_bound;
        snprintf(question, sizeof question, "unique%llu every%llu", (unsigned long long)at,
                 (unsigned long long)at % 100);
        assert_int_equal(
            text_index_search(reader, question, K, NULL, ids, scores, &bound, why, sizeof why), K);
        assert_int_equal(text_index_search(other, question, K, NULL, others, others_scores,
                                           &others_bound, why, sizeof why),
                         K);
        assert_int_equal(ids[0], at);
        assert_memory_equal(ids, others, sizeof ids);
        assert_memory_equal(scores, others_scores, sizeof scores);
        assert_true(bound == others_bound);
    }
    text_index_destroy(&reader);
    text_index_destroy(&other);
    help_remove(one);
    help_remove(two);
}

static void few_and_none(void **state)
{
    (void)state;
    for (uint64_t count = 0; count < 3; count++) {
        const char *folder = help_folder();
        text_index_t *reader = build(folder, count, 4, NULL);
        text_index_destroy(&reader);
        help_remove(folder);
    }
}

static void what_cannot_be_written_is_named(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char why[256] = "";
    assert_int_equal(text_build(folder, "english", 1, 1, NULL, NULL, why, sizeof why), -1);
    assert_non_null(strstr(why, PASSAGES_BIN));
    write_passages(folder, 3);
    help_cut(help_path(folder, PASSAGES_BIN), 100);
    assert_int_equal(text_build(folder, "english", 3, 2, NULL, NULL, why, sizeof why), -1);
    assert_non_null(strstr(why, "damaged"));
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_as_one),
        cmocka_unit_test(few_and_none),
        cmocka_unit_test(what_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
