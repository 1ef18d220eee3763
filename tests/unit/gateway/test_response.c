// The four forms of one answer: events, JSON, OpenAI's chunks and OpenAI's JSON.
#include "http_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "response.h"
#include "sse.h"

static test_server_t served;

// ---- an answer given to a response -----------------------------------------------------------

static const rl_passage_t passages[] = {
    {.id = 17,
     .doc = "zmq_setsockopt",
     .title = "Say \"hi\"\n",
     .heading = "A > B",
     .source = "man/zmq.3",
     .text = "</script> \xc3\xa4 \x01",
     .start = 3,
     .end = 99,
     .meta = "{\"year\": 1999}"},
    {.id = 2,
     .doc = "d",
     .title = "",
     .heading = "",
     .source = "",
     .text = "t",
     .end = 1,
     .meta = "{no"},
};

static const merged_passage_t found[] = {
    {.passage = &passages[0],
     .collection = "docs",
     .shard = 1,
     .kinds = {true, true},
     .score = 0.75},
    {.passage = &passages[1],
     .collection = "man",
     .shard = 0,
     .kinds = {false, true},
     .score = 0.5},
};

static const missing_source_t missing[] = {{.source = "docs/0/dense", .reason = "no worker"}};

// "It is 4\u00b0. See [2]. End." with a citation for each of the first two sentences.
static answer_citation_t citations[] = {{1, 0, 9, 0.9}, {2, 9, 18, 0.5}};
static const char *const words[] = {"It is ", "4\xc2\xb0. ", "See [2]. ", "End."};

// Done after 1.5 ms.
static const timeline_t *make_timeline(const char *id)
{
    uint64_t from = rl_now_us();
    timeline_t *timeline = timeline_new(id, from, NULL);
    timeline_enter(timeline, REQUEST_DONE, from + 1500);
    return timeline;
}

static answer_t make_answer(const char *id)
{
    answer_t answer = {.id = id,
                       .created = 1,
                       .passages = found,
                       .passages_size = 2,
                       .answered = 3,
                       .of = 4,
                       .missing = missing,
                       .missing_size = 1,
                       .headline = "2 passages from 3 of 4 sources",
                       .text = rl_buf_make(1000),
                       .citations = citations,
                       .citations_size = 2,
                       .finish = (char *)"stop",
                       .model = (char *)"real-model",
                       .upstream = (char *)"openai",
                       .prompt_tokens = 10,
                       .completion_tokens = 5,
                       .passages_used = 2,
                       .timeline = make_timeline(id)};
    for (size_t at = 0; at < 4; at++)
        rl_buf_adds(&answer.text, words[at]);
    return answer;
}

// What is told before the passages are complete, and before the first token.
static void tell_early(response_t *reply, const answer_t *answer)
{
    static const missing_source_t awaited[] = {{.source = "docs/1/dense"},
                                               {.source = "docs/2/\"dense\""}};
    static const answer_preview_t preview = {"It \"is\"\n4\xc2\xb0.", 2, 0.625};
    answer_t so_far = *answer;
    so_far.awaited = awaited;
    so_far.awaited_size = 2;
    if (reply->ops->found)
        reply->ops->found(reply, &so_far);
    reply->ops->sources(reply, answer);
    if (reply->ops->preview)
        reply->ops->preview(reply, &preview);
}

// The whole way, or with an error at the point that the query names: "start", "middle"; with what
// is told early for "early".
static void tell(http_req_t *req, question_form_t form)
{
    const char *wrong = http_query(req, "wrong");
    char where[16], id[64];
    snprintf(where, sizeof where, "%s", wrong ? wrong : "");
    bool early = http_query(req, "early") != NULL;
    snprintf(id, sizeof id, "%s", http_id(req));
    question_t *question = question_read(&req, form);
    if (!question)
        return;
    answer_t answer = make_answer(id);
    const answer_error_t error = {503, "no_generator", "nobody is there \"now\"", 7};
    response_t *reply = response_new(&req, question, NULL);
    json_t *detail = json_pack("{s:s,s:i}", "state", "overwritten", "more", 1);
    if (*where == 's') {
        reply->ops->error(reply, &answer, &error);
    } else {
        reply->ops->status(reply, "searching", "Searching\xe2\x80\xa6", detail);
        if (early)
            tell_early(reply, &answer);
        else
            reply->ops->sources(reply, &answer);
        for (size_t at = 0; at < 4; at++) {
            reply->ops->token(reply, words[at], strlen(words[at]));
            if (at == 1 || at == 2)
                reply->ops->cite(reply, &citations[at - 1]);
        }
        if (*where)
            reply->ops->error(reply, &answer, &error);
        else
            reply->ops->done(reply, &answer);
    }
    assert_null(reply->req);
    response_destroy(&reply);
    json_decref(detail);
    timeline_destroy((timeline_t **)&answer.timeline);
    rl_buf_free(&answer.text);
    question_destroy(&question);
}

