// Prompts that are read ahead: what the LLM server is sent for them, that the question's own prompt
// stays the same byte for byte, who waits for whom, and what the gateway is told.
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

static const char *const small_context[] = {"--llm-context-tokens", "1024", NULL};

enum {
    POSTS = 16
};

// What the server was asked, requests for its list of models apart.
static struct post {
    char body[16384];
    loopback_conn_t *conn;
} posts[POSTS];
static size_t posts_size, models_asked, props_asked;
static size_t warm; // the first so many posts are of the beginning of all prompts
static const char *owner;

static void say(loopback_conn_t *conn, const char *json)
{
    loopback_sendf(conn,
                   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   strlen(json), json);
}

static void read_one(genworld_t *world, const char *usage)
{
    char event[1024];
    genworld_begin(world);
    genworld_words(world, "The");
    snprintf(event, sizeof event, "data: {\"choices\":[],%s}\n\ndata: [DONE]\n\n", usage);
    loopback_sendf(world->conn, "%zx\r\n%s\r\n0\r\n\r\n", strlen(event), event);
}

static const char usage_of_server[] =
    "\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":1,\"prompt_tokens_details\":"
    "{\"cached_tokens\":0}},\"timings\":{\"cache_n\":0,\"prompt_n\":120,\"prompt_ms\":60}";

static void answer(genworld_t *world)
{
    char json[256];
    if (strstr(world->head, "GET /v1/models")) {
        snprintf(json, sizeof json, "{\"data\":[{\"id\":\"tiny\",\"owned_by\":\"%s\"}]}", owner);
        models_asked++;
        say(world->conn, json);
    } else if (strstr(world->head, "GET /props")) {
        props_asked++;
        say(world->conn, "{\"total_slots\":4}");
    } else {
        assert_true(posts_size < POSTS);
        struct post *post = &posts[posts_size++];
        snprintf(post->body, sizeof post->body, "%s", world->body);
        post->conn = world->conn;
        if (posts_size <= warm)
            read_one(world, usage_of_server);
    }
}

static size_t wanted_posts;

static bool is_posted(genworld_t *world)
{
    (void)world;
    return posts_size >= wanted_posts;
}

static void until_posts(genworld_t *world, size_t size)
{
    wanted_posts = size;
    genworld_until(world, is_posted);
}

static bool is_of_use(genworld_t *world)
{
    return world->prefills;
}

static size_t loops; // announcements to be awaited
static bool has_announced(genworld_t *world)
{
    return world->announced >= loops;
}

static int setup(void **state)
{
    posts_size = models_asked = props_asked = 0;
    owner = "llamacpp";
    warm = 1;
    if (genworld_setup(state) != 0)
        return -1;
    genworld_t *world = *state;
    world->answer = answer;
    world->prefill = "auto";
    return 0;
}

// A server whose beginning is read.
static void start(genworld_t *world)
{
    genworld_start(world, true, small_context);
    genworld_until(world, is_of_use);
    until_posts(world, warm);
}

static void prefill_with(genworld_t *world, uint64_t task, const char *question)
{
    rl_msg_t msg = {.type = RL_GENERATE, .generate = genworld_question(task)};
    msg.generate.gateway = rl_proc_id(world->proc);
    msg.generate.prefill = true;
    msg.generate.question = question;
    genworld_send(world, &msg);
}

static const rl_done_t *done_of(const genworld_t *world, uint64_t task)
{
    for (size_t at = 0; at < world->messages_size; at++) {
        const rl_msg_t *msg = world->messages[at];
        if (msg->type == RL_DONE && msg->done.task == task)
            return &msg->done;
    }
    return NULL;
}

static uint64_t awaited;
static bool is_done(genworld_t *world)
{
    return done_of(world, awaited) != NULL;
}

static const rl_done_t *until_done(genworld_t *world, uint64_t task)
{
    awaited = task;
    genworld_until(world, is_done);
    return done_of(world, task);
}

