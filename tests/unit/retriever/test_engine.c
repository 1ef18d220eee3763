// A distributed engine: what Weaviate is asked, and what its answers are taken for, whatever they
// are; nodes that fail, refuse, are slow or come back.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "engine.h"
#include "loopback.h"
#include "nodes.h"

static const char catalog_text[] =
    "{\\\"ragline\\\":1,\\\"collection\\\":\\\"docs\\\",\\\"generation\\\":\\\"e-1\\\","
    "\\\"model\\\":\\\"m\\\",\\\"dimension\\\":2,\\\"language\\\":\\\"english\\\","
    "\\\"created\\\":\\\"\\\",\\\"documents\\\":2,\\\"passages\\\":9,\\\"loading\\\":false,"
    "\\\"fields_more\\\":false,\\\"fields\\\":{\\\"year\\\":\\\"number\\\",\\\"tags\\\":"
    "\\\"string\\\",\\\"Name\\\":\\\"string\\\"},\\\"multi\\\":[\\\"tags\\\"],\\\"build\\\":{}}";

typedef struct asked {
    engine_place_t *place;
    engine_request_t request;
    result_t result;
} asked_t;

// The class as Weaviate describes it, `more` behind the catalog.
static void take_class(asked_t *asked, const char *more, engine_catalog_t *catalog)
{
    char why[300], body[2000];
    int size = snprintf(body, sizeof body, "{\"class\":\"Ragline_docs\",\"description\":\"%s\",%s}",
                        catalog_text, more);
    assert_int_equal(engine_weaviate.take_catalog(asked->place, 200, body, (size_t)size, catalog,
                                                  why, sizeof why),
                     ENGINE_OK);
}

static int open_place(void **state)
{
    asked_t *asked = calloc(1, sizeof *asked);
    char why[300];
    engine_settings_t settings = {.collection = "docs", .consistency = "one", .alpha = 0.5};
    engine_catalog_t catalog;
    asked->place = engine_weaviate.open(&settings, why, sizeof why);
    asked->request = engine_request_make();
    assert_non_null(asked->place);
    take_class(asked, "\"shardingConfig\":{\"actualCount\":3}", &catalog);
    assert_string_equal(catalog.manifest.generation, "e-1");
    assert_true(engine_catalog_is_multi(&catalog, "tags"));
    assert_false(engine_catalog_is_multi(&catalog, "year"));
    engine_catalog_clear(&catalog);
    *state = asked;
    return 0;
}

static int close_place(void **state)
{
    asked_t *asked = *state;
    result_clear(&asked->result);
    engine_request_free(&asked->request);
    engine_weaviate.close(&asked->place);
    free(asked);
    return 0;
}

static const float vector[] = {0.6f, 0.8f};

// Asks with a filter; what is sent, or "" where it is refused.
static const char *ask(asked_t *self, const char *filter)
{
    query_t query = {.text = "pumps", .k = 3, .filter = filter};
    result_clear(&self->result);
    int rc =
        engine_weaviate.search(self->place, ENGINE_LEXICAL, &query, &self->request, &self->result);
    return rc == 1 ? self->request.body.data : "";
}

#define assert_has(text, part) assert_non_null(strstr(text, part))

static void words_vectors_and_both(void **state)
{
    asked_t *self = *state;
    query_t query = {.text = "the pumps of pumping", .vector = vector, .dimension = 2, .k = 3};
    assert_int_equal(
        engine_weaviate.search(self->place, ENGINE_LEXICAL, &query, &self->request, &self->result),
        1);
    const char *body = self->request.body.data;
    assert_has(body, "bm25:{query:\\\"pump pump\\\" properties:[\\\"terms\\\"]}");
    assert_has(body, "Ragline_docs(limit:3 consistencyLevel:ONE");
    assert_has(body, "t0:Ragline_docs(where:{path:[\\\"terms\\\"] operator:Equal "
                     "valueText:\\\"pump\\\"}){meta{count}}");
    engine_weaviate.search(self->place, ENGINE_VECTOR, &query, &self->request, &self->result);
    assert_has(self->request.body.data, "nearVector:{vector:[0.6,0.8]}");
    engine_weaviate.search(self->place, ENGINE_HYBRID, &query, &self->request, &self->result);
    assert_has(self->request.body.data, "hybrid:{alpha:0.5 vector:[0.6,0.8] query:");
}

