// The log: lines that are whole, harmless and valid whatever goes in; the limit; a reader that is
// behind; and dumps, which are bounded and valid JSON.
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
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

#include "clock.h"
#include "dump.h"
#include "log.h"
#include "probes.h"
#include "utf8.h"

// ---- stderr goes into a pipe ------------------------------------------------------------------

static int saved = -1, from = -1;

static void capture(void)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
    saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    from = ends[0];
}

static void let_go(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(from);
}

// All that was written, in a buffer that the next call uses again.
static char *caught(void)
{
    static char text[2 << 20];
    size_t size = 0;
    ssize_t got;
    while ((got = read(from, text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)got;
    text[size] = '\0';
    return text;
}

static size_t count(const char *text, const char *word)
{
    size_t found = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        found++;
    return found;
}

static json_t *parse(const char *line)
{
    json_error_t error;
    json_t *json = json_loads(line, 0, &error);
    if (!json)
        fail_msg("%s in %s", error.text, line);
    return json;
}

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

// ---- lines ------------------------------------------------------------------------------------

static void a_line_has_its_parts(void **state)
{
    (void)state;
    capture();
    rl_log_setup("tester-1", "info", false);
    rl_log(RL_LOG_WARN, "req_1", "%d of %d", 1, 2);
    rl_info("hello");
    rl_log(RL_LOG_DEBUG, NULL, "not shown %d", 3);
    const char *lines = caught();
    assert_non_null(strstr(lines, "Z warn tester-1: req_1 1 of 2\n"));
    assert_non_null(strstr(lines, "Z info tester-1: hello\n"));
    assert_int_equal(count(lines, "\n"), 2);
    rl_log_setup("tester-1", "info", true);
    rl_log(RL_LOG_WARN, "req_1", "say \"%s\"", "no\\thing");
    json_t *json = parse(caught());
    assert_string_equal(text_of(json, "level"), "warn");
    assert_string_equal(text_of(json, "process"), "tester-1");
    assert_string_equal(text_of(json, "id"), "req_1");
    assert_string_equal(text_of(json, "message"), "say \"no\\thing\"");
    assert_int_equal(strlen(text_of(json, "ts")), strlen("2026-01-31T12:00:00.123Z"));
    json_decref(json);
    let_go();
}

// Every byte, alone and in pairs, in a message and in an id, in both forms.
static void any_bytes_give_one_valid_line(void **state)
{
    (void)state;
    capture();
    for (int json = 0; json < 2; json++) {
        rl_log_setup("tester", "info", json == 1);
        for (int first = 1; first < 256; first++) {
            for (int second = 0; second < 256; second += first < 0x80 ? 51 : 1) {
                char bytes[] = {'a', (char)first, (char)second, 'z', '\0'};
                rl_log(RL_LOG_WARN, bytes, "%s", bytes);
                const char *line = caught();
                size_t size = strlen(line);
                assert_true(rl_utf8_valid(line, size));
                assert_int_equal(count(line, "\n"), 1);
                for (size_t at = 0; at + 1 < size; at++) {
                    unsigned char c = (unsigned char)line[at];
                    assert_true(c >= 0x20 && c != 0x7f);
                    assert_false(c == 0xc2 && (unsigned char)line[at + 1] < 0xa0);
                }
                if (json)
                    json_decref(parse(line));
            }
        }
    }
    let_go();
}

static void a_line_is_never_longer_than_a_pipe_takes_whole(void **state)
{
    (void)state;
    static char long_text[20000];
    static const char *const fills[] = {"x", "\"", "\\", "\x01", "ä", "\xff"};
    capture();
    for (int json = 0; json < 2; json++) {
        rl_log_setup("tester", "info", json == 1);
        for (size_t fill = 0; fill < sizeof fills / sizeof *fills; fill++) {
            for (size_t shift = 0; shift < 4; shift++) {
                size_t size = shift, step = strlen(fills[fill]);
                memset(long_text, 'y', shift);
                while (size + step < sizeof long_text) {
                    memcpy(long_text + size, fills[fill], step);
                    size += step;
                }
                long_text[size] = '\0';
                rl_log(RL_LOG_ERROR, long_text, "%s", long_text);
                const char *line = caught();
                assert_in_range(strlen(line), 500, PIPE_BUF);
                assert_true(rl_utf8_valid(line, strlen(line)));
                assert_int_equal(count(line, "\n"), 1);
                if (json)
                    json_decref(parse(line));
            }
        }
    }
    let_go();
}

static void the_journal_gets_priorities(void **state)
{
    (void)state;
    char name[64];
    struct stat file;
    capture();
    assert_int_equal(fstat(STDERR_FILENO, &file), 0);
    snprintf(name, sizeof name, "%llu:%llu", (unsigned long long)file.st_dev,
             (unsigned long long)file.st_ino);
    setenv("JOURNAL_STREAM", name, 1);
    rl_log_setup("tester", "debug", false);
    rl_error("one");
    rl_warn("two");
    rl_info("three");
    rl_log(RL_LOG_DEBUG, NULL, "four");
    assert_string_equal(caught(),
                        "<3>tester: one\n<4>tester: two\n<6>tester: three\n<7>tester: four\n");
    rl_log_setup("tester", "debug", true);
    rl_warn("in JSON");
    const char *line = caught();
    assert_int_equal(strncmp(line, "<4>{", 4), 0);
    json_decref(parse(line + 3));
    setenv("JOURNAL_STREAM", "1:1", 1); // of a parent: this one's stderr is another file
    rl_log_setup("tester", "info", false);
    rl_warn("five");
    assert_non_null(strstr(caught(), "Z warn tester: five\n"));
    unsetenv("JOURNAL_STREAM");
    let_go();
}

static void debug_is_switched_while_it_runs(void **state)
{
    (void)state;
    capture();
    rl_log_setup("tester", "error", false);
    rl_log(RL_LOG_DEBUG, NULL, "no");
    rl_warn("no");
    assert_true(rl_log_toggle_debug());
    rl_log(RL_LOG_DEBUG, NULL, "yes");
    assert_false(rl_log_toggle_debug());
    rl_warn("no");
    rl_log_data(NULL, "asked for", "{\"a\":1}");
    assert_true(rl_log_toggle_debug());
    rl_log_setup("tester", "warn", false); // read again: as configured
    rl_log(RL_LOG_DEBUG, NULL, "no");
    rl_warn("yes");
    const char *lines = caught();
    assert_int_equal(count(lines, "no"), 0);
    assert_int_equal(count(lines, "yes"), 2);
    assert_non_null(strstr(lines, "Z info tester: asked for {\"a\":1}\n"));
    let_go();
}

// ---- the limit --------------------------------------------------------------------------------

static void complain(int number)
{
    rl_log(RL_LOG_WARN, "req_x", "trouble %d", number);
}

static void a_flood_is_counted_instead_of_written(void **state)
{
    (void)state;
    capture();
    rl_log_setup("tester", "info", false);
    rl_log_limit(true);
    for (int number = 0; number < 1000; number++) {
        complain(number);
        rl_info("news"); // not limited
    }
    rl_warn("another place");
    char *lines = caught();
    assert_int_equal(count(lines, "trouble"), 20);
    assert_int_equal(count(lines, "news"), 1000);
    assert_int_equal(count(lines, "another place"), 1);
    rl_log_report_held(false); // not yet
    assert_string_equal(caught(), "");
    rl_log_report_held(true);
    lines = caught();
    assert_non_null(strstr(lines, "warn tester: 980 more like this one within 10 s: trouble 20\n"));
    rl_log_report_held(true);
    assert_string_equal(caught(), "");
    rl_log_toggle_debug(); // somebody wants to see everything
    for (int number = 0; number < 100; number++)
        complain(number);
    assert_int_equal(count(caught(), "trouble"), 100);
    rl_log_limit(false);
    let_go();
}

// ---- a reader that is behind --------------------------------------------------------------------

static void a_reader_that_sleeps_holds_nobody_up(void **state)
{
    (void)state;
    capture();
    rl_log_setup("tester", "info", false);
    fcntl(from, F_SETPIPE_SZ, PIPE_BUF);
    uint64_t start = rl_now_us();
    for (int number = 0; number < 5000; number++)
        rl_info("line %d", number);
    assert_in_range(rl_now_us() - start, 0, 2000000); // 0.1 s of patience, and the work itself
    size_t written = count(caught(), "\n");
    assert_in_range(written, 1, 1000);
    rl_info("the last one");
    const char *lines = caught();
    char told[80];
    snprintf(told, sizeof told, "%zu lines of this log were lost", 5000 - written);
    assert_non_null(strstr(lines, told));
    assert_non_null(strstr(lines, "the last one\n"));
    let_go();
}

// ---- dumps ------------------------------------------------------------------------------------

static void fill(rl_dump_t *dump, size_t items, const char *text)
{
    rl_dump_begin(dump, "queues");
    rl_dump_number(dump, "waiting", 3);
    rl_dump_ms(dump, "oldest_ms", 1234567);
    rl_dump_flag(dump, "full", true);
    rl_dump_text(dump, "empty", "");
    rl_dump_end(dump);
    rl_dump_list(dump, "requests", items);
    for (size_t at = 0; at < items && rl_dump_item(dump, "req_1"); at++) {
        rl_dump_text(dump, "text", text);
        for (int more = 0; more < 40; more++)
            rl_dump_text(dump, "again", text);
        rl_dump_number(dump, "number", at);
        rl_dump_end(dump);
    }
    rl_dump_list_end(dump);
}

static void a_dump_is_a_document(void **state)
{
    (void)state;
    rl_dump_t *dump = rl_dump_new(false);
    size_t size;
    fill(dump, 2, "a \"quoted\" ä \xff word");
    rl_dump_list(dump, "none", 0);
    rl_dump_list_end(dump);
    char *document = rl_dump_finish(&dump, &size);
    assert_int_equal(strlen(document), size);
    json_t *json = parse(document);
    json_t *queues = json_object_get(json, "queues");
    assert_int_equal(json_integer_value(json_object_get(queues, "waiting")), 3);
    assert_true(json_real_value(json_object_get(queues, "oldest_ms")) == 1234.567);
    assert_true(json_is_true(json_object_get(queues, "full")));
    assert_null(json_object_get(queues, "empty"));
    json_t *item = json_array_get(json_object_get(json, "requests"), 1);
    assert_string_equal(text_of(item, "id"), "req_1");
    assert_string_equal(text_of(item, "text"), "a \"quoted\" ä \xef\xbf\xbd word");
    assert_int_equal(json_array_size(json_object_get(json, "none")), 0);
    assert_null(json_object_get(json, "left_out"));
    json_decref(json);
    free(document);
}

static void a_dump_is_bounded(void **state)
{
    (void)state;
    static char long_text[5000];
    memset(long_text, '"', sizeof long_text - 1);
    rl_dump_t *dump = rl_dump_new(false);
    size_t size;
    fill(dump, 100000, long_text);
    char *document = rl_dump_finish(&dump, &size);
    assert_in_range(size, RL_DUMP_BYTES / 2, RL_DUMP_BYTES);
    json_t *json = parse(document);
    size_t items = json_array_size(json_object_get(json, "requests"));
    assert_in_range(items, 100, RL_DUMP_ITEMS);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json, "left_out"), "requests")),
        100000 - items);
    assert_true(
        json_is_true(json_object_get(json_array_get(json_object_get(json, "requests"), 0), "cut")));
    json_decref(json);
    free(document);
}

