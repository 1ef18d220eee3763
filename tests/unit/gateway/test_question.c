// Questions: what is read from good bodies, and what is said of wrong ones.
#include "http_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "question.h"

static test_server_t served;
static char keys_file[] = "/tmp/ragline-question-keys-XXXXXX";
static json_t *answer; // the last one's body

// ---- a server that shows what it understood -----------------------------------------------------

static json_t *turns_json(const question_t *question)
{
    json_t *list = json_array();
    for (size_t at = 0; at < question->turns_size; at++)
        json_array_append_new(list, json_pack("{s:s,s:s}", "role", question->turns[at].role,
                                              "content", question->turns[at].content));
    return list;
}

static json_t *question_json(const question_t *question)
{
    json_t *collections = json_array();
    for (size_t at = 0; at < question->collections_size; at++)
        json_array_append_new(collections, json_string(question->collections[at]));
    return json_pack(
        "{s:s?,s:s,s:o,s:o,s:i,s:[bb],s:[ff],s:b,s:b,s:[iii],s:i,s:o,s:i,s:s,s:[bbbb]}", "filter",
        question->filter, "text", question->text, "turns", turns_json(question), "collections",
        collections, "k", (int)question->k, "kinds", question->kinds[KIND_DENSE],
        question->kinds[KIND_LEXICAL], "weights", question->weights[KIND_DENSE],
        question->weights[KIND_LEXICAL], "stream", question->stream, "all", question->require_all,
        "ms", (int)question->timeout_ms, (int)question->soft_ms, (int)question->hard_ms, "quorum",
        (int)question->quorum, "params", json_loads(question->params, 0, NULL), "max_tokens",
        (int)question->max_tokens, "model", question->model, "wants", question->want_timings,
        question->want_progress, question->want_usage, question->inline_citations);
}

static void show(http_req_t *req, question_form_t form)
{
    question_t *question = question_read(&req, form);
    if (question)
        http_reply_json(&req, 200, question_json(question));
    question_destroy(&question);
}

static void post_ask(void *arg, http_req_t *req)
{
    (void)arg;
    show(req, FORM_ASK);
}

static void post_search(void *arg, http_req_t *req)
{
    (void)arg;
    show(req, FORM_SEARCH);
}

static void post_chat(void *arg, http_req_t *req)
{
    (void)arg;
    show(req, FORM_CHAT);
}

static const http_route_t routes[] = {
    {"POST", "/ask", false, post_ask},   {"POST", "/search", false, post_search},
    {"POST", "/chat", false, post_chat}, {"POST", "/stop", true, http_help_stop},
    {NULL, NULL, false, NULL},
};

