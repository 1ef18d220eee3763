// sync_state: what a pass over a folder finds the same, changed and gone; files that are damaged,
// of an earlier version, or in use.
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "files.h"
#include "generation_folder.h"
#include "hash.h"
#include "retriever_help.h"
#include "sync_state.h"

static char why[512], gone_ids[8192];

static sync_state_t *open_state(const char *folder, bool known)
{
    bool busy = true;
    sync_state_t *state = sync_state_open(folder, "/srv/docs", &busy, why, sizeof why);
    assert_non_null(state);
    assert_false(busy);
    assert_int_equal(sync_state_is_known(state), known);
    return state;
}

static void write_state(sync_state_t **state)
{
    assert_int_equal(sync_state_write(*state, why, sizeof why), 0);
    sync_state_close(state);
}

static bool note_gone(void *arg, const char *id)
{
    size_t *left = arg;
    if (left && (*left)-- == 0)
        return false;
    size_t used = strlen(gone_ids);
    snprintf(gone_ids + used, sizeof gone_ids - used, "%s ", id);
    return true;
}

#define PRINT(low) ((rl_hash128_t){low, 7 * (low)})

static const char *gone_of(sync_state_t *state)
{
    *gone_ids = '\0';
    sync_state_gone(state, note_gone, NULL);
    return gone_ids;
}

// A file of one document that is read.
static bool read_file(sync_state_t *state, const char *file, const char *id, uint64_t print)
{
    assert_false(sync_state_see(state, file, 1, (int64_t)print));
    return sync_state_document(state, file, id, PRINT(print));
}

// a.md gives a, b.md gives b and x, c.md gives x too.
static const char *make_state(void)
{
    const char *folder = help_folder();
    sync_state_t *state = open_state(folder, false);
    assert_true(read_file(state, "a.md", "a", 1));
    assert_true(read_file(state, "b.md", "b", 2));
    assert_true(sync_state_document(state, "b.md", "x", PRINT(3)));
    assert_false(read_file(state, "c.md", "x", 3));
    assert_string_equal(gone_of(state), "");
    write_state(&state);
    return folder;
}

static void what_has_not_changed_is_known(void **unused)
{
    (void)unused;
    const char *folder = make_state();
    for (int pass = 0; pass < 3; pass++) {
        sync_state_t *state = open_state(folder, true);
        assert_true(sync_state_see(state, "a.md", 1, 1));
        assert_true(sync_state_see(state, "b.md", 1, 2));
        assert_true(sync_state_see(state, "c.md", 1, 3));
        assert_string_equal(gone_of(state), "");
        write_state(&state);
    }
    sync_state_t *state = open_state(folder, true);
    assert_false(sync_state_see(state, "a.md", 2, 1)); // its size
    assert_false(sync_state_document(state, "a.md", "a", PRINT(1)));
    assert_false(sync_state_see(state, "b.md", 1, 9)); // its time
    assert_true(sync_state_document(state, "b.md", "b", PRINT(9)));
    sync_state_close(&state);
    help_remove(folder);
}

// A folder that cannot be listed keeps what it gave; one whose name only begins so does not.
static void what_is_below_a_folder_that_cannot_be_listed_stays(void **unused)
{
    (void)unused;
    const char *folder = help_folder();
    sync_state_t *state = open_state(folder, false);
    assert_true(read_file(state, "sub/a.md", "a", 1));
    assert_true(read_file(state, "sub/deep/b.md", "b", 2));
    assert_true(read_file(state, "subway.md", "s", 3));
    assert_true(read_file(state, "sub", "f", 4)); // a file of that name, before
    write_state(&state);
    state = open_state(folder, true);
    sync_state_keep_below(state, "sub");
    assert_string_equal(gone_of(state), "s ");
    sync_state_close(&state);
    state = open_state(folder, true);
    sync_state_keep_below(state, "");
    assert_string_equal(gone_of(state), "");
    write_state(&state);
    state = open_state(folder, true);
    assert_false(sync_state_see(state, "sub/a.md", 1, 1)); // it is read again
    assert_false(sync_state_document(state, "sub/a.md", "a", PRINT(1)));
    sync_state_close(&state);
    help_remove(folder);
}

static void what_no_file_gives_any_more_is_gone(void **unused)
{
    (void)unused;
    const char *folder = make_state();
    sync_state_t *state = open_state(folder, true);
    assert_true(sync_state_see(state, "b.md", 1, 2));
    assert_true(sync_state_see(state, "c.md", 1, 3));
    assert_string_equal(gone_of(state), "a "); // with its file
    assert_string_equal(gone_of(state), "");   // once
    write_state(&state);
    state = open_state(folder, true);
    assert_false(read_file(state, "b.md", "x", 3)); // of the two only one is there
    assert_true(sync_state_see(state, "c.md", 1, 3));
    assert_string_equal(gone_of(state), "b ");
    write_state(&state);
    state = open_state(folder, true);
    assert_true(sync_state_see(state, "c.md", 1, 3));
    assert_string_equal(gone_of(state), ""); // the other file still gives it
    write_state(&state);
    state = open_state(folder, true);
    assert_false(read_file(state, "d.md", "x", 3)); // and now another does
    assert_string_equal(gone_of(state), "");
    write_state(&state);
    state = open_state(folder, true);
    assert_string_equal(gone_of(state), "x ");
    sync_state_close(&state);
    help_remove(folder);
}

