// The real process between a gateway and an LLM server: a question goes in, numbered words come
// out.
#include "generator_help.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const fallback[] = {"--llm-fallback", "extractive", NULL};

static bool has_text(genworld_t *world)
{
    return genworld_text(world)[0] != '\0';
}

static size_t tokens_of(const genworld_t *world)
{
    size_t tokens = 0;
    for (size_t at = 0; at < world->messages_size; at++)
        tokens += world->messages[at]->type == RL_TOKEN;
    return tokens;
}

static const rl_msg_t *progress(const genworld_t *world, const char *stage)
{
    for (size_t at = 0; at < world->messages_size; at++)
        if (world->messages[at]->type == RL_PROGRESS &&
            strcmp(world->messages[at]->progress.stage, stage) == 0)
            return world->messages[at];
    return NULL;
}

static const rl_failed_t *failure(genworld_t *world)
{
    genworld_until(world, genworld_is_over);
    genworld_check_order(world);
    const rl_msg_t *last = genworld_last(world, RL_FAILED);
    assert_non_null(last);
    return &last->failed;
}

// ---- the way it should go ---------------------------------------------------------------

static void a_question_is_answered_word_by_word(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    assert_string_equal(world->model, "tiny");
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    assert_non_null(strstr(world->head, "POST /v1/chat/completions"));
    assert_non_null(strstr(world->head, "traceparent: 00-0af7"));
    assert_non_null(strstr(world->head, "tracestate: congo=t61rcWkgMzE\r\n"));
    assert_non_null(strstr(world->head, "Accept: text/event-stream"));
    assert_non_null(strstr(world->body, "\"model\":\"tiny\""));
    assert_non_null(strstr(world->body, "\"stream\":true"));
    assert_non_null(strstr(world->body, "\"temperature\":0.5"));
    assert_non_null(strstr(world->body, "\"stop\":[\"\\n\\n\"]"));
    assert_non_null(strstr(world->body, "[1] Cheese\\nEmmental cheese has large holes."));
    assert_non_null(
        strstr(world->body, "Question: Why does Emmental cheese have holes?\\nAnswer:"));
    genworld_begin(world);
    genworld_words(world, "Emmental cheese");
    genworld_until(world, has_text); // before anything else comes
    assert_int_equal(tokens_of(world), 1);
    genworld_words(world, " has large holes.");
    genworld_words(world, " Sourdough");
    genworld_words(world, " bread rises slowly.");
    genworld_finish(world);
    genworld_until(world, genworld_is_over);
    genworld_check_order(world);
    assert_string_equal(genworld_text(world),
                        "Emmental cheese has large holes.[1] Sourdough bread rises slowly.[2]");
    const rl_msg_t *done = genworld_last(world, RL_DONE);
    assert_non_null(done);
    assert_string_equal(done->done.finish, "stop");
    assert_string_equal(done->done.model, "tiny-1");
    assert_string_equal(done->done.upstream, "openai");
    assert_true(done->done.counted);
    assert_int_equal(done->done.prompt_tokens, 90);
    assert_int_equal(done->done.completion_tokens, 5);
    assert_int_equal(done->done.passages_used, 2);
    static const char *const marks[] = {"queue_us",      "prompt_us",      "connect_us", "sent_us",
                                        "first_byte_us", "first_token_us", "total_us"};
    for (size_t at = 0; at < sizeof marks / sizeof *marks; at++)
        assert_non_null(strstr(done->done.timings, marks[at]));
    assert_non_null(strstr(done->done.timings, "\"cached_tokens\":80"));
    assert_non_null(strstr(done->done.timings, "\"prefill_ms\":12.5"));
    const rl_msg_t *prompted = progress(world, "prompted");
    assert_non_null(prompted);
    assert_non_null(strstr(prompted->progress.data, "\"passages_used\":2"));
}

