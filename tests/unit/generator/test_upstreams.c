// The real process with two LLM servers that the test plays: whom it asks, when it goes to the
// other, when it leaves one alone, and what it tells of that.
#include "generator_help.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct server {
    genworld_t *world;
    loopback_t *listener;
    size_t asked;
    char head[4096], body[65536];
    const char *reply; // to every question; NULL: it answers "Yes."
    bool holds;        // does not end the answer
} server_t;

static server_t servers[2];
static server_t *const first = &servers[0], *const second = &servers[1];
static char file[64];

static const char says_500[] = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
static const char says_later[] =
    "HTTP/1.1 429 Busy\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n";
static const char says_soon[] = "HTTP/1.1 429 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
static const char says_401[] = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
static const char hangs_up[] = "";

static void on_request(void *arg, loopback_conn_t *conn, const char *head, const char *body)
{
    server_t *self = arg;
    snprintf(self->head, sizeof self->head, "%s", head);
    snprintf(self->body, sizeof self->body, "%s", body);
    self->asked++;
    self->world->conn = conn;
    if (self->reply) {
        loopback_send(conn, self->reply, strlen(self->reply));
        loopback_close(conn);
        return;
    }
    genworld_begin(self->world);
    genworld_words(self->world, "Yes.");
    if (!self->holds)
        genworld_finish(self->world);
}

static int setup(void **state)
{
    if (genworld_setup(state) != 0)
        return -1;
    genworld_t *world = *state;
    strcpy(file, "/tmp/ragline-conf-XXXXXX");
    close(mkstemp(file));
    for (size_t at = 0; at < 2; at++) {
        servers[at] = (server_t){.world = world};
        servers[at].listener = loopback_new(rl_proc_base(world->proc), on_request, &servers[at]);
    }
    return 0;
}

static int teardown(void **state)
{
    for (size_t at = 0; at < 2; at++)
        loopback_destroy(&servers[at].listener);
    unlink(file);
    return genworld_teardown(state);
}

static void write_conf(const char *llm, const char *more_of_first)
{
    FILE *out = fopen(file, "w");
    fprintf(out, "[llm]\nkey = general-key\n%s\n", llm);
    fprintf(out, "[upstream first]\nurl = http://127.0.0.1:%d/v1\nmodel = big\nkey = key-1\n%s\n",
            loopback_port(first->listener), more_of_first);
    fprintf(out, "[upstream second]\nurl = http://127.0.0.1:%d/v1\nmodel = small\n",
            loopback_port(second->listener));
    fclose(out);
}

// Starts the generator with both servers and these lines in [llm].
static void start(genworld_t *world, const char *llm)
{
    char text[512];
    const char *const options[] = {"--config", file, NULL};
    snprintf(text, sizeof text, "upstreams = first, second\n%s", llm);
    write_conf(text, "");
    genworld_start(world, false, options);
}

// Asks a question and waits for its end; what came of the one before is forgotten.
static void ask(genworld_t *world)
{
    static uint64_t task;
    for (size_t at = 0; at < world->messages_size; at++)
        rl_msg_free(&world->messages[at]);
    world->messages_size = 0;
    genworld_ask(world, ++task);
    genworld_until(world, genworld_is_over);
    genworld_check_order(world);
}

static const char *told(const genworld_t *world, const char *stage)
{
    for (size_t at = 0; at < world->messages_size; at++)
        if (world->messages[at]->type == RL_PROGRESS &&
            strcmp(world->messages[at]->progress.stage, stage) == 0)
            return world->messages[at]->progress.data;
    return NULL;
}

static void check_answered(const genworld_t *world, const char *upstream)
{
    const rl_msg_t *done = genworld_last(world, RL_DONE);
    assert_non_null(done);
    assert_string_equal(done->done.upstream, upstream);
}

static void check_asked(size_t of_first, size_t of_second)
{
    assert_int_equal(first->asked, of_first);
    assert_int_equal(second->asked, of_second);
}

// ---- the order --------------------------------------------------------------------------

static void the_first_is_asked_and_the_second_left_in_peace(void **state)
{
    genworld_t *world = *state;
    start(world, "");
    assert_string_equal(world->model, "big");
    ask(world);
    check_answered(world, "openai");
    check_asked(1, 0);
    assert_non_null(strstr(first->body, "\"model\":\"big\""));
    assert_non_null(strstr(first->head, "Authorization: Bearer key-1"));
    assert_null(told(world, "fallback"));
}