// The part of a body from "messages" to the end of the array.
static void messages_of(const struct post *post, char *out, size_t size)
{
    const char *from = strstr(post->body, "\"messages\":["), *to = strstr(post->body, "}],");
    assert_non_null(from);
    assert_non_null(to);
    snprintf(out, size, "%.*s", (int)(to - from), from);
}

static void hash_of(const rl_done_t *done, char out[17])
{
    const char *at = strstr(done->timings, "\"prompt_hash\":\"");
    assert_non_null(at);
    snprintf(out, 17, "%s", at + 15);
    assert_int_equal(strlen(out), 16);
}

static void finish(genworld_t *world, const struct post *post)
{
    world->conn = post->conn;
    genworld_begin(world);
    genworld_words(world, "Bubbles.");
    genworld_finish(world);
}

// -----------------------------------------------------------------------------------------

static void a_prompt_is_read_ahead_and_the_question_s_own_is_the_same(void **state)
{
    genworld_t *world = *state;
    char first[16384], second[16384], hash[17], other[17];
    start(world);
    assert_true(props_asked > 0);
    prefill_with(world, 1, "Why does Emmental cheese have holes?");
    until_posts(world, 2);
    assert_non_null(strstr(posts[1].body, "\"max_tokens\":0,"));
    assert_non_null(strstr(posts[1].body, "\"cache_prompt\":true"));
    assert_non_null(strstr(posts[1].body, "\"temperature\":0.5"));
    world->conn = posts[1].conn;
    read_one(world, usage_of_server);
    const rl_done_t *done = until_done(world, 1);
    assert_string_equal(done->finish, "prefilled");
    assert_int_equal(done->prompt_tokens, 120);
    assert_int_equal(done->passages_used, 2);
    assert_non_null(strstr(done->timings, "\"prefill_ms\":60"));
    assert_non_null(strstr(done->timings, "\"cached_tokens\":0"));
    assert_non_null(strstr(done->timings, "\"read_tokens\":120"));
    assert_int_equal(world->messages_size, 1); // nothing but DONE
    hash_of(done, hash);

    genworld_ask(world, 2);
    until_posts(world, 3);
    assert_non_null(strstr(posts[2].body, "\"return_progress\":true"));
    assert_null(strstr(posts[2].body, "\"max_tokens\":0,"));
    finish(world, &posts[2]);
    hash_of(until_done(world, 2), other);
    assert_string_equal(hash, other);
    messages_of(&posts[1], first, sizeof first);
    messages_of(&posts[2], second, sizeof second);
    assert_string_equal(first, second);
}

static void without_prefill_the_prompt_is_the_same_too(void **state)
{
    genworld_t *world = *state;
    char messages[16384];
    static char with[16384]; // of the run before this one
    bool off = false;
    for (int run = 0; run < 2; run++) {
        if (run == 1) {
            assert_int_equal(genworld_teardown(state), 0);
            assert_int_equal(setup(state), 0);
            world = *state;
            world->prefill = "off";
            off = true;
            warm = 0;
        }
        if (off)
            genworld_start(world, true, small_context);
        else
            start(world);
        genworld_ask(world, 1);
        until_posts(world, warm + 1);
        messages_of(&posts[warm], messages, sizeof messages);
        if (run == 0)
            memcpy(with, messages, sizeof with);
        finish(world, &posts[warm]);
        assert_string_equal(until_done(world, 1)->finish, "stop");
    }
    assert_string_equal(messages, with);
    assert_null(strstr(posts[0].body, "return_progress"));
    assert_int_equal(models_asked + props_asked, 0);
}