static void post_ask(void *arg, http_req_t *req)
{
    (void)arg;
    tell(req, FORM_ASK);
}

static void post_search(void *arg, http_req_t *req)
{
    (void)arg;
    tell(req, FORM_SEARCH);
}

static void post_chat(void *arg, http_req_t *req)
{
    (void)arg;
    tell(req, FORM_CHAT);
}

static const http_route_t routes[] = {
    {"POST", "/ask", false, post_ask},   {"POST", "/search", false, post_search},
    {"POST", "/chat", false, post_chat}, {"POST", "/stop", true, http_help_stop},
    {NULL, NULL, false, NULL},
};

static int start(void **state)
{
    (void)state;
    test_server_start(&served, routes, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_server_stop(&served);
    return 0;
}

// ---- helpers ------------------------------------------------------------------------------------

static int post(const char *path, const char *body)
{
    char head[256];
    int fd = client(&served);
    snprintf(head, sizeof head, "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", path,
             strlen(body));
    client_sends(fd, head);
    client_sends(fd, body);
    int status = client_response(fd);
    close(fd);
    return status;
}

enum {
    MAX_EVENTS = 32
};
static struct {
    char name[32];
    char data[8192];
    json_t *json;
} events[MAX_EVENTS];
static size_t events_size;

static bool take_event(void *arg, const char *name, const char *data, size_t size)
{
    (void)arg;
    assert_true(events_size < MAX_EVENTS && size < sizeof events->data);
    snprintf(events[events_size].name, sizeof events->name, "%s", name);
    snprintf(events[events_size].data, sizeof events->data, "%s", data);
    events[events_size++].json = json_loads(data, JSON_REJECT_DUPLICATES, NULL);
    return true;
}

static void forget_events(void)
{
    for (size_t at = 0; at < events_size; at++)
        json_decref(events[at].json);
    events_size = 0;
}

static void read_events(void)
{
    forget_events();
    rl_sse_t *sse = rl_sse_new(65536, take_event, NULL);
    assert_int_equal(rl_sse_feed(sse, response_body, strlen(response_body)), 0);
    rl_sse_destroy(&sse);
}

// The member at "a.b.0.c".
static const json_t *at_path(const json_t *json, const char *path)
{
    char copy[128], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *part = strtok_r(copy, ".", &rest); part; part = strtok_r(NULL, ".", &rest))
        json = json_is_array(json) ? json_array_get(json, strtoul(part, NULL, 10))
                                   : json_object_get(json, part);
    return json;
}

static void assert_at(const json_t *json, const char *path, const char *expected)
{
    json_t *value = json_loads(expected, JSON_DECODE_ANY, NULL);
    if (!json_equal(at_path(json, path), value)) {
        char *got = json_dumps(at_path(json, path), JSON_ENCODE_ANY);
        fail_msg("%s is %s and not %s", path, got ? got : "not there", expected);
    }
    json_decref(value);
}

static void assert_passages(const json_t *list)
{
    assert_int_equal(json_array_size(list), 2);
    assert_at(
        list, "0",
        "{\"n\":1,\"id\":\"docs/1/17\",\"doc\":\"zmq_setsockopt\",\"title\":\"Say \\\"hi\\\"\\n\","
        "\"heading\":\"A > B\",\"source\":\"man/zmq.3\",\"text\":\"</script> \xc3\xa4 \\u0001\","
        "\"start\":3,\"end\":99,\"score\":0.75,\"kinds\":[\"dense\",\"lexical\"],"
        "\"collection\":\"docs\",\"meta\":{\"year\":1999}}");
    assert_at(list, "1.n", "2");
    assert_at(list, "1.kinds", "[\"lexical\"]");
    assert_at(list, "1.meta", "{}"); // what the index has is no JSON
}