static void what_is_not_taken_comes_again(void **unused)
{
    (void)unused;
    const char *folder = make_state();
    sync_state_t *state = open_state(folder, true);
    assert_true(sync_state_see(state, "a.md", 1, 1));
    size_t left = 1;
    *gone_ids = '\0';
    sync_state_gone(state, note_gone, &left);
    assert_int_equal(strlen(gone_ids), 2);
    sync_state_gone(state, note_gone, NULL);
    assert_int_equal(strlen(gone_ids), 4);
    assert_non_null(strstr(gone_ids, "b "));
    assert_non_null(strstr(gone_ids, "x "));
    sync_state_close(&state); // not written
    state = open_state(folder, true);
    assert_true(sync_state_see(state, "a.md", 1, 1));
    assert_int_equal(strlen(gone_of(state)), 4);
    sync_state_close(&state);
    help_remove(folder);
}

static void what_cannot_be_read_keeps_its_documents(void **unused)
{
    (void)unused;
    const char *folder = make_state();
    for (int pass = 0; pass < 2; pass++) {
        sync_state_t *state = open_state(folder, true);
        assert_true(sync_state_see(state, "a.md", 1, 1));
        assert_false(sync_state_see(state, "b.md", 5, 5)); // also if it is as it was then
        sync_state_keep(state, "b.md");
        sync_state_keep(state, "c.md"); // and one that could not even be looked at
        sync_state_keep(state, "new.md");
        assert_string_equal(gone_of(state), "");
        write_state(&state);
    }
    sync_state_t *state = open_state(folder, true);
    assert_true(sync_state_see(state, "a.md", 1, 1));
    assert_false(sync_state_see(state, "b.md", 5, 5));
    assert_false(
        sync_state_document(state, "c.md", "x", PRINT(3))); // read, without having been seen
    assert_string_equal(gone_of(state), "b ");
    write_state(&state);
    state = open_state(folder, true);
    assert_false(sync_state_lost_all(state) && sync_state_see(state, "c.md", 1, 3));
    assert_false(sync_state_lost_all(state));
    sync_state_close(&state);
    help_remove(folder);
}

static void without_a_state_the_index_says_what_it_has(void **unused)
{
    (void)unused;
    const char *folder = help_folder();
    sync_state_t *state = open_state(folder, false);
    assert_false(sync_state_lost_all(state));
    sync_state_adopt(state, "a.md", "a", PRINT(1)); // two passages of it
    sync_state_adopt(state, "a.md", "a", PRINT(2));
    sync_state_adopt(state, "b.md", "b", PRINT(5));
    assert_true(sync_state_lost_all(state));
    assert_false(read_file(state, "a.md", "a", 3));
    assert_string_equal(gone_of(state), "b ");
    write_state(&state);
    help_remove(folder);
}

static void names_may_be_long(void **unused)
{
    (void)unused;
    const char *folder = help_folder();
    char ids[2][1025], file[4000];
    memset(file, 'f', sizeof file - 1);
    file[sizeof file - 1] = '\0';
    for (int at = 0; at < 2; at++) {
        memset(ids[at], 'i', 1024);
        ids[at][1023] = (char)('0' + at);
        ids[at][1024] = '\0';
    }
    sync_state_t *state = open_state(folder, false);
    assert_true(read_file(state, file, ids[0], 1));
    assert_true(sync_state_document(state, file, ids[1], PRINT(2)));
    write_state(&state);
    state = open_state(folder, true);
    assert_false(sync_state_see(state, file, 9, 9));
    assert_false(sync_state_document(state, file, ids[0], PRINT(1)));
    assert_int_equal(strncmp(gone_of(state), ids[1], 1024), 0);
    assert_int_equal(strlen(gone_ids), 1025);
    sync_state_close(&state);
    help_remove(folder);
}

static const char *file_of(const char *folder, const char *end)
{
    static char path[512];
    rl_hash128_t hash = rl_hash128("/srv/docs", 9);
    snprintf(path, sizeof path, "%s/sync/%016" PRIx64 "%016" PRIx64 ".%s", folder, hash.high,
             hash.low, end);
    return path;
}

static const char *file_of_before(const char *folder, const char *end)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/sync/%016" PRIx64 ".%s", folder, rl_hash64("/srv/docs", 9),
             end);
    return path;
}