static int start(void **state)
{
    (void)state;
    int fd = mkstemp(keys_file);
    // of "alpha" and "beta"
    static const char text[] =
        "ann sha256:8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8\n"
        "bob sha256:f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753 "
        "collections=docs\n";
    if (fd < 0 || write(fd, text, sizeof text - 1) != sizeof text - 1)
        return -1;
    close(fd);
    const char *const options[] = {"--gateway-keys-file", keys_file, NULL};
    test_server_start(&served, routes, options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_server_stop(&served);
    json_decref(answer);
    return unlink(keys_file);
}

// ---- helpers ------------------------------------------------------------------------------------

static int post_as(const char *key, const char *path, const char *body, size_t size)
{
    char head[256];
    int fd = client(&served);
    snprintf(head, sizeof head,
             "POST /%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
             "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             path, key, size);
    client_sends(fd, head);
    client_send(fd, body, size);
    int status = client_response(fd);
    close(fd);
    json_decref(answer);
    answer = json_loads(response_body, 0, NULL);
    assert_non_null(answer);
    return status;
}

static int post(const char *path, const char *body)
{
    return post_as("alpha", path, body, strlen(body));
}

// Whether the answer's `name` is this JSON.
static bool is(const char *name, const char *json)
{
    json_t *expected = json_loads(json, JSON_DECODE_ANY, NULL);
    bool same = json_equal(json_object_get(answer, name), expected);
    json_decref(expected);
    return same;
}

static const char *said(const char *name)
{
    return json_string_value(json_object_get(json_object_get(answer, "error"), name));
}

static void refused(const char *path, const char *body, int status, const char *code,
                    const char *param)
{
    int got = post(path, body);
    if (got != status || strcmp(said("code"), code) != 0 || !said("param") ||
        strcmp(said("param"), param) != 0)
        fail_msg("%d %s %s instead of %d %s %s for %.200s", got, said("code"), said("param"),
                 status, code, param, body);
    assert_string_equal(said("type"), status == 403 ? "permission_error" : "invalid_request_error");
    assert_true(strlen(said("message")) > 10);
}

// ---- good ones ----------------------------------------------------------------------------------

static void a_question_alone_leaves_all_else_to_the_gateway(void **state)
{
    (void)state;
    assert_int_equal(post("ask", "{\"question\":\"Why?\"}"), 200);
    assert_true(is("text", "\"Why?\""));
    assert_true(is("turns", "[]"));
    assert_true(is("collections", "[]"));
    assert_true(is("k", "0"));
    assert_true(is("kinds", "[true,true]"));
    assert_true(is("weights", "[-1.0,-1.0]"));
    assert_true(is("stream", "true"));
    assert_true(is("params", "{}"));
    assert_true(is("model", "\"ragline\""));
    assert_true(is("filter", "null"));
    assert_int_equal(post("search", "{\"question\":\"Why?\"}"), 200);
    assert_true(is("stream", "false"));
}

static void every_field_of_a_question(void **state)
{
    (void)state;
    assert_int_equal(
        post(
            "ask",
            "{\"question\":\"And why \xc3\xa4\xf0\x9f\x99\x82?\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
            "{\"role\":\"assistant\",\"content\":\"b\",\"citations\":[{}],\"refusal\":null},"
            "{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"c\"},"
            "{\"type\":\"text\",\"text\":\"d\"}]}],"
            "\"collections\":[\"docs\",\"man\"],\"k\":100,\"kinds\":[\"lexical\"],"
            "\"weights\":{\"dense\":0,\"lexical\":0.5},\"stream\":false,\"require\":\"all\","
            "\"timeout_ms\":3000,\"soft_ms\":10,\"hard_ms\":20,\"quorum\":2,\"max_tokens\":17,"
            "\"temperature\":0.5,\"top_p\":1,\"stop\":[\"x\",\"y\"],\"seed\":-9223372036854775808,"
            "\"response_format\":{\"type\":\"json_object\"},\"presence_penalty\":-2,"
            "\"frequency_penalty\":2,\"filter\":{\"or\":[{\"lt\":9,\"field\":\"b\"},{\"field\":\"a\","
            "\"in\":[true]}]}}"),
        200);
    assert_true(is("filter", "\"{\\\"or\\\":[{\\\"field\\\":\\\"a\\\",\\\"eq\\\":true},"
                             "{\\\"field\\\":\\\"b\\\",\\\"lt\\\":9}]}\""));
    assert_true(is("text", "\"And why \xc3\xa4\xf0\x9f\x99\x82?\""));
    assert_true(is("turns", "[{\"role\":\"user\",\"content\":\"a\"},"
                            "{\"role\":\"assistant\",\"content\":\"b\"},"
                            "{\"role\":\"system\",\"content\":\"cd\"}]"));
    assert_true(is("collections", "[\"docs\",\"man\"]"));
    assert_true(is("k", "100"));
    assert_true(is("kinds", "[false,true]"));
    assert_true(is("weights", "[0.0,0.5]"));
    assert_true(is("stream", "false"));
    assert_true(is("all", "true"));
    assert_true(is("ms", "[3000,10,20]"));
    assert_true(is("quorum", "2"));
    assert_true(is("max_tokens", "17"));
    assert_true(is("params", "{\"temperature\":0.5,\"top_p\":1,\"stop\":[\"x\",\"y\"],"
                             "\"seed\":-9223372036854775808,"
                             "\"response_format\":{\"type\":\"json_object\"},"
                             "\"presence_penalty\":-2,\"frequency_penalty\":2}"));
}

static void openai_s_form(void **state)
{
    (void)state;
    assert_int_equal(
        post("chat",
             "{\"model\":\"ragline/docs\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
             "{\"role\":\"user\",\"content\":\"q\"}],\"stream\":true,\"n\":1,\"tools\":null,"
             "\"logprobs\":false,\"stream_options\":{\"include_usage\":true},"
             "\"max_completion_tokens\":5,\"logit_bias\":{\"7\":-100},\"user\":\"u\","
             "\"temperature\":null,"
             "\"ragline\":{\"k\":3,\"timings\":true,\"progress\":true,\"inline_citations\":true}}"),
        200);
    assert_true(is("text", "\"q\""));
    assert_true(is("turns", "[{\"role\":\"system\",\"content\":\"s\"}]"));
    assert_true(is("collections", "[\"docs\"]"));
    assert_true(is("model", "\"ragline/docs\""));
    assert_true(is("wants", "[true,true,true,true]"));
    assert_true(is("max_tokens", "5"));
    assert_true(is("params", "{\"logit_bias\":{\"7\":-100},\"user\":\"u\"}"));
    assert_int_equal(post("chat", "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}"), 200);
    assert_true(is("stream", "false"));
}

static void a_whole_number_may_be_written_as_a_real(void **state)
{
    (void)state;
    assert_int_equal(post("ask", "{\"question\":\"x\",\"k\":8.0}"), 200);
    assert_true(is("k", "8"));
}

static void the_longest_question_and_conversation(void **state)
{
    (void)state;
    static char body[80000];
    memset(body, 'x', sizeof body);
    memcpy(body, "{\"question\":\"", 13);
    memcpy(body + 13 + 32768, "\"}", 3);
    assert_int_equal(post("ask", body), 200);
    memcpy(body + 13 + 32768, "x\"}", 4);
    refused("ask", body, 400, "invalid_value", "question");
    for (int turns = 256; turns <= 257; turns++) {
        size_t size = (size_t)sprintf(body, "{\"messages\":[");
        for (int at = 0; at < turns; at++)
            size += (size_t)sprintf(body + size, "%s{\"role\":\"user\",\"content\":\"%d\"}",
                                    at ? "," : "", at);
        strcpy(body + size, "]}");
        if (turns == 256)
            assert_int_equal(post("chat", body), 200);
        else
            refused("chat", body, 400, "invalid_value", "messages");
    }
}

// ---- wrong ones ---------------------------------------------------------------------------------

static void wrong_fields_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *field, *param, *code;
    } cases[] = {
        {"\"k\":0", "k", "invalid_value"},
        {"\"k\":101", "k", "invalid_value"},
        {"\"k\":1.5", "k", "invalid_value"},
        {"\"k\":\"8\"", "k", "invalid_value"},
        {"\"k\":null", "k", "invalid_value"},
        {"\"k\":true", "k", "invalid_value"},
        {"\"k\":1000000000000000000000000000000", "k", "invalid_value"},
        {"\"k\":1e300", "k", "invalid_value"},
        {"\"collection\":\"\"", "collection", "invalid_value"},
        {"\"collection\":[\"a\"]", "collection", "invalid_value"},
        {"\"collections\":\"a\"", "collections", "invalid_value"},
        {"\"collections\":[]", "collections", "invalid_value"},
        {"\"collections\":[\"a\",7]", "collections[1]", "invalid_value"},
        {"\"collections\":[\"a\",\"a\"]", "collections[1]", "invalid_value"},
        {"\"collections\":["
         "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,2"
         "7,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50"
         ",51,52,53,54,55,56,57,58,59,60,61,62,63,64,65"
         "]",
         "collections", "invalid_value"},
        {"\"collection\":\"a\",\"collections\":[\"a\"]", "collections", "invalid_value"},
        {"\"collection\":\"a\",\"model\":\"ragline/a\"", "model", "invalid_value"},
        {"\"kinds\":[]", "kinds", "invalid_value"},
        {"\"kinds\":[\"dense\",\"dense\"]", "kinds", "invalid_value"},
        {"\"kinds\":[\"sparse\"]", "kinds", "invalid_value"},
        {"\"weights\":[1]", "weights", "invalid_value"},
        {"\"weights\":{\"sparse\":1}", "weights.sparse", "invalid_value"},
        {"\"weights\":{\"dense\":-1}", "weights.dense", "invalid_value"},
        {"\"weights\":{\"dense\":0,\"lexical\":0}", "weights", "invalid_value"},
        {"\"kinds\":[\"dense\"],\"weights\":{\"dense\":0}", "weights", "invalid_value"},
        {"\"stream\":1", "stream", "invalid_value"},
        {"\"require\":\"most\"", "require", "invalid_value"},
        {"\"timeout_ms\":0", "timeout_ms", "invalid_value"},
        {"\"soft_ms\":50,\"hard_ms\":20", "soft_ms", "invalid_value"},
        {"\"quorum\":-1", "quorum", "invalid_value"},
        {"\"model\":\"gpt-5\"", "model", "model_not_found"},
        {"\"model\":\"ragline/\"", "model", "model_not_found"},
        {"\"model\":7", "model", "invalid_value"},
        {"\"temperature\":2.1", "temperature", "invalid_value"},
        {"\"temperature\":\"0\"", "temperature", "invalid_value"},
        {"\"top_p\":-0.1", "top_p", "invalid_value"},
        {"\"max_tokens\":0", "max_tokens", "invalid_value"},
        {"\"stop\":[]", "stop", "invalid_value"},
        {"\"stop\":\"\"", "stop", "invalid_value"},
        {"\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]", "stop", "invalid_value"},
        {"\"seed\":1.5", "seed", "invalid_value"},
        {"\"response_format\":\"json\"", "response_format", "invalid_value"},
        {"\"response_format\":{\"type\":\"xml\"}", "response_format", "invalid_value"},
        {"\"response_format\":{\"type\":\"json_schema\"}", "response_format", "invalid_value"},
        {"\"messages\":{}", "messages", "invalid_value"},
        {"\"messages\":[7]", "messages[0]", "invalid_value"},
        {"\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]", "messages[0].role",
         "invalid_value"},
        {"\"messages\":[{\"role\":\"user\"}]", "messages[0].content", "invalid_value"},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"name\":\"n\"}]", "messages[0].name",
         "unknown_parameter"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]",
         "messages[0].content[0]", "invalid_value"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]", "messages[0].content[0]",
         "invalid_value"},
        {"\"filter\":[]", "filter", "invalid_value"},
        {"\"filter\":{\"and\":[{\"field\":\"a\",\"eq\":{}}]}", "filter.and[0].eq", "invalid_value"},
        {"\"filter\":{\"year\":2020}", "filter.year", "unknown_parameter"},
        {"\"colour\":\"red\"", "colour", "unknown_parameter"},
        {"\"\":1", "", "unknown_parameter"},
        {"\"logit_bias\":{}", "logit_bias", "unknown_parameter"}, // of OpenAI's form only
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        char body[1024];
        snprintf(body, sizeof body, "{\"question\":\"x\",%s}", cases[at].field);
        refused("ask", body, strcmp(cases[at].code, "model_not_found") == 0 ? 404 : 400,
                cases[at].code, cases[at].param);
    }
    refused("search", "{\"question\":\"x\",\"stream\":true}", 400, "unknown_parameter", "stream");
    refused("ask", "{}", 400, "missing_required_parameter", "question");
    refused("ask", "{\"question\":\" \\n\\t\"}", 400, "invalid_value", "question");
    refused("ask", "{\"question\":null}", 400, "invalid_value", "question");
}