static void characters_that_are_cut_come_whole(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    genworld_begin(world);
    genworld_words(world, "Gr\xc3");
    genworld_words(world, "\xbc\xc3\x9f"
                          "e \xf0\x9f");
    genworld_words(world, "\xa7");
    genworld_words(world, "\x80 \xff!");
    genworld_words(world, " \\ud83e"); // half a pair of surrogates
    genworld_words(world, "\xe2\x82");
    genworld_finish(world);
    genworld_until(world, genworld_is_over);
    assert_non_null(genworld_last(world, RL_DONE));
    assert_string_equal(genworld_text(world),
                        "Gr\xc3\xbc\xc3\x9f"
                        "e \xf0\x9f\xa7\x80 \xef\xbf\xbd! \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static bool twice_over(genworld_t *world)
{
    size_t done = 0;
    for (size_t at = 0; at < world->messages_size; at++)
        done += world->messages[at]->type == RL_DONE;
    return done == 2;
}

static void answer_briefly(genworld_t *world)
{
    genworld_begin(world);
    genworld_words(world, "Yes.");
    genworld_finish(world);
}

static void the_connection_is_used_again(void **state)
{
    genworld_t *world = *state;
    world->answer = answer_briefly;
    genworld_start(world, true, NULL);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_over);
    genworld_ask(world, 2);
    genworld_until(world, twice_over);
    assert_int_equal(world->asked, 2);
    assert_int_equal(loopback_taken(world->llm), 1);
}

static void a_whole_answer_is_understood_too(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    const char body[] = "{\"model\":\"whole-1\",\"choices\":[{\"message\":{\"content\":\"All at "
                        "once.\"},\"finish_reason\":\"length\"}]}";
    loopback_sendf(
        world->conn,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        sizeof body - 1, body);
    genworld_until(world, genworld_is_over);
    assert_string_equal(genworld_text(world), "All at once.");
    assert_string_equal(genworld_last(world, RL_DONE)->done.finish, "length");
    assert_string_equal(genworld_last(world, RL_DONE)->done.model, "whole-1");
    assert_false(genworld_last(world, RL_DONE)->done.counted);
}

static void answer_models(genworld_t *world)
{
    const char models[] =
        "{\"object\":\"list\",\"data\":[{\"id\":\"first-model\"},{\"id\":\"b\"}]}";
    if (strstr(world->head, "GET /v1/models"))
        loopback_sendf(world->conn, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                       sizeof models - 1, models);
    else
        answer_briefly(world);
}

static void the_server_s_first_model_is_taken(void **state)
{
    genworld_t *world = *state;
    const char *const options[] = {"--llm-model", "", NULL};
    world->answer = answer_models;
    genworld_start(world, true, options);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_over);
    assert_non_null(genworld_last(world, RL_DONE));
    assert_non_null(strstr(world->body, "\"model\":\"first-model\""));
}

// ---- nobody waits any more --------------------------------------------------------------

static void a_cancelled_answer_closes_the_connection(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    genworld_begin(world);
    genworld_words(world, "Emmental");
    genworld_until(world, has_text);
    genworld_cancel(world, 1);
    genworld_until(world, genworld_is_closed);
    assert_int_equal(tokens_of(world), 1);
}

static void cancelled_before_the_first_word_too(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    genworld_cancel(world, 1);
    genworld_until(world, genworld_is_closed);
    assert_int_equal(tokens_of(world), 0);
}

// ---- window and credit ------------------------------------------------------------------

static uint64_t wanted_messages;

static bool has_messages(genworld_t *world)
{
    return world->messages_size >= wanted_messages;
}

static bool nothing_moves(genworld_t *world)
{
    // three announcements came, and nothing with them
    static size_t announced, messages;
    if (messages != world->messages_size || announced == 0 || announced > world->announced) {
        messages = world->messages_size;
        announced = world->announced;
    }
    if (world->announced < announced + 3)
        return false;
    announced = 0;
    return true;
}

