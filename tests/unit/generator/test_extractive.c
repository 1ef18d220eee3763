// Answers without a model: the right sentences, cited, and honest when there are none.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "backend.h"

typedef struct heard {
    char text[4096];
    bool done, pause;
    backend_t *upstream;
    backend_call_t *call;
} heard_t;

static rl_passage_t passages[] = {
    {.title = "zmq_setsockopt",
     .heading = "",
     .text = "The option ZMQ_SNDHWM sets the high water mark for outbound messages.\nThe default\n"
             "value of ZMQ_SNDHWM is 1000 messages. Sockets are fine things."},
    {.title = "curl",
     .heading = "",
     .text = "Use --max-time to limit a transfer. It takes seconds"},
};

static bool on_text(void *arg, const char *text, size_t size)
{
    heard_t *heard = arg;
    strncat(heard->text, text, size);
    return !heard->pause;
}

static void on_cite(void *arg, unsigned passage, double score)
{
    heard_t *heard = arg;
    char mark[32];
    assert_true(score > 0 && score <= 1);
    snprintf(mark, sizeof mark, "[%u]", passage);
    strcat(heard->text, mark);
}

static void on_done(void *arg, const backend_end_t *end, const backend_times_t *times)
{
    heard_t *heard = arg;
    (void)times;
    assert_string_equal(end->model, "extractive");
    assert_string_equal(end->finish, "stop");
    assert_false(end->counted);
    heard->done = true;
    heard->call = NULL;
}

static const backend_events_t events = {.text = on_text, .cite = on_cite, .done = on_done};

static void start(struct event_base *base, heard_t *heard, const char *question, size_t size)
{
    rl_generate_t generate = {.question = question, .passages = passages, .passages_size = size};
    backend_request_t ask = {.generate = &generate, .max_tokens = 256};
    heard->upstream = backend_extractive_new(base);
    heard->call = heard->upstream->type->start(heard->upstream, &ask, &events, heard);
    assert_non_null(heard->call);
    assert_string_equal(heard->text, ""); // never from within start
}

static void check(const char *question, size_t size, const char *expected)
{
    heard_t heard = {.text = ""};
    struct event_base *base = event_base_new();
    start(base, &heard, question, size);
    while (!heard.done)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    assert_string_equal(heard.text, expected);
    heard.upstream->type->destroy(&heard.upstream);
    event_base_free(base);
}

static void the_matching_sentence_answers(void **state)
{
    (void)state;
    check("What is the default value of ZMQ_SNDHWM?", 2,
          "The default value of ZMQ_SNDHWM is 1000 messages.[1]");
    check("How can I limit a transfer?", 2, "Use --max-time to limit a transfer.[2]");
}

static void several_come_in_the_passages_order(void **state)
{
    (void)state;
    check(
        "ZMQ_SNDHWM messages", 1,
        "The option ZMQ_SNDHWM sets the high water mark for outbound messages.[1] The default value of "
        "ZMQ_SNDHWM is 1000 messages.[1]");
}

static void nothing_that_matches_is_said(void **state)
{
    (void)state;
    check("Where do bananas grow?", 2,
          "The passages hold nothing that matches the question's words.");
    check("What?", 2, "The passages hold nothing that matches the question's words.");
    check("Anything", 0, "The passages hold nothing that matches the question's words.");
}

static void it_pauses_and_goes_on(void **state)
{
    (void)state;
    heard_t heard = {.text = "", .pause = true};
    struct event_base *base = event_base_new();
    start(base, &heard, "ZMQ_SNDHWM messages", 1);
    for (int turn = 0; turn < 5; turn++)
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_string_equal(heard.text,
                        "The option ZMQ_SNDHWM sets the high water mark for outbound messages.[1]");
    heard.pause = false;
    heard.upstream->type->resume(heard.call);
    while (!heard.done)
        event_base_loop(base, EVLOOP_ONCE);
    assert_non_null(strstr(heard.text, "1000 messages.[1]"));
    heard.upstream->type->destroy(&heard.upstream);
    event_base_free(base);
}

static void it_can_be_cancelled(void **state)
{
    (void)state;
    heard_t heard = {.text = ""};
    struct event_base *base = event_base_new();
    start(base, &heard, "ZMQ_SNDHWM messages", 1);
    heard.upstream->type->cancel(&heard.call);
    assert_null(heard.call);
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_string_equal(heard.text, "");
    heard.upstream->type->destroy(&heard.upstream);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_matching_sentence_answers),
        cmocka_unit_test(several_come_in_the_passages_order),
        cmocka_unit_test(nothing_that_matches_is_said),
        cmocka_unit_test(it_pauses_and_goes_on),
        cmocka_unit_test(it_can_be_cancelled),
    };
    return cmocka_run_group_tests_name("extractive", tests, NULL, NULL);
}