static void wrong_fields_of_openai_s_form_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *field, *param, *code;
    } cases[] = {
        {"\"n\":2", "n", "unsupported_value"},
        {"\"tools\":[]", "tools", "unsupported_parameter"},
        {"\"tool_choice\":\"none\"", "tool_choice", "unsupported_parameter"},
        {"\"functions\":[]", "functions", "unsupported_parameter"},
        {"\"logprobs\":true", "logprobs", "unsupported_parameter"},
        {"\"audio\":{}", "audio", "unsupported_parameter"},
        {"\"modalities\":[\"text\"]", "modalities", "unsupported_parameter"},
        {"\"question\":\"x\"", "question", "unknown_parameter"},
        {"\"k\":3", "k", "unknown_parameter"},
        {"\"ragline\":7", "ragline", "invalid_value"},
        {"\"ragline\":{\"k\":0}", "ragline.k", "invalid_value"},
        {"\"filter\":{\"field\":\"a\",\"eq\":1}", "filter", "unknown_parameter"},
        {"\"ragline\":{\"filter\":{\"not\":7}}", "ragline.filter.not", "invalid_value"},
        {"\"ragline\":{\"colour\":1}", "ragline.colour", "unknown_parameter"},
        {"\"ragline\":{\"stream\":true}", "ragline.stream", "unknown_parameter"},
        {"\"ragline\":{\"collection\":\"a\",\"collections\":[\"b\"]}", "ragline.collections",
         "invalid_value"},
        {"\"ragline\":{\"collection\":\"a\"},\"model\":\"ragline/b\"", "model", "invalid_value"},
        {"\"stream_options\":{\"chunk\":1}", "stream_options.chunk", "unknown_parameter"},
        {"\"stream_options\":{\"include_usage\":1}", "stream_options.include_usage",
         "invalid_value"},
        {"\"max_tokens\":1,\"max_completion_tokens\":2", "max_completion_tokens", "invalid_value"},
        {"\"logit_bias\":{\"1\":101}", "logit_bias", "invalid_value"},
        {"\"user\":7", "user", "invalid_value"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        char body[1024];
        snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],%s}",
                 cases[at].field);
        refused("chat", body, 400, cases[at].code, cases[at].param);
    }
    refused("chat", "{\"model\":\"ragline\"}", 400, "missing_required_parameter", "messages");
    refused("chat", "{\"messages\":[]}", 400, "invalid_value", "messages");
    refused("chat", "{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}", 400,
            "invalid_value", "messages");
    refused("chat", "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}", 400, "invalid_value",
            "messages[0].content");
}