static void a_dump_into_the_log_is_lines(void **state)
{
    (void)state;
    size_t size;
    for (int in_json = 0; in_json < 2; in_json++) {
        capture();
        rl_log_setup("tester", "error", in_json == 1);
        rl_dump_t *dump = rl_dump_new(true);
        fill(dump, 70, "ä");
        assert_null(rl_dump_finish(&dump, &size));
        char *lines = caught();
        assert_int_equal(count(lines, "\n"), 1 + RL_DUMP_LINES + 1);
        for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
            if (!in_json) {
                assert_non_null(strstr(line, "tester: "));
                continue;
            }
            json_t *json = parse(line);
            assert_true(json_is_object(json_object_get(json, "data")));
            if (strcmp(text_of(json, "message"), "dump requests") == 0)
                assert_string_equal(text_of(json, "id"), "req_1");
            json_decref(json);
        }
        let_go();
    }
}

static void a_file_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    char folder[] = "/tmp/ragline-dump-XXXXXX", path[80], got[16] = "";
    assert_non_null(mkdtemp(folder));
    rl_dump_file_t *file = rl_dump_file_new();
    capture();
    rl_log_setup("tester", "info", false);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rl_dump_file_write(file, folder, "tester-1", strdup("{\"a\":1}\n"), 8), 0);
        rl_dump_file_destroy(&file); // waits
        file = rl_dump_file_new();
    }
    assert_int_equal(count(caught(), "dump written: /tmp/ragline-dump-"), 2);
    snprintf(path, sizeof path, "%s/tester-1.json", folder);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, got, sizeof got), 8);
    assert_string_equal(got, "{\"a\":1}\n");
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); // nothing else was left
    assert_int_equal(rl_dump_file_write(file, folder, "tester-1", strdup("{}"), 2), 0);
    rl_dump_file_destroy(&file);
    assert_non_null(strstr(caught(), "No such file or directory"));
    let_go();
}

// ---- probes -----------------------------------------------------------------------------------

static void a_probe_takes_what_it_is_given(void **state)
{
    (void)state;
    int evaluated = 0;
    RL_PROBE_REQUEST_STATE("req_1", NULL, "searching", (uint64_t)++evaluated);
    assert_int_equal(evaluated, RL_PROBES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_parts),
        cmocka_unit_test(any_bytes_give_one_valid_line),
        cmocka_unit_test(a_line_is_never_longer_than_a_pipe_takes_whole),
        cmocka_unit_test(the_journal_gets_priorities),
        cmocka_unit_test(debug_is_switched_while_it_runs),
        cmocka_unit_test(a_flood_is_counted_instead_of_written),
        cmocka_unit_test(a_reader_that_sleeps_holds_nobody_up),
        cmocka_unit_test(a_dump_is_a_document),
        cmocka_unit_test(a_dump_is_bounded),
        cmocka_unit_test(a_dump_into_the_log_is_lines),
        cmocka_unit_test(a_file_is_written_whole_or_not_at_all),
        cmocka_unit_test(a_probe_takes_what_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
