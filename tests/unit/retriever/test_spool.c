// The spool: passages come out as they went in, as often as it is rewound.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "retriever_help.h"
#include "spool.h"

static char why[300];

static vector_key_t key_of(size_t number)
{
    char text[32];
    int size = snprintf(text, sizeof text, "text %zu", number);
    return vector_key("model", text, (size_t)size);
}

static void the_spool_gives_back_what_it_took(void **state)
{
    (void)state;
    const char *folder = help_folder();
    spool_t *spool = spool_new(folder, why, sizeof why);
    assert_non_null(spool);
    float vector[3] = {1, 2, 3};
    for (uint64_t i = 0; i < 1000; i++) {
        char text[64];
        snprintf(text, sizeof text, "text %llu\nüber", (unsigned long long)i);
        spooled_t item = {
            .shard = i % 7,
            .key = key_of(i),
            .vector = i % 2 ? vector : NULL,
            .vector_size = 3,
            .passage = {
                .doc = "d", .text = text, .meta = NULL, .start = i, .end = i + 9, .hash = i * 3}};
        assert_int_equal(spool_add(spool, &item, why, sizeof why), 0);
    }
    for (int again = 0; again < 2; again++) {
        assert_int_equal(spool_rewind(spool, why, sizeof why), 0);
        spooled_t item;
        uint64_t count = 0;
        while (spool_next(spool, &item, why, sizeof why) == 1) {
            vector_key_t key = key_of(count);
            char text[64];
            snprintf(text, sizeof text, "text %llu\nüber", (unsigned long long)count);
            assert_int_equal(item.shard, count % 7);
            assert_memory_equal(&item.key, &key, sizeof key);
            assert_string_equal(item.passage.text, text);
            assert_string_equal(item.passage.doc, "d");
            assert_string_equal(item.passage.meta, "");
            assert_int_equal(item.passage.start, count);
            assert_int_equal(item.passage.end, count + 9);
            assert_int_equal(item.passage.hash, count * 3);
            assert_int_equal(item.vector != NULL, count % 2);
            if (item.vector)
                assert_memory_equal(item.vector, vector, sizeof vector);
            count++;
        }
        assert_int_equal(count, 1000);
    }
    spool_destroy(&spool);
    assert_null(spool_new("/nonexistent", why, sizeof why));
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_spool_gives_back_what_it_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