static void check_second(genworld_t *world)
{
    check_answered(world, "openai");
    check_asked(1, 1);
    assert_string_equal(genworld_text(world), "Yes.");
    assert_non_null(strstr(second->body, "\"model\":\"small\""));
    assert_non_null(strstr(second->body, "Question: Why does Emmental cheese have holes?"));
    assert_null(strstr(second->head, "Authorization")); // no key of another server
    const char *data = told(world, "fallback");
    assert_non_null(data);
    assert_non_null(strstr(data, "\"from\":\"first\""));
    assert_non_null(strstr(data, "\"upstream\":\"second\""));
    assert_non_null(strstr(data, "\"message\":\"The language model does not answer"));
}

static void an_error_of_the_first_goes_to_the_second(void **state)
{
    genworld_t *world = *state;
    start(world, "");
    first->reply = says_500;
    ask(world);
    check_second(world);
}

static void lost_before_the_first_word_goes_to_the_second(void **state)
{
    genworld_t *world = *state;
    start(world, "");
    first->reply = hangs_up;
    ask(world);
    check_second(world);
}

static void lost_after_the_first_word_is_an_error(void **state)
{
    genworld_t *world = *state;
    start(world, "fallback = extractive");
    first->reply =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n"
        "data: {\"choices\":[{\"delta\":{\"content\":\"half an\"}}]}\n\n";
    ask(world);
    const rl_msg_t *failed = genworld_last(world, RL_FAILED);
    assert_non_null(failed);
    assert_string_equal(failed->failed.code, "llm_lost");
    assert_string_equal(genworld_text(world), "half an");
    check_asked(1, 0);
}

static void a_mistake_is_said_and_not_asked_elsewhere(void **state)
{
    genworld_t *world = *state;
    start(world, "fallback = extractive");
    first->reply = says_401;
    ask(world);
    const rl_msg_t *failed = genworld_last(world, RL_FAILED);
    assert_non_null(failed);
    assert_string_equal(failed->failed.code, "llm_unauthorized");
    assert_non_null(strstr(failed->failed.message, "check [upstream first] key or"));
    check_asked(1, 0);
}

static void the_passages_come_last(void **state)
{
    genworld_t *world = *state;
    start(world, "fallback = extractive");
    first->reply = second->reply = says_500;
    ask(world);
    check_answered(world, "extractive");
    check_asked(1, 1);
    assert_string_equal(genworld_text(world), "Emmental cheese has large holes.[1]");
}

static void where_none_answers_it_is_an_error_that_another_generator_may_do_better(void **state)
{
    genworld_t *world = *state;
    start(world, "");
    first->reply = second->reply = says_500;
    ask(world);
    assert_non_null(genworld_last(world, RL_FAILED));
    assert_true(genworld_last(world, RL_FAILED)->failed.retry);
    check_asked(1, 1);
}

static void what_is_too_long_for_the_first_is_asked_of_the_second(void **state)
{
    genworld_t *world = *state;
    const char *const options[] = {"--config", file, NULL};
    write_conf("upstreams = first, second", "context_tokens = 64\nmax_tokens = 40");
    genworld_start(world, false, options);
    ask(world);
    check_answered(world, "openai");
    check_asked(0, 1);
}

// ---- busy -------------------------------------------------------------------------------

static void a_long_retry_after_goes_to_the_second_at_once(void **state)
{
    genworld_t *world = *state;
    start(world, "");
    first->reply = says_later;
    ask(world);
    check_second(world);
    assert_null(told(world, "retry"));
}

static void a_short_one_is_waited_for(void **state)
{
    genworld_t *world = *state;
    start(world, "breaker_failures = 0");
    first->reply = says_soon;
    ask(world);
    check_asked(2, 1); // it was busy twice
    assert_non_null(told(world, "retry"));
    check_answered(world, "openai");
}

static void where_all_are_busy_the_one_that_is_ready_first_is_waited_for(void **state)
{
    genworld_t *world = *state;
    start(world, "fallback = extractive\nbreaker_failures = 0");
    first->reply = says_later;
    second->reply = says_soon;
    ask(world);
    check_asked(1, 4); // as often as one is asked again at all
    check_answered(world, "extractive");
}

// ---- the breaker ------------------------------------------------------------------------

static bool second_is_announced(genworld_t *world)
{
    return strcmp(world->model, "small") == 0;
}

static bool first_is_announced(genworld_t *world)
{
    return strcmp(world->model, "big") == 0;
}