// Whatever byte is another, the state counts as not there.
static void a_damaged_file_counts_as_not_there(void **unused)
{
    (void)unused;
    const char *folder = make_state();
    const char *path = file_of(folder, "mdb");
    long size = help_size(path);
    char *whole = malloc((size_t)size);
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(whole, 1, (size_t)size, file), size);
    fclose(file);
    for (long at = 0; at < size; at += 211) {
        char spoilt = (char)(whole[at] ^ 0x10);
        assert_int_equal(file_write(path, whole, (size_t)size), 0);
        file = fopen(path, "r+b");
        fseek(file, at, SEEK_SET);
        fwrite(&spoilt, 1, 1, file);
        fclose(file);
        sync_state_t *state = open_state(folder, false);
        sync_state_close(&state);
    }
    assert_int_equal(file_write(path, whole, (size_t)size), 0);
    sync_state_t *state = open_state(folder, true); // as it was
    sync_state_close(&state);
    help_cut(path, size - 1);
    state = open_state(folder, false);
    assert_true(read_file(state, "a.md", "a", 1)); // and it goes on from there
    write_state(&state);
    state = open_state(folder, true);
    sync_state_close(&state);
    free(whole);
    help_remove(folder);
}

static void what_could_not_be_written_is_not_trusted(void **unused)
{
    (void)unused;
    const char *folder = make_state(), *path = file_of(folder, "mdb");
    struct rlimit before, small;
    char name[32], sum[17] = "", after[17] = "";
    size_t size;
    long room = help_size(path) + 16384; // a part of what comes fits
    sync_state_t *state = open_state(folder, true);
    for (int file = 0; file < 2000; file++) {
        snprintf(name, sizeof name, "%d.md", file);
        read_file(state, name, name, 1);
    }
    char *whole = file_read(file_of(folder, "sum"), 100, &size);
    snprintf(sum, sizeof sum, "%s", whole);
    free(whole);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){(rlim_t)room, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int rc = sync_state_write(state, why, sizeof why);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(rc, -1);
    sync_state_close(&state);
    whole = file_read(file_of(folder, "sum"), 100, &size);
    snprintf(after, sizeof after, "%s", whole);
    free(whole);
    assert_string_equal(sum, after);
    state = open_state(folder, false);
    write_state(&state);
    help_remove(folder);
}

static void the_file_of_an_earlier_version_goes_when_there_is_another(void **unused)
{
    (void)unused;
    const char *folder = make_state();
    assert_int_equal(file_write(file_of_before(folder, "json"), "{}", 2), 0);
    sync_state_t *state = open_state(folder, true);
    assert_true(read_file(state, "d.md", "d", 4));
    assert_int_equal(access(file_of_before(folder, "json"), F_OK), 0);
    write_state(&state);
    assert_int_not_equal(access(file_of_before(folder, "json"), F_OK), 0);
    help_remove(folder);
}

static void a_build_drops_it(void **unused)
{
    (void)unused;
    const char *folder = make_state();
    generation_folder_drop_sync(folder);
    sync_state_t *state = open_state(folder, false);
    write_state(&state);
    state = open_state(folder, true); // one that is at work meanwhile
    assert_true(read_file(state, "d.md", "d", 4));
    generation_folder_drop_sync(folder);
    write_state(&state);
    state = open_state(folder, false);
    sync_state_close(&state);
    help_remove(folder);
}

static void one_process_synchronises_at_a_time(void **unused)
{
    (void)unused;
    const char *folder = make_state();
    sync_state_t *state = open_state(folder, true);
    bool busy = false;
    assert_null(sync_state_open(folder, "/srv/docs", &busy, why, sizeof why));
    assert_true(busy);
    assert_non_null(strstr(why, "--sync"));
    sync_state_t *other = sync_state_open(folder, "/srv/others", &busy, why, sizeof why);
    assert_non_null(other); // of another folder
    assert_false(sync_state_is_known(other));
    sync_state_close(&other);
    sync_state_close(&state);
    state = open_state(folder, true);
    sync_state_close(&state);
    assert_null(sync_state_open("/nonexistent", "/srv/docs", &busy, why, sizeof why));
    assert_false(busy);
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_not_changed_is_known),
        cmocka_unit_test(what_no_file_gives_any_more_is_gone),
        cmocka_unit_test(what_is_below_a_folder_that_cannot_be_listed_stays),
        cmocka_unit_test(what_is_not_taken_comes_again),
        cmocka_unit_test(what_cannot_be_read_keeps_its_documents),
        cmocka_unit_test(without_a_state_the_index_says_what_it_has),
        cmocka_unit_test(names_may_be_long),
        cmocka_unit_test(a_damaged_file_counts_as_not_there),
        cmocka_unit_test(what_could_not_be_written_is_not_trusted),
        cmocka_unit_test(the_file_of_an_earlier_version_goes_when_there_is_another),
        cmocka_unit_test(a_build_drops_it),
        cmocka_unit_test(one_process_synchronises_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
