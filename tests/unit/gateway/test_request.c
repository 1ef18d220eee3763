// The life of a question: a whole gateway, whose workers are the test itself.
#include "http_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway.h"
#include "mem.h"
#include "request.h"

typedef struct fixture fixture_t;
typedef bool condition_fn(fixture_t *self);

struct fixture {
    rl_proc_t *proc;
    gateway_t *gateway;
    pipeline_t *pipeline;
    test_server_t served; // for client()
    rl_timer_t *timer, *guard;
    condition_fn *condition;
    const char *worker; // that the condition is about
    size_t count;
};

// ---- the loop -----------------------------------------------------------------------------------

static void on_look(void *arg)
{
    fixture_t *self = arg;
    if (self->condition(self))
        rl_proc_end(self->proc, 0);
}

static void on_guard(void *arg)
{
    fixture_t *self = arg;
    rl_proc_end(self->proc, 99); // what the test waits for never came
}

static void run_until(fixture_t *self, condition_fn *condition)
{
    self->condition = condition;
    rl_timer_after(self->guard, 20000000);
    rl_timer_every(self->timer, 1000);
    assert_int_equal(rl_proc_run(self->proc), 0);
    rl_timer_stop(self->timer);
}

static bool are_at_work(fixture_t *self)
{
    return self->pipeline->in_flight == self->count;
}

static void wait_for_questions(fixture_t *self, size_t count)
{
    self->count = count;
    run_until(self, are_at_work);
}

static size_t tasks_of(fixture_t *self, const char *id)
{
    const worker_t *worker = registry_find(self->pipeline->registry, id);
    const task_t *task;
    size_t size = 0;
    LIST_FOREACH(task, &worker->tasks, of_worker)
    {
        size++;
    }
    return size;
}

static bool has_tasks(fixture_t *self)
{
    return tasks_of(self, self->worker) == self->count;
}

static void wait_for_tasks(fixture_t *self, const char *worker, size_t count)
{
    self->worker = worker;
    self->count = count;
    run_until(self, has_tasks);
}

static bool are_waiting(fixture_t *self)
{
    return self->pipeline->waiting_size == self->count;
}

static void wait_for_waiting(fixture_t *self, size_t count)
{
    self->count = count;
    run_until(self, are_waiting);
}

// ---- workers ------------------------------------------------------------------------------------

static void announce_shard(fixture_t *self, const char *id, uint64_t shard, uint64_t shards)
{
    rl_announce_t announce = {.worker = id,
                              .kind = "lexical",
                              .tasks = "tcp://127.0.0.1:1",
                              .period_ms = 60000,
                              .ready = true,
                              .slots = 1,
                              .collection = "docs",
                              .shard = shard,
                              .shards = shards,
                              .generation = "g-1",
                              .embedding_model = "",
                              .model = "",
                              .fingerprint = "",
                              .language = "english",
                              .passages = 10};
    registry_announced(self->pipeline->registry, &announce);
}

static void announce_generator_at(fixture_t *self, const char *id, const char *tasks, bool ready)
{
    rl_announce_t announce = {.worker = id,
                              .kind = "generator",
                              .tasks = tasks,
                              .period_ms = 60000,
                              .ready = ready,
                              .slots = 1,
                              .collection = "",
                              .generation = "",
                              .embedding_model = "",
                              .model = "m",
                              .fingerprint = "",
                              .language = ""};
    registry_announced(self->pipeline->registry, &announce);
}

static void announce_generator(fixture_t *self, const char *id)
{
    announce_generator_at(self, id, "tcp://127.0.0.1:1", true);
}

// Another one of this name has come: the tasks of this one are lost.
static void lose_generator(fixture_t *self, const char *id)
{
    announce_generator_at(self, id, "tcp://127.0.0.1:2", false);
}

static uint64_t task_of(fixture_t *self, const char *id)
{
    const worker_t *worker = registry_find(self->pipeline->registry, id);
    assert_false(LIST_EMPTY(&worker->tasks));
    return LIST_FIRST(&worker->tasks)->id;
}

// As it comes from the wire.
static void deliver(fixture_t *self, const rl_msg_t *msg, uint64_t task)
{
    rl_buf_t bytes = rl_buf_make(1 << 20);
    rl_msg_t *copy;
    const char *why;
    assert_int_equal(rl_msg_encode(msg, &bytes, (char[256]){""}, 256), 0);
    assert_int_equal(rl_msg_decode(bytes.data, bytes.size, &copy, &why), bytes.size);
    if (msg->type == RL_HITS)
        request_found(self->pipeline, copy, task, copy->hits.worker);
    else
        request_generated(self->pipeline, copy, task);
    rl_msg_free(&copy);
    rl_buf_free(&bytes);
}

static void find_at(fixture_t *self, const char *retriever, const char *text)
{
    uint64_t task = task_of(self, retriever);
    rl_passage_t passage = {.id = 1,
                            .doc = "d",
                            .title = "",
                            .heading = "",
                            .source = "",
                            .text = text,
                            .score = 1,
                            .meta = ""};
    rl_msg_t msg = {.type = RL_HITS,
                    .hits = {.worker = retriever,
                             .task = task,
                             .generation = "g-1",
                             .effort_kind = "",
                             .hits = &passage,
                             .hits_size = *text ? 1 : 0}};
    deliver(self, &msg, task);
}

