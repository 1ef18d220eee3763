// The log of changes: what is written comes back, torn ends are cut off, damage is named.
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "change_log_private.h"
#include "retriever_help.h"

static char why[1024];

static change_t put_of(const char *id, rl_passage_t *passage, const float *vector)
{
    *passage = (rl_passage_t){.doc = id,
                              .title = "T",
                              .heading = "H",
                              .source = "notes/a.md",
                              .text = "Some words.",
                              .meta = "{\"year\":2024}",
                              .start = 3,
                              .end = 14,
                              .hash = 99};
    return (change_t){.kind = CHANGE_PUT,
                      .name = id,
                      .passages = passage,
                      .passages_size = 1,
                      .vectors = vector,
                      .dimension = vector ? HELP_DIMENSION : 0,
                      .model_hash = change_log_model_hash("model")};
}

static change_log_writer_t *open_log(const char *folder, uint64_t after)
{
    change_log_writer_t *writer = change_log_writer_new(folder, after, why, sizeof why);
    if (!writer)
        fail_msg("%s", why);
    return writer;
}

// Commits `count` documents named by the number of their change.
static uint64_t write_some(change_log_writer_t *writer, size_t count)
{
    uint64_t first = 0;
    char id[32];
    float vector[HELP_DIMENSION];
    rl_passage_t passage;
    help_vector(1, HELP_DIMENSION, vector);
    for (size_t at = 0; at < count; at++) {
        snprintf(id, sizeof id, "doc-%zu", at);
        change_t change = put_of(id, &passage, vector);
        assert_int_equal(change_log_add(writer, &change, why, sizeof why), 0);
    }
    assert_int_equal(change_log_commit(writer, &first, why, sizeof why), 0);
    return first;
}

// Reads to the end; returns the number of the last change, and how it ended in *end.
static uint64_t read_all(const char *folder, uint64_t after, change_log_next_t *end)
{
    change_log_reader_t *reader = change_log_reader_new(folder, after);
    const change_t *changes;
    size_t size;
    uint64_t first, last = after;
    while ((*end = change_log_reader_next(reader, &changes, &size, &first, why, sizeof why)) ==
           CHANGE_LOG_FRAME) {
        assert_int_equal(first, last + 1);
        last = first + size - 1;
        assert_int_equal(change_log_reader_at(reader), last);
    }
    change_log_reader_destroy(&reader);
    return last;
}

static const char *segment(const char *folder, uint64_t first)
{
    char name[64];
    snprintf(name, sizeof name, "changes/%020" PRIu64 ".log", first);
    return help_path(folder, name);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const char *folder = help_folder();
    change_log_next_t end;
    assert_int_equal(read_all(folder, 0, &end), 0);
    assert_int_equal(end, CHANGE_LOG_NONE);
    change_log_writer_t *writer = open_log(folder, 0);
    assert_true(change_log_writer_is_first(writer));
    float vector[HELP_DIMENSION];
    help_vector(7, HELP_DIMENSION, vector);
    rl_passage_t passage;
    change_t change = put_of("a", &passage, vector);
    change_t drop = {.kind = CHANGE_DELETE, .name = "b"};
    change_t source = {.kind = CHANGE_DELETE_SOURCE, .name = "notes/b.md"};
    uint64_t first;
    assert_int_equal(change_log_add(writer, &change, why, sizeof why), 0);
    assert_int_equal(change_log_add(writer, &drop, why, sizeof why), 0);
    assert_int_equal(change_log_add(writer, &source, why, sizeof why), 0);
    assert_int_equal(change_log_commit(writer, &first, why, sizeof why), 0);
    assert_int_equal(first, 1);

    change_log_reader_t *reader = change_log_reader_new(folder, 0);
    const change_t *changes;
    size_t size;
    assert_true(change_log_reader_has_more(reader));
    assert_int_equal(change_log_reader_next(reader, &changes, &size, &first, why, sizeof why),
                     CHANGE_LOG_FRAME);
    assert_int_equal(size, 3);
    assert_string_equal(changes[0].name, "a");
    assert_string_equal(changes[0].passages[0].text, "Some words.");
    assert_string_equal(changes[0].passages[0].meta, "{\"year\":2024}");
    assert_int_equal(changes[0].passages[0].end, 14);
    assert_int_equal(changes[0].model_hash, change_log_model_hash("model"));
    assert_memory_equal(changes[0].vectors, vector, sizeof vector);
    assert_int_equal(changes[1].kind, CHANGE_DELETE);
    assert_string_equal(changes[2].name, "notes/b.md");
    assert_int_equal(change_log_reader_next(reader, &changes, &size, &first, why, sizeof why),
                     CHANGE_LOG_NONE);
    assert_false(change_log_reader_has_more(reader));
    assert_int_equal(write_some(writer, 2), 4); // by who has it open, while another reads
    assert_true(change_log_reader_has_more(reader));
    assert_int_equal(change_log_reader_next(reader, &changes, &size, &first, why, sizeof why),
                     CHANGE_LOG_FRAME);
    assert_int_equal(first, 4);
    change_log_reader_destroy(&reader);
    change_log_writer_destroy(&writer);
    help_remove(folder);
}