static void a_name_cut_within_a_character_is_still_json(void **state)
{
    (void)state;
    char body[1024] = "{\"question\":\"x\",\"x";
    for (int at = 0; at < 200; at++)
        strcat(body, "\xc3\xa4");
    strcat(body, "\":1}");
    assert_int_equal(post("ask", body), 400);
    assert_string_equal(said("code"), "unknown_parameter");
}

static void a_key_asks_only_what_it_may_read(void **state)
{
    (void)state;
    static const char body[] = "{\"question\":\"x\",\"collection\":\"docs\"}";
    static const char other[] = "{\"question\":\"x\",\"collections\":[\"docs\",\"man\"]}";
    static const char model[] = "{\"question\":\"x\",\"model\":\"ragline/man\"}";
    assert_int_equal(post_as("beta", "ask", body, sizeof body - 1), 200);
    assert_int_equal(post_as("beta", "ask", other, sizeof other - 1), 403);
    assert_string_equal(said("code"), "collection_forbidden");
    assert_string_equal(said("type"), "permission_error");
    assert_int_equal(post_as("beta", "ask", model, sizeof model - 1), 404);
    assert_string_equal(said("code"), "model_not_found");
    assert_int_equal(post_as("alpha", "ask", other, sizeof other - 1), 200);
    assert_int_equal(post_as("gamma", "ask", body, sizeof body - 1), 401);
    assert_string_equal(said("code"), "invalid_api_key");
    assert_string_equal(response_header("WWW-Authenticate"), "Bearer");
    assert_int_equal(post_as("", "ask", body, sizeof body - 1), 401);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_alone_leaves_all_else_to_the_gateway),
        cmocka_unit_test(every_field_of_a_question),
        cmocka_unit_test(openai_s_form),
        cmocka_unit_test(a_whole_number_may_be_written_as_a_real),
        cmocka_unit_test(the_longest_question_and_conversation),
        cmocka_unit_test(wrong_fields_are_named),
        cmocka_unit_test(wrong_fields_of_openai_s_form_are_named),
        cmocka_unit_test(a_name_cut_within_a_character_is_still_json),
        cmocka_unit_test(a_key_asks_only_what_it_may_read),
    };
    return cmocka_run_group_tests_name("question", tests, start, stop);
}