static void questions_that_cannot_be_asked(void **state)
{
    asked_t *self = *state;
    query_t stop = {.text = "the of", .k = 3}, three = {.vector = vector, .dimension = 3, .k = 3};
    assert_int_equal(
        engine_weaviate.search(self->place, ENGINE_LEXICAL, &stop, &self->request, &self->result),
        0);
    assert_int_equal(self->result.size, 0);
    assert_null(self->result.code);
    assert_int_equal(
        engine_weaviate.search(self->place, ENGINE_VECTOR, &three, &self->request, &self->result),
        -1);
    assert_string_equal(self->result.code, "wrong_dimension");
    result_clear(&self->result);
    assert_int_equal(
        engine_weaviate.search(self->place, ENGINE_VECTOR, &stop, &self->request, &self->result),
        -1);
    assert_string_equal(self->result.code, "bad_request");
}

static void filters(void **state)
{
    asked_t *self = *state;
    assert_has(ask(self, "{\"field\":\"year\",\"gte\":2020,\"lt\":2022}"),
               "{operator:And operands:[{path:[\\\"fn_year\\\"] operator:GreaterThanEqual "
               "valueNumber:2020},{path:[\\\"fn_year\\\"] operator:LessThan valueNumber:2022}]}");
    assert_has(
        ask(self, "{\"not\":{\"field\":\"tags\",\"in\":[\"a\",\"b\\\"\"]}}"),
        "{operator:Not operands:[{operator:Or operands:[{path:[\\\"fs_tags\\\"] "
        "operator:ContainsAny valueText:[\\\"=a\\\\u0001\\\",\\\"=b\\\\\\\"\\\\u0001\\\"]}]}]}");
    // a capital letter would be the same property as the small one
    assert_has(ask(self, "{\"field\":\"Name\",\"eq\":\"x\"}"), "fs__4eame");
    assert_has(ask(self, "{\"field\":\"tags\",\"exists\":false}"),
               "{operator:Not operands:[{path:[\\\"has\\\"] operator:Equal "
               "valueText:\\\"=tags\\\\u0001\\\"}]}");
    assert_has(ask(self, "{\"field\":\"tags\",\"prefix\":\"ab\"}"),
               "operator:Like valueText:\\\"=ab*\\\"");
    // values of a type that the field does not have are nobody's, and no property is named
    const char *never = ask(self, "{\"field\":\"year\",\"eq\":\"2020\"}");
    assert_has(never, "path:[\\\"has\\\"] operator:Equal valueText:\\\"=\\\\u0001\\\"");
    assert_null(strstr(never, "fs_year"));
}

static void what_lists_cannot_be_asked(void **state)
{
    asked_t *self = *state;
    assert_string_equal(ask(self, "{\"field\":\"tags\",\"gte\":\"a\",\"lt\":\"b\"}"), "");
    assert_string_equal(self->result.code, "bad_filter");
    assert_has(self->result.message, "tags");
    assert_string_equal(ask(self, "{\"field\":\"tags\",\"prefix\":\"a*\"}"), "");
    assert_string_equal(self->result.code, "bad_filter");
}

static engine_verdict_t take(asked_t *self, long status, const char *body)
{
    query_t query = {.text = "pumps", .k = 3};
    result_clear(&self->result);
    return engine_weaviate.take_hits(self->place, ENGINE_LEXICAL, &query, status, body,
                                     strlen(body), &self->result);
}

