// A program run on foreign bytes: what it gets, and that none of its bounds can be passed.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"
#include "clock.h"

static rl_buf_t output, messages;
static char why[256];
static bool missing;

// Runs a script with these bounds on `input`; its output and messages are above.
static int run(const char *script, const char *input, size_t most, unsigned ms, size_t memory)
{
    const char *const command[] = {"sh", "-c", script, NULL};
    rl_buf_free(&output);
    rl_buf_free(&messages);
    output = rl_buf_make(most);
    messages = rl_buf_make(100);
    why[0] = '\0';
    const child_job_t job = {.command = command,
                             .input = input,
                             .input_size = strlen(input),
                             .output = &output,
                             .messages = &messages,
                             .wall_ms = ms,
                             .memory = memory};
    return child_run(&job, &missing, why, sizeof why);
}

static int run_usual(const char *script, const char *input)
{
    return run(script, input, 1 << 20, 10000, 256 << 20);
}

static void it_reads_and_writes(void **state)
{
    (void)state;
    assert_int_equal(run_usual("tr a-z A-Z; echo said >&2; exit 3", "words"), 3);
    assert_string_equal(output.data, "WORDS");
    assert_non_null(strstr(messages.data, "said\n"));
    // more than the streams hold at a time, both ways
    char *large = malloc(900001);
    memset(large, 'x', 900000);
    large[900000] = '\0';
    assert_int_equal(run_usual("cat", large), 0);
    assert_int_equal(output.size, 900000);
    // one that does not care for its input
    assert_int_equal(run_usual("exec <&-; echo done", large), 0);
    assert_string_equal(output.data, "done\n");
    free(large);
}

static void it_sees_nothing_of_ours(void **state)
{
    (void)state;
    int ends[2]; // not closed at exec
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(
        run_usual("ls; ls .. 2>&1; for f in /proc/self/fd/*; do echo ${f##*/}; done", ""), 0);
    assert_null(strstr(output.data, "Makefile"));
    char own[20];
    snprintf(own, sizeof own, "\n%d\n", ends[1]);
    assert_null(strstr(output.data, own));
    close(ends[0]);
    close(ends[1]);
    assert_int_not_equal(run_usual("echo x >/tmp/ragline-test-child-$$", ""), 0);
    assert_int_equal(run_usual("kill -l >/dev/null; ulimit -c", ""), 0);
    assert_string_equal(output.data, "0\n");
}

static void bounds_of_time_and_output(void **state)
{
    (void)state;
    uint64_t began = rl_now_us();
    assert_int_equal(run("sleep 600", "", 100, 200, 256 << 20), -1);
    assert_non_null(strstr(why, "200 ms"));
    // also one that has closed its streams, and what it started
    assert_int_equal(run("exec >&- 2>&-; sleep 600", "", 100, 200, 256 << 20), -1);
    assert_int_equal(run("sleep 600 & echo $!; sleep 600", "", 100, 500, 256 << 20), -1);
    int pid = atoi(output.data);
    assert_true(pid > 0);
    while (kill(pid, 0) == 0) // until init has taken it away
        usleep(1000);
    assert_true(rl_now_us() - began < 60000000);
    assert_int_equal(run("while :; do echo yes; done", "", 10000, 10000, 256 << 20), -1);
    assert_non_null(strstr(why, "10000 bytes"));
    assert_int_equal(run("while :; do :; done", "", 100, 300, 256 << 20), -1);
    // messages without end do no harm, and end with its time
    assert_int_equal(run("while :; do echo no >&2; done", "", 100, 300, 256 << 20), -1);
    assert_true(messages.size <= 100);
}

static void bound_of_memory(void **state)
{
    (void)state;
    // a word that doubles until there is no room
    int rc = run("x=xxxxxxxx; while :; do x=$x$x; done", "", 100, 20000, 64 << 20);
    assert_int_not_equal(rc, 0);
    assert_null(strstr(why, "ms"));
}

static void programs_that_cannot_be_run(void **state)
{
    (void)state;
    const char *const command[] = {"no-such-program", NULL};
    const child_job_t job = {.command = command,
                             .input = "",
                             .output = &output,
                             .messages = &messages,
                             .wall_ms = 1000,
                             .memory = 64 << 20};
    assert_int_equal(child_run(&job, &missing, why, sizeof why), -1);
    assert_true(missing);
    assert_non_null(strstr(why, "no-such-program"));
    assert_int_equal(run_usual("kill -SEGV $$", ""), -1);
    assert_false(missing);
    assert_non_null(strstr(why, "signal 11"));
}

// Nobody is told then how a child ended: what it wrote is not to be trusted.
static void a_lost_status_is_an_error(void **state)
{
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    int rc = run_usual("exit 0", "");
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(rc, -1);
    assert_false(missing);
    assert_non_null(strstr(why, "not known"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_reads_and_writes),         cmocka_unit_test(it_sees_nothing_of_ours),
        cmocka_unit_test(bounds_of_time_and_output),   cmocka_unit_test(bound_of_memory),
        cmocka_unit_test(programs_that_cannot_be_run), cmocka_unit_test(a_lost_status_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