static const char coverage[] =
    "{\"answered\":3,\"of\":4,\"missing\":[{\"source\":\"docs/0/dense\",\"reason\":\"no worker\"}]}";
static const char usage[] = "{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15}";
static const char cited[] = "[{\"passage\":1,\"start\":0,\"end\":9,\"score\":0.9},"
                            "{\"passage\":2,\"start\":9,\"end\":18,\"score\":0.5}]";

// ---- the forms ----------------------------------------------------------------------------------

static void events_of_ask(void **state)
{
    (void)state;
    static const char *const names[] = {"status", "sources", "token", "token",   "token",
                                        "token",  "token",   "token", "timings", "done"};
    assert_int_equal(post("ask", "{\"question\":\"x\"}"), 200);
    assert_non_null(strstr(response_body, "event: status\nid: 1\ndata: {"));
    assert_non_null(strstr(response_body, "event: done\nid: 10\ndata: {"));
    read_events();
    assert_int_equal(events_size, 10);
    for (size_t at = 0; at < events_size; at++)
        assert_string_equal(events[at].name, names[at]);
    assert_at(events[0].json, "state", "\"searching\"");
    assert_at(events[0].json, "message", "\"Searching\xe2\x80\xa6\"");
    assert_at(events[0].json, "more", "1");
    assert_at(events[1].json, "message", "\"2 passages from 3 of 4 sources\"");
    assert_at(events[1].json, "coverage", coverage);
    assert_passages(at_path(events[1].json, "passages"));
    assert_string_equal(events[2].data, "{\"text\":\"It is \"}");
    assert_string_equal(events[3].data, "{\"text\":\"4\xc2\xb0. \"}");
    assert_string_equal(events[4].data, "{\"text\":\"\",\"cite\":1,\"score\":0.9}");
    assert_at(events[8].json, "total_ms", "1.5");
    assert_at(events[9].json, "finish_reason", "\"stop\"");
    assert_at(events[9].json, "model", "\"real-model\"");
    assert_at(events[9].json, "upstream", "\"openai\"");
    assert_at(events[9].json, "usage", usage);
    assert_at(events[9].json, "citations", cited);
    assert_at(events[9].json, "passages_used", "2");
    assert_at(events[9].json, "coverage", coverage);
    assert_string_equal(json_string_value(at_path(events[9].json, "id")),
                        response_header("X-Request-Id"));
}

static const char awaited_names[] = "[\"docs/1/dense\",\"docs/2/\\\"dense\\\"\"]";
static const char quotation[] =
    "{\"text\":\"It \\\"is\\\"\\n4\xc2\xb0.\",\"passage\":2,\"score\":0.625}";

static void what_comes_early_in_ask(void **state)
{
    (void)state;
    static const char *const names[] = {"status", "found", "sources", "quick_answer", "token"};
    assert_int_equal(post("ask?early=1", "{\"question\":\"x\"}"), 200);
    read_events();
    assert_int_equal(events_size, 12);
    for (size_t at = 0; at < 5; at++)
        assert_string_equal(events[at].name, names[at]);
    assert_at(events[1].json, "final", "false");
    assert_at(events[1].json, "coverage", coverage);
    assert_at(events[1].json, "awaited", awaited_names);
    assert_passages(at_path(events[1].json, "passages"));
    assert_at(events[3].json, "text", "\"It \\\"is\\\"\\n4\xc2\xb0.\"");
    json_t *wanted = json_loads(quotation, 0, NULL);
    assert_true(json_equal(events[3].json, wanted));
    json_decref(wanted);
    assert_int_equal(post("ask?early=1", "{\"question\":\"x\",\"stream\":false}"), 200);
    assert_null(strstr(response_body, "awaited"));
    assert_null(strstr(response_body, "0.625"));
}

