// Readers: what they may not do, what a lost one costs, and that nothing they say is taken for
// granted.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "corpus.h"
#include "index_help.h"
#include "reader_frame.h"
#include "retriever_help.h"
#include "sandbox.h"

enum {
    LINES = 60000
};

static char problems[8000];

static FILE *make_file(const char *folder, const char *name)
{
    FILE *file = fopen(help_path(folder, name), "w");
    assert_non_null(file);
    return file;
}

static void make_small_file(const char *folder, const char *name)
{
    FILE *file = make_file(folder, name);
    fputs("some words", file);
    fclose(file);
}

// The only child process.
static pid_t find_child(void)
{
    char path[100];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    return pid;
}

// Reads all of a folder; the first document's reader gets the signal, if there is one. Returns how
// many documents came.
static size_t read_folder(const char *folder, unsigned ms, size_t mb, size_t output_mb,
                          int signal_number)
{
    report_t *report = help_report();
    listing_t *listing = listing_new(report);
    listing_add(listing, folder);
    listing_close(listing);
    corpus_t *corpus = corpus_new(listing, NULL, report);
    corpus_limit(corpus, ms, mb, output_mb, 1);
    document_t doc;
    corpus_next_t next;
    size_t documents = 0;
    while ((next = corpus_next(corpus, &doc)) != CORPUS_END) {
        if (next == CORPUS_NOTHING)
            continue;
        help_check(&doc);
        document_free(&doc);
        if (documents++ == 0 && signal_number)
            kill(find_child(), signal_number);
    }
    corpus_destroy(&corpus);
    listing_destroy(&listing);
    help_report_end(&report, problems, sizeof problems);
    return documents;
}

static size_t count_problems(void)
{
    size_t count = 0;
    for (const char *at = problems; (at = strchr(at, '\n')); at++)
        count++;
    return count;
}

// More than the socket holds, so that the reader is at work when the signal comes.
static void make_lines(const char *folder)
{
    FILE *file = make_file(folder, "lines.jsonl");
    for (int at = 0; at < LINES; at++)
        fprintf(file, "{\"id\": \"d%d\", \"text\": \"The text of line %d.\"}\n", at, at);
    fclose(file);
}

static void a_lost_reader_costs_a_line(void **state)
{
    (void)state;
    static const struct {
        int signal_number;
        const char *reason;
    } cases[] = {{SIGKILL, "\"crash\""}, {SIGSEGV, "\"crash\""}, {SIGSTOP, "\"time_limit\""}};
    const char *folder = help_folder();
    make_lines(folder);
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        assert_int_equal(read_folder(folder, 1000, 256, 64, cases[at].signal_number), LINES - 1);
        assert_int_equal(count_problems(), 1);
        assert_non_null(strstr(problems, cases[at].reason));
    }
    help_remove(folder);
}

static void limits_cost_the_document(void **state)
{
    (void)state;
    const char *folder = help_folder();
    make_small_file(folder, "a.md");
    FILE *file = make_file(folder, "c-large.txt");
    for (int at = 0; at < 300000; at++)
        fputs("word after word\n\n", file);
    fclose(file);
    file = make_file(folder, "d-many.html");
    for (int at = 0; at < 2000000; at++)
        fputs("<i>x</i>", file);
    fclose(file);
    make_small_file(folder, "e.md");
    assert_int_equal(read_folder(folder, 60000, 64, 2, 0), 2);
    assert_int_equal(count_problems(), 2);
    assert_non_null(strstr(problems, "c-large.txt\",\"reason\":\"too_large\""));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    // their allocators end the process themselves
    assert_non_null(strstr(problems, "d-many.html\",\"reason\":\"crash\""));
#else
    assert_non_null(strstr(problems, "d-many.html\",\"reason\":\"memory_limit\""));
#endif
    help_remove(folder);
}

static void slow_html_costs_the_document(void **state)
{
    (void)state;
    const char *folder = help_folder();
    make_small_file(folder, "a.md");
    FILE *file = make_file(folder, "b-deep.html");
    for (int at = 0; at < 9000; at++)
        fputs("<div>", file);
    fclose(file);
    make_small_file(folder, "c.md");
    assert_int_equal(read_folder(folder, 600, 512, 64, 0), 2);
    assert_non_null(strstr(problems, "b-deep.html\",\"reason\":\"time_limit\""));
    help_remove(folder);
}