static void find(fixture_t *self)
{
    find_at(self, "finder", "A passage.");
}

static void say(fixture_t *self, const char *generator, uint64_t seq, const char *text)
{
    uint64_t task = task_of(self, generator);
    rl_msg_t msg = {.type = RL_TOKEN, .token = {.task = task, .seq = seq, .text = text}};
    deliver(self, &msg, task);
}

static void complete(fixture_t *self, const char *generator, uint64_t seq)
{
    uint64_t task = task_of(self, generator);
    rl_msg_t msg = {.type = RL_DONE,
                    .done = {.task = task,
                             .seq = seq,
                             .finish = "stop",
                             .model = "m",
                             .upstream = "openai",
                             .timings = "{}",
                             .fingerprint = ""}};
    deliver(self, &msg, task);
}

// ---- clients ------------------------------------------------------------------------------------

static int ask(fixture_t *self, const char *body)
{
    char head[200];
    int fd = client(&self->served);
    snprintf(head, sizeof head,
             "POST /v1/ask HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
             "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             strlen(body));
    client_sends(fd, head);
    client_sends(fd, body);
    return fd;
}

// What the client got, once its answer has ended.
static const char *answer_of(int fd)
{
    assert_int_equal(client_response(fd), 200);
    close(fd);
    return response_body;
}

static void assert_order(const char *text, const char *first, const char *second)
{
    const char *at = strstr(text, first);
    assert_non_null(at);
    assert_non_null(strstr(at, second));
}

// ---- fixture ------------------------------------------------------------------------------------

static int setup(void **state)
{
    static char *argv[] = {(char *)"test",
                           (char *)"--log-level",
                           (char *)"error",
                           (char *)"--gateway-listen",
                           (char *)"127.0.0.1:0",
                           (char *)"--gateway-hub",
                           (char *)"tcp://127.0.0.1:*",
                           (char *)"--gateway-tokens",
                           (char *)"tcp://127.0.0.1:*",
                           (char *)"--gateway-soft-ms",
                           (char *)"20000",
                           (char *)"--gateway-hard-ms",
                           (char *)"20000",
                           (char *)"--gateway-provisional-ms",
                           (char *)"1",
                           (char *)"--gateway-provisional-share",
                           (char *)"1",
                           NULL};
    fixture_t *self = rl_new(*self);
    int status;
    self->proc = rl_proc_new(RL_GATEWAY, "test", "", sizeof argv / sizeof *argv - 1, argv, &status);
    assert_non_null(self->proc);
    self->gateway = gateway_new(self->proc);
    assert_non_null(self->gateway);
    self->pipeline = self->gateway->pipeline;
    self->served.port = atoi(strrchr(http_server_url(self->gateway->http), ':') + 1);
    self->timer = rl_timer_new(rl_proc_base(self->proc), on_look, self);
    self->guard = rl_timer_new(rl_proc_base(self->proc), on_guard, self);
    announce_shard(self, "finder", 0, 1);
    announce_generator(self, "writer");
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *self = *state;
    rl_timer_destroy(&self->timer);
    rl_timer_destroy(&self->guard);
    gateway_destroy(&self->gateway);
    rl_proc_destroy(&self->proc);
    free(self);
    return 0;
}

// ---- tests --------------------------------------------------------------------------------------

static void a_question_goes_its_way(void **state)
{
    fixture_t *self = *state;
    int fd = ask(self, "{\"question\": \"what?\", \"stream\": true}");
    wait_for_tasks(self, "finder", 1);
    find(self);
    say(self, "writer", 1, "One ");
    say(self, "writer", 1, "One "); // a double is dropped
    say(self, "writer", 2, "two.");
    complete(self, "writer", 3);
    wait_for_questions(self, 0);
    assert_int_equal(tasks_size(self->pipeline->tasks), 0);
    const char *text = answer_of(fd);
    assert_order(text, "event: status", "event: sources");
    assert_order(text, "event: sources", "{\"text\":\"One \"}");
    assert_order(text, "{\"text\":\"One \"}", "{\"text\":\"two.\"}");
    assert_null(strstr(strstr(text, "\"One \"") + 1, "\"One \""));
    assert_order(text, "{\"text\":\"two.\"}", "event: done");
}

static void an_answer_goes_on_where_a_generator_was_lost(void **state)
{
    fixture_t *self = *state;
    int fd = ask(self, "{\"question\": \"what?\", \"stream\": true, \"continuation\": true}");
    wait_for_tasks(self, "finder", 1);
    find(self);
    lose_generator(self, "writer"); // before the first word
    assert_int_equal(self->pipeline->waiting_size, 1);
    announce_generator(self, "second");
    wait_for_tasks(self, "second", 1);
    say(self, "second", 1, "One ");
    announce_generator(self, "third");
    lose_generator(self, "second"); // behind it
    say(self, "third", 1, "two.");
    complete(self, "third", 2);
    wait_for_questions(self, 0);
    const char *text = answer_of(fd);
    assert_order(text, "{\"text\":\"One \"}", "{\"text\":\"two.\"}");
    assert_order(text, "{\"text\":\"two.\"}", "event: done");
}

static void who_waits_for_anothers_search_goes_on_when_that_one_leaves(void **state)
{
    fixture_t *self = *state;
    int first = ask(self, "{\"question\": \"what?\", \"stream\": true}");
    wait_for_tasks(self, "finder", 1);
    int second = ask(self, "{\"question\": \"what?\", \"stream\": true}");
    wait_for_questions(self, 2);
    assert_int_equal(tasks_of(self, "finder"), 1);
    client_reset(first);
    wait_for_questions(self, 1);
    wait_for_tasks(self, "finder", 1);
    find(self);
    complete(self, "writer", 1);
    wait_for_questions(self, 0);
    assert_order(answer_of(second), "event: sources", "event: done");
}

// The time without a generator is over for all that wait once one is there, though it is at work
// for the first of them longer than the others would have waited for one.
static void those_behind_the_first_are_not_failed_where_a_generator_is_back(void **state)
{
    fixture_t *self = *state;
    static const char *const bodies[] = {
        "{\"question\": \"1?\", \"stream\": true, \"timeout_ms\": 4000}",
        "{\"question\": \"2?\", \"stream\": true}", "{\"question\": \"3?\", \"stream\": true}"};
    int fds[3];
    for (size_t at = 0; at < 3; at++) {
        fds[at] = ask(self, bodies[at]);
        wait_for_tasks(self, "finder", 1);
        find(self);
        if (at == 0) // the others are admitted while a generator is there
            wait_for_tasks(self, "writer", 1);
    }
    lose_generator(self, "writer");
    wait_for_waiting(self, 3);
    announce_generator(self, "second");
    wait_for_tasks(self, "second", 1);
    wait_for_waiting(self, 2);
    wait_for_waiting(self, 1); // the first has used up its time
    complete(self, "second", 1);
    wait_for_tasks(self, "second", 1);
    complete(self, "second", 1);
    wait_for_questions(self, 0);
    assert_order(answer_of(fds[0]), "event: sources", "\"timeout\"");
    assert_order(answer_of(fds[1]), "event: sources", "event: done");
    assert_order(answer_of(fds[2]), "event: sources", "event: done");
}

// A question to two shards, of which one has answered and the other is late.
static int ask_two_shards(fixture_t *self)
{
    announce_shard(self, "finder", 0, 2);
    announce_shard(self, "late", 1, 2);
    int fd = ask(self, "{\"question\": \"what?\", \"stream\": true}");
    wait_for_tasks(self, "late", 1);
    find(self);
    wait_for_tasks(self, "writer", 1);
    say(self, "writer", 1, "Early.");
    assert_int_equal(tasks_of(self, "late"), 1);
    return fd;
}

static void what_was_written_early_is_kept_where_a_late_source_changes_nothing(void **state)
{
    fixture_t *self = *state;
    int fd = ask_two_shards(self);
    find_at(self, "late", "");
    complete(self, "writer", 2);
    wait_for_questions(self, 0);
    const char *text = answer_of(fd);
    assert_order(text, "event: sources", "{\"text\":\"Early.\"}");
    assert_order(text, "{\"text\":\"Early.\"}", "event: done");
}

static void what_was_written_early_is_written_anew_where_a_late_source_changes_it(void **state)
{
    fixture_t *self = *state;
    int fd = ask_two_shards(self);
    uint64_t early = task_of(self, "writer");
    find_at(self, "late", "Another passage.");
    assert_int_not_equal(task_of(self, "writer"), early);
    say(self, "writer", 1, "Late.");
    complete(self, "writer", 2);
    wait_for_questions(self, 0);
    const char *text = answer_of(fd);
    assert_null(strstr(text, "Early."));
    assert_order(text, "{\"text\":\"Late.\"}", "event: done");
}

static void an_early_answer_whose_generator_is_lost_is_written_by_another(void **state)
{
    fixture_t *self = *state;
    int fd = ask_two_shards(self);
    announce_generator(self, "second");
    lose_generator(self, "writer");
    find_at(self, "late", "");
    say(self, "second", 1, "Late.");
    complete(self, "second", 2);
    wait_for_questions(self, 0);
    const char *text = answer_of(fd);
    assert_null(strstr(text, "Early."));
    assert_order(text, "{\"text\":\"Late.\"}", "event: done");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_question_goes_its_way, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_goes_on_where_a_generator_was_lost, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_waits_for_anothers_search_goes_on_when_that_one_leaves,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            those_behind_the_first_are_not_failed_where_a_generator_is_back, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_was_written_early_is_kept_where_a_late_source_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_was_written_early_is_written_anew_where_a_late_source_changes_it, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_early_answer_whose_generator_is_lost_is_written_by_another, setup, teardown),
    };
    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