static void a_reader_begins_within_a_frame(void **state)
{
    (void)state;
    const char *folder = help_folder();
    change_log_writer_t *writer = open_log(folder, 0);
    write_some(writer, 5);
    change_log_next_t end;
    assert_int_equal(read_all(folder, 3, &end), 5);
    assert_int_equal(end, CHANGE_LOG_NONE);
    change_log_writer_destroy(&writer);
    help_remove(folder);
}

static void two_writers_take_turns(void **state)
{
    (void)state;
    const char *folder = help_folder();
    change_log_writer_t *one = open_log(folder, 0), *other = open_log(folder, 0);
    assert_int_equal(write_some(one, 2), 1);
    assert_int_equal(write_some(other, 3), 3);
    assert_int_equal(write_some(one, 1), 6);
    assert_int_equal(change_log_rotate(other, why, sizeof why), 0);
    assert_int_equal(change_log_rotate(one, why, sizeof why), 0); // there is nothing in it yet
    assert_int_equal(write_some(one, 1), 7);
    assert_int_equal(write_some(other, 1), 8);
    assert_int_equal(change_log_rotate(other, why, sizeof why), 0);
    change_log_forget(folder, 6);
    assert_int_equal(access(segment(folder, 1), F_OK), -1);
    assert_int_equal(write_some(one, 1), 9); // its segment has ended, and the next two are there
    change_log_next_t end;
    assert_int_equal(read_all(folder, 6, &end), 9);
    assert_int_equal(end, CHANGE_LOG_NONE);
    assert_int_equal(read_all(folder, 5, &end), 5);
    assert_int_equal(end, CHANGE_LOG_GONE);
    uint64_t last;
    assert_int_equal(change_log_last(folder, &last, why, sizeof why), 0);
    assert_int_equal(last, 9);
    change_log_writer_destroy(&one);
    change_log_writer_destroy(&other);
    help_remove(folder);
}

// Wherever the last frame is cut, those before it are read, and the next writer goes on behind
// them.
static void an_end_torn_at_any_byte_is_cut_off(void **state)
{
    (void)state;
    const char *folder = help_folder();
    change_log_writer_t *writer = open_log(folder, 0);
    write_some(writer, 2);
    long whole = help_size(segment(folder, 1));
    write_some(writer, 1);
    long all = help_size(segment(folder, 1));
    change_log_writer_destroy(&writer);
    size_t size;
    char *data = file_read(segment(folder, 1), 1 << 20, &size);
    for (long at = whole; at < all; at++) {
        assert_int_equal(file_write(segment(folder, 1), data, (size_t)at), 0);
        change_log_next_t end;
        assert_int_equal(read_all(folder, 0, &end), 2);
        assert_int_equal(end, CHANGE_LOG_NONE);
        writer = open_log(folder, 0);
        assert_int_equal(help_size(segment(folder, 1)), whole);
        assert_int_equal(write_some(writer, 1), 3);
        assert_int_equal(read_all(folder, 0, &end), 3);
        change_log_writer_destroy(&writer);
    }
    free(data);
    help_remove(folder);
}