static void hits(void **state)
{
    asked_t *self = *state;
    const char *body =
        "{\"data\":{\"Get\":{\"Ragline_docs\":[{\"doc\":\"d\",\"title\":null,\"text\":\"a pump\","
        "\"start\":3,\"end\":9,\"meta\":\"{}\",\"_additional\":{\"id\":"
        "\"2575e989-1443-8584-b087-9b1a11bba2ce\",\"score\":\"0.5\"}}]},"
        "\"Aggregate\":{\"t0\":[{\"meta\":{\"count\":3}}]}}}";
    assert_int_equal(take(self, 200, body), ENGINE_OK);
    assert_int_equal(self->result.size, 1);
    const rl_passage_t *hit = self->result.hits;
    assert_string_equal(hit->doc, "d");
    assert_string_equal(hit->title, "");
    assert_string_equal(hit->text, "a pump");
    assert_int_equal(hit->id, UINT64_C(0x30879b1a11bba2ce));
    assert_true(hit->score == 0.5 && hit->start == 3 && hit->end == 9);
    // ln(1 + (2 + .5) / (1 + .5)): nine passages in three parts, three of them with the word
    assert_true(self->result.bound > 0.980 && self->result.bound < 0.982);
}

static void answers_that_are_none(void **state)
{
    asked_t *self = *state;
    static const char *const bodies[] = {"",
                                         "nothing",
                                         "[]",
                                         "{}",
                                         "{\"data\":null}",
                                         "{\"data\":{\"Get\":{\"Ragline_docs\":null}}}",
                                         "{\"data\":{\"Get\":7}}",
                                         "{\"errors\":[{\"message\":\"shard is gone\"}]}",
                                         "{\"errors\":[7]}",
                                         "{\"errors\":{}}"};
    for (size_t at = 0; at < sizeof bodies / sizeof *bodies; at++) {
        assert_int_equal(take(self, 200, bodies[at]), ENGINE_ELSEWHERE);
        assert_string_equal(self->result.code, "engine_failed");
    }
    take(self, 200, bodies[7]);
    assert_has(self->result.message, "shard is gone");
    assert_int_equal(take(self, 503, "busy"), ENGINE_ELSEWHERE);
    assert_true(self->result.retry);
    assert_int_equal(take(self, 401, "{\"error\":[{\"message\":\"no key\"}]}"), ENGINE_REFUSED);
    assert_has(self->result.message, "no key");
    // objects without what makes them ours are passed over
    assert_int_equal(take(self, 200,
                          "{\"data\":{\"Get\":{\"Ragline_docs\":[7,{},{\"_additional\":"
                          "{\"id\":\"x\",\"score\":\"1\"}},null]}}}"),
                     ENGINE_OK);
    assert_int_equal(self->result.size, 0);
}

// What is wrong with searches at this version, "" if nothing.
static const char *checked(asked_t *self, const char *class, const char *version)
{
    static char why[300];
    char body[100];
    engine_catalog_t catalog;
    take_class(self, class, &catalog);
    engine_catalog_clear(&catalog);
    engine_weaviate.check(&self->request);
    assert_string_equal(self->request.path, "/v1/meta");
    int size = snprintf(body, sizeof body, "{\"version\":\"%s\"}", version);
    *why = '\0';
    engine_verdict_t verdict =
        engine_weaviate.take_check(self->place, 200, body, (size_t)size, why, sizeof why);
    assert_int_equal(verdict, *why ? ENGINE_REFUSED : ENGINE_OK);
    return why;
}

static void versions_and_shards_that_make_searches_wrong_are_told(void **state)
{
    asked_t *self = *state;
    static const char one[] = "\"shardingConfig\":{\"actualCount\":1},"
                              "\"invertedIndexConfig\":{\"usingBlockMaxWAND\":true}";
    static const char *const wrong[] = {"1.33.0", "1.35.23", "1.37.11", "1.38.2"};
    static const char *const right[] = {"1.37.12", "1.38.3", "1.39.0", "2.0.0"};
    for (size_t at = 0; at < 4; at++) {
        assert_non_null(strstr(checked(self, one, wrong[at]), "USE_INVERTED_SEARCHABLE=false"));
        assert_string_equal(checked(self, one, right[at]), "");
    }
    assert_string_equal(checked(self, "\"shardingConfig\":{\"actualCount\":1}", "1.35.2"), "");
    assert_non_null(strstr(checked(self, "\"shardingConfig\":{\"actualCount\":3}", "1.39.0"),
                           "9 passages lie in 3 shards"));
}