static void passages_come_before_the_question(void **state)
{
    genworld_t *world = *state;
    char one[16384], two[16384];
    size_t same = 0;
    start(world);
    prefill_with(world, 1, "");
    until_posts(world, 2);
    world->conn = posts[1].conn;
    read_one(world, usage_of_server);
    assert_string_equal(until_done(world, 1)->finish, "prefilled");
    genworld_ask(world, 2);
    until_posts(world, 3);
    messages_of(&posts[1], one, sizeof one);
    messages_of(&posts[2], two, sizeof two);
    while (one[same] && one[same] == two[same])
        same++;
    assert_non_null(strstr(one, "ferment the flour"));
    assert_true(strstr(one, "ferment the flour") + strlen("ferment the flour") < one + same);
    assert_true(strncmp(two + same, "Why does", 8) == 0); // all but the question was known
}

static void another_question_ends_it_at_once(void **state)
{
    genworld_t *world = *state;
    start(world);
    rl_msg_t msg = {.type = RL_GENERATE, .generate = genworld_question(1)};
    rl_passage_t other = msg.generate.passages[1];
    other.text = "Quite another text, of a pump that is greased every 300 hours.";
    msg.generate.gateway = rl_proc_id(world->proc);
    msg.generate.prefill = true;
    msg.generate.passages = &other;
    msg.generate.passages_size = 1;
    genworld_send(world, &msg);
    until_posts(world, 2);
    world->conn = posts[1].conn;
    genworld_begin(world); // it reads
    genworld_ask(world, 2);
    until_posts(world, 3);
    assert_string_equal(until_done(world, 1)->finish, "yielded");
    finish(world, &posts[2]);
    assert_string_equal(until_done(world, 2)->finish, "stop");
}

static void tell_progress(genworld_t *world, int processed)
{
    char event[512];
    snprintf(event, sizeof event,
             "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"role\":"
             "\"assistant\",\"content\":null}}],\"prompt_progress\":{\"total\":120,\"cache\":20,"
             "\"processed\":%d,\"time_ms\":0}}\n\n",
             processed);
    loopback_sendf(world->conn, "%zx\r\n%s\r\n", strlen(event), event);
}

static bool tells_reading(genworld_t *world)
{
    for (size_t at = 0; at < world->messages_size; at++) {
        const rl_msg_t *msg = world->messages[at];
        if (msg->type == RL_PROGRESS && strcmp(msg->progress.stage, "reading") == 0)
            return true;
    }
    return false;
}

static void settle(genworld_t *world)
{
    loops = world->announced + 3;
    genworld_until(world, has_announced);
}

static void the_question_whose_prompt_is_being_read_waits_for_it(void **state)
{
    genworld_t *world = *state;
    start(world);
    prefill_with(world, 1, "Why does Emmental cheese have");
    until_posts(world, 2);
    world->conn = posts[1].conn;
    genworld_begin(world);
    tell_progress(world, 20);
    settle(world); // the generator has heard that
    genworld_ask(world, 2);
    settle(world);
    assert_int_equal(posts_size, 2); // not asked beside it
    settle(world);
    settle(world);
    world->conn = posts[1].conn;
    tell_progress(world, 63); // of the 100 that were not cached: 43
    genworld_until(world, tells_reading);
    const rl_msg_t *reading = world->messages[world->messages_size - 1];
    assert_int_equal(reading->progress.task, 2);
    assert_non_null(strstr(reading->progress.data, "Reading passages 43 %"));
    assert_non_null(strstr(reading->progress.data, "\"percent\":43"));
    genworld_cancel(world, 1); // its gateway may end it: the question goes on
    until_posts(world, 3);
    finish(world, &posts[2]);
    const rl_done_t *done = until_done(world, 2);
    assert_string_equal(done->finish, "stop");
    const char *built = strstr(done->timings, "\"prompt_us\":");
    const char *ahead = strstr(done->timings, "\"ahead_us\":"); // the time that it waited
    assert_true(built && ahead);
    assert_true(atol(ahead + 11) - atol(built + 12) > 50000);
}