static void ask_with_window(genworld_t *world, uint64_t window)
{
    rl_msg_t msg = {.type = RL_GENERATE, .generate = genworld_question(1)};
    msg.generate.gateway = rl_proc_id(world->proc);
    msg.generate.window = window;
    genworld_send(world, &msg);
    genworld_until(world, genworld_is_asked);
}

static void no_more_than_the_window_is_sent(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    ask_with_window(world, 5);
    genworld_begin(world);
    for (int at = 0; at < 50; at++)
        genworld_words(world, "word ");
    genworld_finish(world);
    wanted_messages = 5;
    genworld_until(world, has_messages);
    genworld_until(world, nothing_moves);
    assert_int_equal(world->messages_size, 5);
    genworld_credit(world, 5, 3, false);
    wanted_messages = 8;
    genworld_until(world, has_messages);
    genworld_until(world, nothing_moves);
    assert_int_equal(world->messages_size, 8);
    genworld_credit(world, 8, 100, false);
    genworld_until(world, genworld_is_over);
    genworld_check_order(world);
    assert_int_equal(tokens_of(world), 50);
}

static void what_was_lost_is_sent_again(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    ask_with_window(world, 64);
    genworld_begin(world);
    for (int at = 0; at < 10; at++)
        genworld_words(world, "word ");
    wanted_messages = 11; // one told of the prompt
    genworld_until(world, has_messages);
    for (size_t at = 4; at < 11; at++) // as if from the fifth on all were lost
        rl_msg_free(&world->messages[at]);
    world->messages_size = 4;
    genworld_credit(world, 4, 64, true);
    genworld_until(world, has_messages);
    genworld_finish(world);
    genworld_until(world, genworld_is_over);
    genworld_check_order(world);
    assert_int_equal(tokens_of(world), 10);
    // the end is kept, too, until it is acknowledged
    uint64_t last = genworld_last(world, RL_DONE)->done.seq;
    rl_msg_free(&world->messages[--world->messages_size]);
    genworld_credit(world, last - 1, 64, true);
    genworld_until(world, genworld_is_over);
    genworld_check_order(world);
    genworld_credit(world, last, 64, false);
    genworld_credit(world, 0, 64, true); // now nobody knows it any more
    genworld_until(world, nothing_moves);
    assert_int_equal(world->messages_size, last);
}

static void an_answer_of_a_slow_gateway_pauses_the_llm(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    ask_with_window(world, 4);
    genworld_begin(world);
    for (int at = 0; at < 100000; at++) // 20 MB: far more than the kernel's buffers hold
        genworld_words(world, "word ");
    wanted_messages = 4;
    genworld_until(world, has_messages);
    genworld_until(world, nothing_moves);
    assert_int_equal(world->messages_size, 4);
    assert_true(loopback_unsent(world->conn) > 1 << 20);
    genworld_cancel(world, 1);
    genworld_until(world, genworld_is_closed);
}

// ---- slots ------------------------------------------------------------------------------

static bool one_waits(genworld_t *world)
{
    return world->queued == 1 && world->running == 1;
}

static bool asked_twice(genworld_t *world)
{
    return world->asked == 2;
}

static void what_has_no_slot_waits_and_what_has_no_room_is_refused(void **state)
{
    genworld_t *world = *state;
    const char *const options[] = {"--generator-slots", "1", "--generator-queue", "1", NULL};
    genworld_start(world, true, options);
    assert_int_equal(world->slots, 1);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    genworld_ask(world, 2);
    genworld_until(world, one_waits);
    assert_non_null(progress(world, "waiting"));
    genworld_ask(world, 3);
    genworld_until(world, genworld_is_over);
    const rl_failed_t *failed = &genworld_last(world, RL_FAILED)->failed;
    assert_int_equal(failed->task, 3);
    assert_string_equal(failed->code, "generator_busy");
    assert_true(failed->retry);
    assert_int_equal(world->asked, 1);
    genworld_begin(world);
    genworld_words(world, "Yes.");
    genworld_finish(world);
    genworld_until(world, asked_twice); // the slot is free
}