static void what_comes_early_in_chunks(void **state)
{
    (void)state;
    assert_int_equal(post("chat?early=1", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                                          "\"stream\":true,\"ragline\":{\"progress\":true}}"),
                     200);
    read_events();
    size_t early = 0, quick = 0;
    for (size_t at = 0; at + 1 < events_size; at++) {
        const json_t *chunk = events[at].json;
        if (at_path(chunk, "progress.passages")) {
            early++;
            assert_at(chunk, "progress.state", "\"found\"");
            assert_at(chunk, "progress.awaited", awaited_names);
            assert_passages(at_path(chunk, "progress.passages"));
            assert_at(chunk, "choices.0.delta", "{}");
            assert_null(json_object_get(chunk, "citations"));
        }
        if (json_object_get(chunk, "quick_answer")) {
            quick++;
            assert_at(chunk, "quick_answer", quotation);
            assert_at(chunk, "choices.0.delta", "{}");
        }
    }
    assert_int_equal(early, 1);
    assert_int_equal(quick, 1);
}

static void errors_of_ask(void **state)
{
    (void)state;
    assert_int_equal(post("ask?wrong=start", "{\"question\":\"x\"}"), 503);
    assert_string_equal(response_header("Retry-After"), "7");
    json_t *body = json_loads(response_body, 0, NULL);
    assert_at(
        body, "error",
        "{\"message\":\"nobody is there \\\"now\\\"\",\"type\":\"server_error\",\"param\":null,"
        "\"code\":\"no_generator\"}");
    assert_int_equal(post("ask?wrong=middle", "{\"question\":\"x\"}"), 200);
    read_events();
    assert_string_equal(events[events_size - 1].name, "error");
    assert_true(json_equal(events[events_size - 1].json, body));
    json_decref(body);
}

static void json_of_ask_and_search(void **state)
{
    (void)state;
    assert_int_equal(post("ask", "{\"question\":\"x\",\"stream\":false}"), 200);
    json_t *body = json_loads(response_body, JSON_REJECT_DUPLICATES, NULL);
    assert_at(body, "answer", "\"It is 4\xc2\xb0. See [2]. End.\"");
    assert_passages(at_path(body, "passages"));
    assert_at(body, "coverage", coverage);
    assert_at(body, "citations", cited);
    assert_at(body, "finish_reason", "\"stop\"");
    assert_at(body, "model", "\"real-model\"");
    assert_at(body, "usage", usage);
    assert_at(body, "timings.total_ms", "1.5");
    json_decref(body);
    assert_int_equal(post("search", "{\"question\":\"x\"}"), 200);
    body = json_loads(response_body, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_object_size(body), 4); // id, passages, coverage, timings
    assert_passages(at_path(body, "passages"));
    assert_at(body, "coverage", coverage);
    json_decref(body);
    assert_int_equal(post("ask?wrong=middle", "{\"question\":\"x\",\"stream\":false}"), 503);
}

#define MESSAGES "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

// The text of all chunks.
static const char *content(void)
{
    static char text[256];
    text[0] = '\0';
    for (size_t at = 0; at < events_size; at++) {
        const char *part = json_string_value(at_path(events[at].json, "choices.0.delta.content"));
        strcat(text, part ? part : "");
    }
    return text;
}