// Rubbish behind the last frame is cut off; in a frame that has others behind it, it is named.
static void rubbish_is_cut_off_or_named(void **state)
{
    (void)state;
    const char *folder = help_folder();
    change_log_writer_t *writer = open_log(folder, 0);
    write_some(writer, 1);
    long first = help_size(segment(folder, 1));
    write_some(writer, 1);
    write_some(writer, 1);
    change_log_writer_destroy(&writer);
    size_t size;
    char *data = file_read(segment(folder, 1), 1 << 20, &size);
    uint64_t random = 1;
    for (int turn = 0; turn < 300; turn++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        long at = (long)sizeof(changes_head_t) +
                  (long)(random >> 33) % (long)(size - sizeof(changes_head_t));
        assert_int_equal(file_write(segment(folder, 1), data, size), 0);
        char byte[2] = {(char)(data[at] ^ (1 << random % 7)), 0};
        if (!*byte || data[at] == *byte)
            continue;
        help_spoil(segment(folder, 1), at, byte);
        change_log_next_t end;
        uint64_t last = read_all(folder, 0, &end);
        long frame = (first - (long)sizeof(changes_head_t));
        uint64_t sound = (uint64_t)((at - (long)sizeof(changes_head_t)) / frame);
        assert_int_equal(last, sound);
        assert_int_equal(end, sound == 2 ? CHANGE_LOG_NONE : CHANGE_LOG_DAMAGED);
        writer = change_log_writer_new(folder, 0, why, sizeof why);
        assert_int_equal(writer != NULL, sound == 2);
        if (!writer)
            assert_non_null(strstr(why, "damaged at byte"));
        else
            assert_int_equal(write_some(writer, 1), 3);
        change_log_writer_destroy(&writer);
    }
    free(data);
    help_spoil(segment(folder, 1), 0, "RUBBISH!");
    assert_null(change_log_writer_new(folder, 0, why, sizeof why));
    assert_non_null(strstr(why, "is no log of changes"));
    help_remove(folder);
}

static void bounds_hold(void **state)
{
    (void)state;
    const char *folder = help_folder();
    change_log_writer_t *writer = open_log(folder, 7);
    char id[CHANGE_LOG_MAX_ID + 2];
    memset(id, 'x', sizeof id);
    id[CHANGE_LOG_MAX_ID + 1] = '\0';
    change_t change = {.kind = CHANGE_DELETE, .name = id};
    assert_int_equal(change_log_add(writer, &change, why, sizeof why), -1);
    change.name = "";
    assert_int_equal(change_log_add(writer, &change, why, sizeof why), -1);
    id[CHANGE_LOG_MAX_ID] = '\0';
    change.name = id;
    assert_int_equal(change_log_add(writer, &change, why, sizeof why), 0);
    uint64_t first;
    assert_int_equal(change_log_commit(writer, &first, why, sizeof why), 0);
    assert_int_equal(first, 8); // behind what the generation has
    change_log_writer_destroy(&writer);
    assert_null(change_log_writer_new(folder, 100, why, sizeof why));
    assert_non_null(strstr(why, "its last change is number 8"));
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_reader_begins_within_a_frame),
        cmocka_unit_test(two_writers_take_turns),
        cmocka_unit_test(an_end_torn_at_any_byte_is_cut_off),
        cmocka_unit_test(rubbish_is_cut_off_or_named),
        cmocka_unit_test(bounds_hold),
    };
    return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