static void a_cancelled_one_frees_its_slot(void **state)
{
    genworld_t *world = *state;
    const char *const options[] = {"--generator-slots", "1", NULL};
    genworld_start(world, true, options);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    genworld_ask(world, 2);
    genworld_until(world, one_waits);
    genworld_cancel(world, 1);
    genworld_until(world, asked_twice);
}

// ---- what can go wrong ------------------------------------------------------------------

static const char *wrong_reply;

static void answer_wrongly(genworld_t *world)
{
    loopback_send(world->conn, wrong_reply, strlen(wrong_reply));
    loopback_close(world->conn);
}

static void check_wrong(genworld_t *world, const char *reply, const char *code, const char *words,
                        bool retry)
{
    wrong_reply = reply;
    world->answer = answer_wrongly;
    genworld_ask(world, 1);
    const rl_failed_t *failed = failure(world);
    assert_string_equal(failed->code, code);
    if (!strstr(failed->message, words))
        fail_msg("\"%s\" says nothing of \"%s\"", failed->message, words);
    assert_int_equal(failed->retry, retry);
    assert_int_equal(world->asked, 1);
}

#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

// With a fallback all the same: these are mistakes of a person, or come too late for another
// answer.
#define WRONG(name, reply, code, words)                                                            \
    static void name(void **state)                                                                 \
    {                                                                                              \
        genworld_start(*state, true, fallback);                                                    \
        check_wrong(*state, reply, code, words, false);                                            \
    }
#define BROKEN(name, reply, code, words)                                                           \
    static void name(void **state)                                                                 \
    {                                                                                              \
        genworld_start(*state, true, NULL);                                                        \
        check_wrong(*state, reply, code, words, false);                                            \
    }

WRONG(a_wrong_key_is_said,
      "HTTP/1.1 401 No\r\nContent-Length: 31\r\n\r\n{\"error\":{\"message\":\"bad key\"}} ",
      "llm_unauthorized", "llm.key")
WRONG(a_forbidden_model_is_said, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "llm_unauthorized",
      "llm.model")
WRONG(a_wrong_path_is_said, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "llm_not_found",
      "llm.url")
WRONG(
    a_bad_request_is_said,
    "HTTP/1.1 400 No\r\nContent-Length: 47\r\n\r\n{\"error\":{\"message\":\"temperature is too high\"}} ",
    "llm_bad_request", "temperature is too high")
WRONG(a_redirect_is_said, "HTTP/1.1 301 No\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
      "llm_not_found", "llm.url")
// Without one: what is no answer is named.
BROKEN(
    html_is_said,
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 25\r\n\r\n<html>Welcome!</html>    ",
    "llm_broken_answer", "HTML")
BROKEN(malformed_json_is_said, STREAM "data: {\"choices\":[}\n\n", "llm_broken_answer",
       "malformed JSON")
BROKEN(json_of_another_kind_is_said, STREAM "data: {\"hello\":1}\n\n", "llm_broken_answer",
       "no chat completion")
BROKEN(a_malformed_stream_is_said, STREAM "hello, this is no event stream\n\n", "llm_broken_answer",
       "without an answer")
WRONG(an_end_without_a_reason_is_said,
      STREAM "data: {\"choices\":[{\"delta\":{\"content\":\"half an\"}}]}\n\n", "llm_broken_answer",
      "finish_reason")
WRONG(an_error_within_the_answer_is_said,
      STREAM "data: {\"choices\":[{\"delta\":{\"content\":\"half an\"}}]}\n\n"
             "data: {\"error\":{\"message\":\"out of memory\",\"code\":500}}\n\n",
      "llm_failed", "out of memory")

static void check_fallback(genworld_t *world)
{
    genworld_until(world, genworld_is_over);
    genworld_check_order(world);
    const rl_msg_t *done = genworld_last(world, RL_DONE);
    assert_non_null(done);
    assert_string_equal(done->done.model, "extractive");
    assert_string_equal(done->done.upstream, "extractive");
    assert_string_equal(genworld_text(world), "Emmental cheese has large holes.[1]");
    assert_non_null(progress(world, "fallback"));
    assert_non_null(strstr(progress(world, "fallback")->progress.data, "\"message\""));
}