static void empty_lines_have_a_bound(void **state)
{
    (void)state;
    const char *folder = help_folder();
    FILE *file = make_file(folder, "bomb.jsonl");
    fputs("{\"text\": \"one\"}\n", file);
    for (int at = 0; at < 1000002; at++)
        fputc('\n', file);
    fputs("{\"text\": \"two\"}\n", file);
    fclose(file);
    assert_int_equal(read_folder(folder, 5000, 256, 64, 0), 1);
    assert_non_null(strstr(problems, "empty lines"));
    help_remove(folder);
}

static void links_out_of_the_folder(void **state)
{
    (void)state;
    const char *folder = help_folder();
    assert_int_equal(mkdir(help_path(folder, "in"), 0700), 0);
    assert_int_equal(mkdir(help_path(folder, "out"), 0700), 0);
    assert_int_equal(mkdir(help_path(folder, "in-other"), 0700), 0);
    make_small_file(folder, "out/secret.md");
    make_small_file(folder, "in-other/secret.md");
    make_small_file(folder, "in/own.md");
    assert_int_equal(symlink("../out/secret.md", help_path(folder, "in/file.md")), 0);
    assert_int_equal(symlink("../out", help_path(folder, "in/folder")), 0);
    assert_int_equal(symlink("../in-other", help_path(folder, "in/beside")), 0);
    char *top = strdup(help_path(folder, "in"));
    assert_int_equal(read_folder(top, 5000, 256, 64, 0), 1);
    assert_int_equal(count_problems(), 3);
    report_t *report = help_report();
    listing_t *listing = listing_new(report);
    listing_follow_links(listing);
    listing_add(listing, top);
    listing_close(listing);
    assert_int_equal(listing_size(listing), 3);
    listing_destroy(&listing);
    help_report_end(&report, problems, sizeof problems);
    free(top);
    help_remove(folder);
}

// What a reader tries in vain; the number of the first that it may do, 0: none.
static int try_all(const char *folder)
{
    char mine[500];
    snprintf(mine, sizeof mine, "%s/mine", folder);
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
        return 1;
    if (open(mine, O_WRONLY | O_CREAT, 0600) >= 0 || open(folder, O_RDWR | O_TMPFILE, 0600) >= 0)
        return 2;
    if (unlink(help_path(folder, "there")) == 0 || rmdir(folder) == 0 || mkdir(mine, 0700) == 0)
        return 3;
    if (open(help_path(folder, "there"), O_RDWR) >= 0 || chmod(folder, 0777) == 0)
        return 4;
    if (rename(help_path(folder, "there"), mine) == 0 || symlink("x", mine) == 0)
        return 5;
    if (truncate(help_path(folder, "there"), 0) == 0)
        return 6;
    return open(help_path(folder, "there"), O_RDONLY) >= 0 ? 0 : 7; // reading is allowed
}

static void no_network_and_no_writes(void **state)
{
    (void)state;
    const char *folder = help_folder();
    make_small_file(folder, "there");
    pid_t pid = fork();
    if (pid == 0)
        _exit(sandbox_enter(64 << 20) ? try_all(folder) : 77);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    help_remove(folder);
    if (WEXITSTATUS(status) == 77)
        skip(); // this kernel has no seccomp
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void frames_are_not_trusted(void **state)
{
    (void)state;
    document_t doc, copy;
    rl_buf_t out = rl_buf_make(10000);
    document_init(&doc);
    doc.id = strdup("an id");
    document_heading(&doc, 2, "Über", strlen("Über"));
    document_paragraph(&doc, "some — words", strlen("some — words"));
    assert_int_equal(reader_frame_encode(&doc, &out), 0);
    assert_int_equal(reader_frame_decode(out.data, out.size, &copy), 0);
    assert_string_equal(copy.id, doc.id);
    assert_int_equal(copy.blocks_size, 2);
    document_free(&copy);
    for (size_t size = 0; size < out.size; size++)
        assert_int_equal(reader_frame_decode(out.data, size, &copy), -1);
    size_t refused = 0;
    for (size_t at = 0; at < out.size * 256; at++) {
        char kept = out.data[at / 256];
        out.data[at / 256] = (char)(at % 256);
        if (reader_frame_decode(out.data, out.size, &copy) == 0) {
            if (!copy.vector)
                help_check(&copy);
            document_free(&copy);
        } else {
            refused++;
        }
        out.data[at / 256] = kept;
    }
    assert_true(refused > out.size);
    document_free(&doc);
    rl_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_reader_costs_a_line),   cmocka_unit_test(limits_cost_the_document),
        cmocka_unit_test(slow_html_costs_the_document), cmocka_unit_test(empty_lines_have_a_bound),
        cmocka_unit_test(links_out_of_the_folder),      cmocka_unit_test(no_network_and_no_writes),
        cmocka_unit_test(frames_are_not_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