static void one_that_keeps_failing_is_left_alone(void **state)
{
    genworld_t *world = *state;
    start(world, "breaker_failures = 2\nbreaker_ms = 60000");
    first->reply = says_500;
    ask(world);
    assert_non_null(strstr(told(world, "fallback"), "\"breaker\":\"closed\""));
    ask(world);
    assert_non_null(strstr(told(world, "fallback"), "\"breaker\":\"open\""));
    check_asked(2, 2);
    ask(world);
    check_answered(world, "openai");
    check_asked(2, 3); // not asked any more
    const char *data = told(world, "fallback");
    assert_non_null(data);
    assert_non_null(strstr(data, "\"code\":\"upstream_resting\""));
    assert_non_null(strstr(data, "failed 2 times in a row"));
    genworld_until(world, second_is_announced);
}

static void one_question_tries_it_again_and_success_brings_it_back(void **state)
{
    genworld_t *world = *state;
    start(world, "breaker_failures = 1\nbreaker_ms = 300");
    first->reply = says_500;
    ask(world);
    genworld_until(world, second_is_announced);
    while (first->asked < 3) // the second pause is longer, and ends as well
        ask(world);
    first->reply = NULL;
    while (first->asked < 4)
        ask(world);
    check_answered(world, "openai");
    assert_null(told(world, "fallback"));
    genworld_until(world, first_is_announced);
    size_t before = second->asked;
    ask(world);
    check_asked(5, before);
}

static void where_all_are_left_alone_one_is_asked_all_the_same(void **state)
{
    genworld_t *world = *state;
    start(world, "breaker_failures = 1\nbreaker_ms = 60000");
    first->reply = second->reply = says_500;
    ask(world);
    check_asked(1, 1);
    first->reply = second->reply = NULL;
    ask(world);
    check_answered(world, "openai");
    assert_int_equal(first->asked + second->asked, 3);
}

static void mistakes_of_a_person_open_nothing(void **state)
{
    genworld_t *world = *state;
    start(world, "breaker_failures = 1\nbreaker_ms = 60000");
    first->reply = says_401;
    ask(world);
    ask(world);
    check_asked(2, 0);
}

static bool is_read_again(genworld_t *world)
{
    return world->slots == 7;
}

static bool has_words(genworld_t *world)
{
    return genworld_text(world)[0] != '\0';
}

static size_t enough;

static bool is_announced_enough(genworld_t *world)
{
    return world->announced >= enough;
}

static void one_that_leaves_the_order_finishes_its_answer(void **state)
{
    genworld_t *world = *state;
    start(world, "");
    first->holds = true;
    genworld_ask(world, 1000);
    genworld_until(world, has_words);
    write_conf("upstreams = second\n[generator]\nslots = 7", "");
    kill(world->pid, SIGHUP);
    genworld_until(world, is_read_again);
    genworld_until(world, second_is_announced);
    enough = world->announced + 2; // what is not needed is freed with announcements
    genworld_until(world, is_announced_enough);
    genworld_finish(world);
    genworld_until(world, genworld_is_over);
    check_answered(world, "openai");
    enough = world->announced + 2;
    genworld_until(world, is_announced_enough);
    ask(world);
    check_asked(1, 1);
    assert_null(told(world, "fallback"));
}

static void an_order_that_does_not_hold_changes_nothing(void **state)
{
    genworld_t *world = *state;
    start(world, "");
    ask(world);
    write_conf("upstreams = second, third\n[generator]\nslots = 7", "");
    kill(world->pid, SIGHUP);
    enough = world->announced + 3;
    genworld_until(world, is_announced_enough);
    assert_string_equal(world->model, "big");
    ask(world);
    check_asked(2, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_first_is_asked_and_the_second_left_in_peace),
        TEST(an_error_of_the_first_goes_to_the_second),
        TEST(lost_before_the_first_word_goes_to_the_second),
        TEST(lost_after_the_first_word_is_an_error),
        TEST(a_mistake_is_said_and_not_asked_elsewhere),
        TEST(the_passages_come_last),
        TEST(where_none_answers_it_is_an_error_that_another_generator_may_do_better),
        TEST(what_is_too_long_for_the_first_is_asked_of_the_second),
        TEST(a_long_retry_after_goes_to_the_second_at_once),
        TEST(a_short_one_is_waited_for),
        TEST(where_all_are_busy_the_one_that_is_ready_first_is_waited_for),
        TEST(one_that_keeps_failing_is_left_alone),
        TEST(one_question_tries_it_again_and_success_brings_it_back),
        TEST(where_all_are_left_alone_one_is_asked_all_the_same),
        TEST(mistakes_of_a_person_open_nothing),
        TEST(one_that_leaves_the_order_finishes_its_answer),
        TEST(an_order_that_does_not_hold_changes_nothing),
    };
    return cmocka_run_group_tests_name("upstreams", tests, NULL, NULL);
}