static void refused_falls_back(void **state)
{
    genworld_t *world = *state;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", loopback_free_port());
    const char *const options[] = {"--llm-url", url, "--llm-fallback", "extractive", NULL};
    genworld_start(world, true, options);
    genworld_ask(world, 1);
    check_fallback(world);
}

static void an_error_of_the_server_falls_back(void **state)
{
    genworld_t *world = *state;
    wrong_reply = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
    world->answer = answer_wrongly;
    genworld_start(world, true, fallback);
    genworld_ask(world, 1);
    check_fallback(world);
}

static void what_is_no_answer_falls_back(void **state)
{
    genworld_t *world = *state;
    wrong_reply = STREAM "data: {\"choices\":[}\n\n";
    world->answer = answer_wrongly;
    genworld_start(world, true, fallback);
    genworld_ask(world, 1);
    check_fallback(world);
}

static void silence_before_the_first_word_falls_back(void **state)
{
    genworld_t *world = *state;
    const char *const options[] = {"--llm-fallback", "extractive", "--llm-first-token-ms", "50",
                                   NULL};
    world->answer = genworld_begin; // headers, then nothing
    genworld_start(world, true, options);
    genworld_ask(world, 1);
    check_fallback(world);
    genworld_until(world, genworld_is_closed);
}

static void without_a_fallback_it_is_an_error(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    check_wrong(world, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "llm_failed", "500", true);
}

static void silence_within_the_answer_is_an_error(void **state)
{
    genworld_t *world = *state;
    const char *const options[] = {"--llm-fallback", "extractive", "--llm-idle-ms", "50", NULL};
    genworld_start(world, true, options);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    genworld_begin(world);
    genworld_words(world, "Emmental");
    const rl_failed_t *failed = failure(world);
    assert_string_equal(failed->code, "llm_timeout");
    assert_false(failed->retry);
    genworld_until(world, genworld_is_closed);
}

static void a_server_that_dies_within_the_answer_is_an_error(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, fallback);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    genworld_begin(world);
    genworld_words(world, "Emmental");
    genworld_until(world, has_text);
    loopback_reset(world->conn);
    const rl_failed_t *failed = failure(world);
    assert_string_equal(failed->code, "llm_lost");
    assert_false(failed->retry);
    assert_string_equal(genworld_text(world), "Emmental");
}

static void answer_busy_once(genworld_t *world)
{
    if (world->asked == 1)
        loopback_sendf(world->conn,
                       "HTTP/1.1 429 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n");
    else
        answer_briefly(world);
}

static void too_busy_is_asked_again(void **state)
{
    genworld_t *world = *state;
    world->answer = answer_busy_once;
    genworld_start(world, true, NULL);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_over);
    assert_non_null(genworld_last(world, RL_DONE));
    assert_int_equal(world->asked, 2);
    assert_non_null(progress(world, "retry"));
}

static void too_busy_for_the_deadline_is_said(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    check_wrong(world, "HTTP/1.1 503 Busy\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n",
                "llm_busy", "503", true);
    assert_int_equal(genworld_last(world, RL_FAILED)->failed.retry_after_s, 3000);
}

static void the_deadline_ends_it(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, fallback);
    rl_msg_t msg = {.type = RL_GENERATE, .generate = genworld_question(1)};
    msg.generate.gateway = rl_proc_id(world->proc);
    msg.generate.deadline_ms = 100;
    genworld_send(world, &msg);
    const rl_failed_t *failed = failure(world);
    assert_string_equal(failed->code, "deadline");
    assert_int_equal(failed->status, 504);
    genworld_until(world, genworld_is_closed);
}

// ---- without an LLM ---------------------------------------------------------------------