static void chunks_of_openai(void **state)
{
    (void)state;
    assert_int_equal(post("chat", MESSAGES ",\"stream\":true}"), 200);
    read_events();
    assert_int_equal(events_size, 1 + 1 + 4 + 1 + 1); // role, citations, words, finish, [DONE]
    assert_string_equal(events[events_size - 1].data, "[DONE]");
    for (size_t at = 0; at + 1 < events_size; at++) {
        const json_t *chunk = events[at].json;
        assert_string_equal(events[at].name, "message");
        assert_at(chunk, "object", "\"chat.completion.chunk\"");
        assert_at(chunk, "choices.0.index", "0");
        assert_true(json_equal(at_path(chunk, "id"), at_path(events[0].json, "id")));
        assert_true(json_equal(at_path(chunk, "created"), at_path(events[0].json, "created")));
        assert_at(chunk, "choices.0.finish_reason", at + 2 < events_size ? "null" : "\"stop\"");
        assert_null(at_path(chunk, "usage"));
        assert_null(at_path(chunk, "timings"));
        assert_int_equal(at_path(chunk, "choices.0.delta.role") != NULL, at == 0);
    }
    assert_memory_equal(json_string_value(at_path(events[0].json, "id")), "chatcmpl-", 9);
    assert_at(events[0].json, "choices.0.delta.role", "\"assistant\"");
    assert_at(events[0].json, "model", "\"ragline\"");
    assert_passages(at_path(events[1].json, "citations"));
    assert_at(events[1].json, "coverage", coverage);
    assert_at(events[1].json, "choices.0.delta", "{}");
    assert_string_equal(content(), "It is 4\xc2\xb0. See [2]. End.");
    assert_at(events[6].json, "model", "\"real-model\"");
    assert_at(events[6].json, "upstream", "\"openai\"");
}

static void chunks_for_those_who_ask(void **state)
{
    (void)state;
    assert_int_equal(post("chat",
                          MESSAGES ",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                                   "\"ragline\":{\"timings\":true,\"progress\":true,"
                                   "\"inline_citations\":true}}"),
                     200);
    read_events();
    assert_int_equal(events_size, 1 + 1 + 1 + 5 + 1 + 1 + 1);
    assert_at(events[0].json, "choices.0.delta.role", "\"assistant\"");
    assert_at(events[1].json, "progress.message", "\"Searching\xe2\x80\xa6\"");
    assert_string_equal(content(),
                        "It is 4\xc2\xb0. [1] See [2]. End."); // the second is there already
    assert_at(events[8].json, "timings.total_ms", "1.5");
    assert_at(events[8].json, "usage", "null");
    assert_at(events[9].json, "choices", "[]");
    assert_at(events[9].json, "usage", usage);
}

static void errors_of_openai(void **state)
{
    (void)state;
    assert_int_equal(post("chat?wrong=start", MESSAGES ",\"stream\":true}"), 503);
    assert_int_equal(post("chat?wrong=middle", MESSAGES ",\"stream\":true}"), 200);
    read_events();
    assert_at(events[events_size - 1].json, "error.code", "\"no_generator\"");
    assert_int_equal(post("chat?wrong=middle", MESSAGES "}"), 503);
}

static void json_of_openai(void **state)
{
    (void)state;
    assert_int_equal(post("chat", MESSAGES "}"), 200);
    json_t *body = json_loads(response_body, JSON_REJECT_DUPLICATES, NULL);
    assert_at(body, "object", "\"chat.completion\"");
    assert_at(body, "model", "\"real-model\"");
    assert_at(
        body, "choices.0.message",
        "{\"role\":\"assistant\",\"content\":\"It is 4\xc2\xb0. See [2]. End.\",\"refusal\":null}");
    assert_at(body, "choices.0.finish_reason", "\"stop\"");
    assert_at(body, "usage", usage);
    assert_passages(at_path(body, "citations"));
    assert_at(body, "coverage", coverage);
    assert_null(at_path(body, "timings"));
    json_decref(body);
    assert_int_equal(
        post("chat", MESSAGES ",\"ragline\":{\"inline_citations\":true,\"timings\":true}}"), 200);
    body = json_loads(response_body, JSON_REJECT_DUPLICATES, NULL);
    assert_at(body, "choices.0.message.content", "\"It is 4\xc2\xb0. [1] See [2]. End.\"");
    assert_at(body, "timings.total_ms", "1.5");
    json_decref(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_ask),
        cmocka_unit_test(what_comes_early_in_ask),
        cmocka_unit_test(what_comes_early_in_chunks),
        cmocka_unit_test(errors_of_ask),
        cmocka_unit_test(json_of_ask_and_search),
        cmocka_unit_test(chunks_of_openai),
        cmocka_unit_test(chunks_for_those_who_ask),
        cmocka_unit_test(errors_of_openai),
        cmocka_unit_test(json_of_openai),
    };
    int failed = cmocka_run_group_tests_name("response", tests, start, stop);
    forget_events();
    return failed;
}