static void ids_are_of_document_and_place(void **state)
{
    (void)state;
    char one[ENGINE_ID], again[ENGINE_ID], other[ENGINE_ID];
    rl_passage_t passage = {.doc = "d", .start = 1, .end = 2};
    engine_id(&passage, one);
    passage.text = "another text";
    engine_id(&passage, again);
    passage.end = 3;
    engine_id(&passage, other);
    assert_string_equal(one, again);
    assert_string_not_equal(one, other);
    assert_int_equal(strlen(one), 36);
    assert_int_equal(one[14], '8'); // the version
    assert_true(engine_number(one) != 0);
    assert_int_equal(engine_number("no id"), 0);
    assert_int_equal(engine_number("2575e989-1443-8584-b087-9b1a11bbazzz"), 0);
}

// ---- nodes --------------------------------------------------------------------------------------

typedef struct world {
    struct event_base *base;
    loopback_t *servers[2];
    const char *replies[2]; // NULL: says nothing
    nodes_t *nodes;
    nodes_reply_t reply;
    unsigned taken, done;
} world_t;

static void on_request(void *arg, loopback_conn_t *conn, const char *head, const char *body)
{
    const char *const *reply = arg;
    (void)body;
    if (strstr(head, "/ready"))
        loopback_sendf(conn, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n",
                       *reply ? "200 OK" : "503 No");
    else if (*reply)
        loopback_sendf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(*reply),
                       *reply);
}

static int make_world(void **state)
{
    world_t *self = calloc(1, sizeof *self);
    char urls[2][64], why[200];
    self->base = event_base_new();
    for (int at = 0; at < 2; at++) {
        self->servers[at] = loopback_new(self->base, on_request, &self->replies[at]);
        snprintf(urls[at], sizeof urls[at], "http://127.0.0.1:%d/",
                 loopback_port(self->servers[at]));
        self->replies[at] = at == 0 ? "first" : "second";
    }
    nodes_settings_t settings = {.urls = (const char *const[]){urls[0], urls[1]},
                                 .size = 2,
                                 .key = "",
                                 .ready_path = "/ready",
                                 .connect_ms = 500};
    self->nodes = nodes_new(self->base, &settings, why, sizeof why);
    assert_non_null(self->nodes);
    *state = self;
    return 0;
}

static int end_world(void **state)
{
    world_t *self = *state;
    nodes_destroy(&self->nodes);
    for (int at = 0; at < 2; at++)
        loopback_destroy(&self->servers[at]);
    event_base_free(self->base);
    free(self);
    return 0;
}

// "bad" is this node's trouble.
static engine_verdict_t on_taken(void *arg, long status, const char *body, size_t size, char *why,
                                 size_t why_size)
{
    world_t *self = arg;
    (void)status, (void)size;
    self->taken++;
    snprintf(why, why_size, "%s", body);
    return strcmp(body, "bad") == 0 ? ENGINE_ELSEWHERE : ENGINE_OK;
}

static void on_done(void *arg, const nodes_reply_t *reply)
{
    world_t *self = arg;
    self->reply = *reply;
    self->done++;
    event_base_loopbreak(self->base);
}

static nodes_call_t *call(world_t *self, uint64_t limit_us, uint64_t hedge_us)
{
    engine_request_t request = engine_request_make();
    nodes_calls_t calls = {on_taken, on_done, self};
    snprintf(request.path, sizeof request.path, "/ask");
    nodes_call_t *made =
        nodes_send(self->nodes, &request, rl_now_us() + limit_us, hedge_us, &calls);
    assert_non_null(made);
    engine_request_free(&request);
    return made;
}