static void without_an_llm_the_passages_answer(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, false, NULL);
    assert_string_equal(world->model, "extractive");
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_over);
    assert_string_equal(genworld_text(world), "Emmental cheese has large holes.[1]");
    assert_string_equal(genworld_last(world, RL_DONE)->done.model, "extractive");
    assert_null(progress(world, "fallback"));
}

// ---- the end ----------------------------------------------------------------------------

static bool has_left(genworld_t *world)
{
    return world->left;
}

static void on_stop_what_is_at_work_is_finished(void **state)
{
    genworld_t *world = *state;
    int status;
    genworld_start(world, true, NULL);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    kill(world->pid, SIGTERM);
    genworld_until(world, has_left);
    genworld_ask(world, 2);
    genworld_until(world, genworld_is_over);
    assert_string_equal(genworld_last(world, RL_FAILED)->failed.code, "leaving");
    assert_true(genworld_last(world, RL_FAILED)->failed.retry);
    genworld_begin(world);
    genworld_words(world, "Yes.");
    genworld_finish(world);
    genworld_until(world, genworld_is_over);
    while (!genworld_last(world, RL_DONE)) {
        wanted_messages = world->messages_size + 1;
        genworld_until(world, has_messages);
    }
    assert_int_equal(waitpid(world->pid, &status, 0), world->pid);
    world->pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void what_does_not_finish_is_told(void **state)
{
    genworld_t *world = *state;
    const char *const options[] = {"--generator-grace-ms", "0", NULL};
    genworld_start(world, true, options);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    kill(world->pid, SIGTERM);
    assert_string_equal(failure(world)->code, "leaving");
}

static void a_gateway_started_anew_takes_over(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    rl_msg_t msg = {
        .type = RL_WELCOME,
        .welcome = {.gateway = "gateway-anew", .tokens = rl_wire_endpoint(world->tokens)}};
    genworld_send(world, &msg); // nobody waits for the old one's answers
    genworld_until(world, genworld_is_closed);
}

static bool is_unready(genworld_t *world)
{
    return !world->ready;
}

static bool has_two_words(genworld_t *world)
{
    return strstr(genworld_text(world), "Emmental cheese") != NULL;
}

static void a_connection_that_is_lost_loses_no_words(void **state)
{
    genworld_t *world = *state;
    char endpoint[128];
    genworld_start(world, true, NULL);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    genworld_begin(world);
    genworld_words(world, "Emmental");
    genworld_until(world, has_text);
    snprintf(endpoint, sizeof endpoint, "%s", rl_wire_endpoint(world->tokens));
    rl_wire_destroy(&world->tokens);
    genworld_until(world, is_unready);
    genworld_words(world, " cheese");
    genworld_until(world, nothing_moves);
    for (size_t at = 0; at < world->messages_size; at++)
        rl_msg_free(&world->messages[at]); // nothing is acknowledged: all comes again
    world->messages_size = 0;
    genworld_listen(world, endpoint);
    genworld_until(world, has_two_words);
    genworld_finish(world);
    genworld_until(world, genworld_is_over);
    genworld_check_order(world);
}

static void a_gateway_that_is_gone_leaves_no_work_behind(void **state)
{
    genworld_t *world = *state;
    const char *const options[] = {"--generator-orphan-ms", "100", NULL};
    genworld_start(world, true, options);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    genworld_begin(world);
    genworld_words(world, "Emmental");
    genworld_until(world, has_text);
    rl_wire_destroy(&world->tokens); // as if it had been killed
    genworld_until(world, genworld_is_closed);
    genworld_until(world, is_unready);
}

static bool is_reread(genworld_t *world)
{
    return world->slots == 7;
}

static void options_are_read_again_on_sighup(void **state)
{
    genworld_t *world = *state;
    char file[] = "/tmp/ragline-conf-XXXXXX";
    const char *const options[] = {"--config", file, NULL};
    int fd = mkstemp(file);
    assert_true(fd >= 0 && write(fd, "[generator]\nslots = 3\n", 22) == 22);
    genworld_start(world, true, options);
    assert_int_equal(world->slots, 3);
    genworld_ask(world, 1);
    genworld_until(world, genworld_is_asked);
    assert_true(pwrite(fd, "[generator]\nslots = 7\n", 22, 0) == 22);
    kill(world->pid, SIGHUP);
    genworld_until(world, is_reread);
    genworld_begin(world); // what was at work goes on
    genworld_words(world, "Yes.");
    genworld_finish(world);
    genworld_until(world, genworld_is_over);
    assert_non_null(genworld_last(world, RL_DONE));
    close(fd);
    unlink(file);
}

static void rubbish_changes_nothing(void **state)
{
    genworld_t *world = *state;
    genworld_start(world, true, NULL);
    world->answer = answer_briefly;
    rl_msg_t hits = {.type = RL_HITS, .hits = {.worker = "x"}};
    rl_msg_t stranger = {.type = RL_GENERATE, .generate = genworld_question(9)};
    rl_msg_t welcome = {.type = RL_WELCOME,
                        .welcome = {.gateway = "x", .route = 99, .tokens = "y"}};
    stranger.generate.gateway = "never-heard-of";
    genworld_send(world, &hits);
    genworld_send(world, &stranger);
    genworld_send(world, &welcome);
    genworld_credit(world, UINT64_MAX, UINT64_MAX, true);
    genworld_cancel(world, 77);
    genworld_ask(world, 1);
    genworld_ask(world, 1); // twice the same
    genworld_credit(world, UINT64_MAX, UINT64_MAX, true);
    genworld_until(world, genworld_is_over);
    assert_string_equal(genworld_text(world), "Yes.");
    assert_int_equal(world->asked, 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, genworld_setup, genworld_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_question_is_answered_word_by_word),
        TEST(characters_that_are_cut_come_whole),
        TEST(the_connection_is_used_again),
        TEST(a_whole_answer_is_understood_too),
        TEST(the_server_s_first_model_is_taken),
        TEST(a_cancelled_answer_closes_the_connection),
        TEST(cancelled_before_the_first_word_too),
        TEST(no_more_than_the_window_is_sent),
        TEST(what_was_lost_is_sent_again),
        TEST(an_answer_of_a_slow_gateway_pauses_the_llm),
        TEST(what_has_no_slot_waits_and_what_has_no_room_is_refused),
        TEST(a_cancelled_one_frees_its_slot),
        TEST(a_wrong_key_is_said),
        TEST(a_forbidden_model_is_said),
        TEST(a_wrong_path_is_said),
        TEST(a_bad_request_is_said),
        TEST(a_redirect_is_said),
        TEST(html_is_said),
        TEST(malformed_json_is_said),
        TEST(json_of_another_kind_is_said),
        TEST(a_malformed_stream_is_said),
        TEST(an_end_without_a_reason_is_said),
        TEST(an_error_within_the_answer_is_said),
        TEST(refused_falls_back),
        TEST(an_error_of_the_server_falls_back),
        TEST(what_is_no_answer_falls_back),
        TEST(silence_before_the_first_word_falls_back),
        TEST(without_a_fallback_it_is_an_error),
        TEST(silence_within_the_answer_is_an_error),
        TEST(a_server_that_dies_within_the_answer_is_an_error),
        TEST(too_busy_is_asked_again),
        TEST(too_busy_for_the_deadline_is_said),
        TEST(the_deadline_ends_it),
        TEST(without_an_llm_the_passages_answer),
        TEST(on_stop_what_is_at_work_is_finished),
        TEST(what_does_not_finish_is_told),
        TEST(a_gateway_started_anew_takes_over),
        TEST(a_gateway_that_is_gone_leaves_no_work_behind),
        TEST(a_connection_that_is_lost_loses_no_words),
        TEST(options_are_read_again_on_sighup),
        TEST(rubbish_changes_nothing),
    };
    return cmocka_run_group_tests_name("generator", tests, NULL, NULL);
}