static void one_at_a_time_and_none_without_use(void **state)
{
    genworld_t *world = *state;
    start(world);
    prefill_with(world, 1, "Why");
    until_posts(world, 2);
    prefill_with(world, 2, "Why does");
    const rl_done_t *done = until_done(world, 2);
    assert_string_equal(done->finish, "skipped");
    assert_non_null(strstr(done->timings, "\"reason\":\"busy\""));
    assert_int_equal(posts_size, 2);
    settle(world);
    assert_int_equal(world->running, 0); // it is no answer
}

static void a_server_of_another_kind_is_not_asked(void **state)
{
    genworld_t *world = *state;
    owner = "someone";
    warm = 0;
    genworld_start(world, true, small_context);
    settle(world);
    assert_true(models_asked > 0);
    assert_false(world->prefills);
    prefill_with(world, 1, "Why");
    const rl_done_t *done = until_done(world, 1);
    assert_string_equal(done->finish, "skipped");
    assert_non_null(strstr(done->timings, "\"reason\":\"off\""));
    assert_int_equal(posts_size, 0);
}

static void vllm_is_asked_for_one_token(void **state)
{
    genworld_t *world = *state;
    owner = "vllm";
    start(world);
    prefill_with(world, 1, "Why");
    until_posts(world, 2);
    assert_non_null(strstr(posts[1].body, "\"max_tokens\":1"));
    assert_null(strstr(posts[1].body, "cache_prompt"));
    assert_null(strstr(posts[1].body, "return_progress"));
    assert_int_equal(props_asked, 0);
}

static void a_failure_is_no_answer_s_and_opens_no_breaker(void **state)
{
    genworld_t *world = *state;
    start(world);
    for (uint64_t task = 1; task <= 6; task++) { // one more than opens it
        prefill_with(world, task, "Why");
        until_posts(world, 1 + task);
        loopback_sendf(posts[task].conn, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        const rl_done_t *done = until_done(world, task);
        assert_string_equal(done->finish, "skipped");
        assert_non_null(strstr(done->timings, "\"reason\":\"llm_failed\""));
    }
    genworld_ask(world, 7);
    until_posts(world, 8);
    finish(world, &posts[7]);
    assert_string_equal(until_done(world, 7)->finish, "stop");
}

static void how_far_it_is_is_told_now_and_then(void **state)
{
    genworld_t *world = *state;
    size_t told = 0;
    start(world);
    genworld_ask(world, 1);
    until_posts(world, 2);
    world->conn = posts[1].conn;
    genworld_begin(world);
    for (int processed = 20; processed <= 120; processed++) // all at once
        tell_progress(world, processed);
    genworld_words(world, "Bubbles.");
    genworld_finish(world);
    until_done(world, 1);
    for (size_t at = 0; at < world->messages_size; at++)
        told += world->messages[at]->type == RL_PROGRESS &&
                strcmp(world->messages[at]->progress.stage, "reading") == 0;
    assert_true(told <= 2); // of a hundred within a moment
}

static bool is_warmed(genworld_t *world)
{
    (void)world;
    return models_asked >= 4;
}

static void the_connection_is_kept_warm(void **state)
{
    genworld_t *world = *state;
    world->warm_ms = "20";
    start(world);
    genworld_until(world, is_warmed);
    assert_int_equal(posts_size, 1);
    assert_int_equal(loopback_open(world->llm), 1); // it was one connection all the time
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, genworld_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_prompt_is_read_ahead_and_the_question_s_own_is_the_same),
        TEST(without_prefill_the_prompt_is_the_same_too),
        TEST(passages_come_before_the_question),
        TEST(another_question_ends_it_at_once),
        TEST(the_question_whose_prompt_is_being_read_waits_for_it),
        TEST(one_at_a_time_and_none_without_use),
        TEST(a_server_of_another_kind_is_not_asked),
        TEST(vllm_is_asked_for_one_token),
        TEST(a_failure_is_no_answer_s_and_opens_no_breaker),
        TEST(how_far_it_is_is_told_now_and_then),
        TEST(the_connection_is_kept_warm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