static void run_call(world_t *self, uint64_t limit_us, uint64_t hedge_us)
{
    unsigned before = self->done;
    call(self, limit_us, hedge_us);
    event_base_dispatch(self->base);
    assert_int_equal(self->done, before + 1);
}

static void a_node_that_fails_is_gone_round(void **state)
{
    world_t *self = *state;
    self->replies[0] = "bad";
    for (int at = 0; at < 4; at++) {
        run_call(self, 5000000, 0);
        assert_int_equal(self->reply.verdict, ENGINE_OK);
        assert_has(self->reply.why, "second");
    }
}

static void one_that_is_gone_is_left_alone_until_it_is_ready(void **state)
{
    world_t *self = *state;
    loopback_destroy(&self->servers[1]);
    for (int at = 0; at < 3; at++) {
        run_call(self, 5000000, 0);
        assert_has(self->reply.why, "first");
    }
    assert_int_equal(nodes_up(self->nodes), 1);
}

static void nobody_there_is_said_at_once(void **state)
{
    world_t *self = *state;
    loopback_destroy(&self->servers[0]);
    loopback_destroy(&self->servers[1]);
    uint64_t began = rl_now_us();
    run_call(self, 5000000, 0);
    run_call(self, 5000000, 0);
    assert_true(rl_now_us() - began < 1000000);
    assert_int_equal(self->reply.verdict, ENGINE_ELSEWHERE);
    assert_false(self->reply.timed_out);
    assert_has(self->reply.why, "none of the 2 nodes answers");
}

static void a_slow_one_is_not_waited_for(void **state)
{
    world_t *self = *state;
    self->replies[0] = self->replies[1] = NULL;
    uint64_t began = rl_now_us();
    run_call(self, 200000, 0);
    assert_true(self->reply.timed_out && rl_now_us() - began < 1000000);
    // either may be the one that is asked first
    self->replies[1] = "second";
    for (int at = 0; at < 2; at++) {
        run_call(self, 5000000, 50000);
        assert_has(self->reply.why, "second");
    }
    assert_int_equal(loopback_open(self->servers[0]) > 0, 1);
}

static void a_call_that_is_cancelled_is_heard_of_no_more(void **state)
{
    world_t *self = *state;
    self->replies[0] = self->replies[1] = NULL;
    nodes_call_t *made = call(self, 5000000, 1000);
    nodes_cancel(&made);
    assert_null(made);
    self->replies[0] = self->replies[1] = "late";
    run_call(self, 5000000, 0);
    assert_int_equal(self->done, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(words_vectors_and_both, open_place, close_place),
        cmocka_unit_test_setup_teardown(questions_that_cannot_be_asked, open_place, close_place),
        cmocka_unit_test_setup_teardown(filters, open_place, close_place),
        cmocka_unit_test_setup_teardown(what_lists_cannot_be_asked, open_place, close_place),
        cmocka_unit_test_setup_teardown(hits, open_place, close_place),
        cmocka_unit_test_setup_teardown(answers_that_are_none, open_place, close_place),
        cmocka_unit_test_setup_teardown(versions_and_shards_that_make_searches_wrong_are_told,
                                        open_place, close_place),
        cmocka_unit_test(ids_are_of_document_and_place),
        cmocka_unit_test_setup_teardown(a_node_that_fails_is_gone_round, make_world, end_world),
        cmocka_unit_test_setup_teardown(one_that_is_gone_is_left_alone_until_it_is_ready,
                                        make_world, end_world),
        cmocka_unit_test_setup_teardown(nobody_there_is_said_at_once, make_world, end_world),
        cmocka_unit_test_setup_teardown(a_slow_one_is_not_waited_for, make_world, end_world),
        cmocka_unit_test_setup_teardown(a_call_that_is_cancelled_is_heard_of_no_more, make_world,
                                        end_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
