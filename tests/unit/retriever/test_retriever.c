// retriever: the real program, driven as a gateway does: announce, welcome, search, hits, cancel,
// wrong tasks, a new generation, and the end.
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "clock.h"
#include "files.h"
#include "proto.h"
#include "retriever_help.h"

extern char **environ;

enum {
    PATIENCE_MS = 20000, // for anything that must come
    MAX_ARGS = 24,
};

typedef struct gateway {
    void *context, *hub;
    char endpoint[256];
} gateway_t;

typedef struct program {
    pid_t pid;
    int output; // its stderr
    char said[65536];
    size_t size;
} program_t;

static pid_t running; // the program of the test at work, 0 if none

// After a test that failed half-way: leaves no process.
static int end_what_runs(void **state)
{
    (void)state;
    if (running > 0 && kill(running, SIGKILL) == 0)
        waitpid(running, NULL, 0);
    running = 0;
    return 0;
}

static gateway_t gateway_new(void)
{
    gateway_t it = {.context = zmq_ctx_new()};
    it.hub = zmq_socket(it.context, ZMQ_PULL);
    size_t size = sizeof it.endpoint;
    assert_int_equal(zmq_bind(it.hub, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(it.hub, ZMQ_LAST_ENDPOINT, it.endpoint, &size), 0);
    return it;
}

static void gateway_end(gateway_t *it)
{
    zmq_close(it->hub);
    zmq_ctx_term(it->context);
}

// Starts ragline-retriever with these options (NULL ends them).
static program_t *start(const gateway_t *gateway, const char *folder, ...)
{
    static char name[512], hub[512], index[512];
    const char *build = getenv("RAGLINE_BUILD");
    const char *args[MAX_ARGS] = {name, hub, index, "--cluster-announce-ms=20"};
    size_t count = 4;
    va_list more;
    va_start(more, folder);
    while ((args[count] = va_arg(more, const char *)) != NULL)
        count++;
    va_end(more);
    snprintf(name, sizeof name, "%s/ragline-retriever", build ? build : "build");
    snprintf(hub, sizeof hub, "--cluster-gateways=%s", gateway->endpoint);
    snprintf(index, sizeof index, "--retriever-index=%s", folder);
    program_t *it = calloc(1, sizeof *it);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    if (posix_spawn(&it->pid, name, &actions, NULL, (char **)args, environ) != 0)
        fail_msg("%s does not start", name);
    running = it->pid;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    it->output = ends[0];
    return it;
}

// Reads what it has said so far; true as long as more may come.
static bool read_output(program_t *it, int wait_ms)
{
    struct pollfd ready = {.fd = it->output, .events = POLLIN};
    if (poll(&ready, 1, wait_ms) <= 0)
        return true;
    ssize_t got = read(it->output, it->said + it->size, sizeof it->said - it->size - 1);
    if (got > 0)
        it->size += (size_t)got;
    return got > 0;
}

static void wait_until_said(program_t *it, const char *text)
{
    uint64_t until = rl_now_us() + PATIENCE_MS * 1000u;
    while (!strstr(it->said, text)) {
        if (rl_now_us() > until || !read_output(it, 100))
            fail_msg("it never said \"%s\", but: %s", text, it->said);
    }
}

// Waits for its end; returns its exit status (128 + signal if it was killed).
static int end_of(program_t **it_p)
{
    program_t *it = *it_p;
    int status = 0;
    while (read_output(it, PATIENCE_MS))
        ;
    assert_int_equal(waitpid(it->pid, &status, 0), it->pid);
    running = 0;
    close(it->output);
    free(it);
    *it_p = NULL;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void stop(program_t **it_p)
{
    kill((*it_p)->pid, SIGTERM);
    assert_int_equal(end_of(it_p), 0);
}

// The next message to the gateway of one of the two types; others are passed over. NULL when none
// comes within the time.
static rl_msg_t *receive_within(gateway_t *it, rl_msg_type_t type, rl_msg_type_t or_type, int ms)
{
    uint64_t until = rl_now_us() + (uint64_t)ms * 1000u;
    for (;;) {
        zmq_pollitem_t item = {it->hub, 0, ZMQ_POLLIN, 0};
        uint64_t now = rl_now_us();
        if (now >= until || zmq_poll(&item, 1, (long)((until - now) / 1000 + 1)) <= 0)
            return NULL;
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        assert_true(zmq_msg_recv(&frame, it->hub, 0) > 0);
        rl_msg_t *msg = NULL;
        const char *why = "";
        if (rl_msg_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), &msg, &why) == 0)
            fail_msg("bad message: %s", why);
        zmq_msg_close(&frame);
        if (msg->type == type || msg->type == or_type)
            return msg;
        rl_msg_free(&msg);
    }
}

static rl_msg_t *receive(gateway_t *it, rl_msg_type_t type)
{
    rl_msg_t *msg = receive_within(it, type, type, PATIENCE_MS);
    if (!msg)
        fail_msg("no %s came", rl_msg_name(type));
    return msg;
}

// The next announcement of a kind and shard in a generation.
static rl_msg_t *announced(gateway_t *it, const char *kind, uint64_t shard, const char *generation)
{
    for (;;) {
        rl_msg_t *msg = receive(it, RL_ANNOUNCE);
        if (strcmp(msg->announce.kind, kind) == 0 && msg->announce.shard == shard &&
            strcmp(msg->announce.generation, generation) == 0)
            return msg;
        rl_msg_free(&msg);
    }
}

// A worker as the gateway knows it.
typedef struct peer {
    void *tasks; // PUSH
    char id[256];
} peer_t;

static void send_to(const peer_t *it, const rl_msg_t *msg)
{
    rl_buf_t bytes = rl_buf_make(RL_MAX_FRAME);
    assert_int_equal(rl_msg_encode(msg, &bytes, (char[256]){""}, 256), 0);
    assert_true(zmq_send(it->tasks, bytes.data, bytes.size, 0) > 0);
    rl_buf_free(&bytes);
}

static void send_bytes(const peer_t *it, const char *bytes, size_t size)
{
    assert_true(zmq_send(it->tasks, bytes, size, 0) >= 0);
}

static peer_t meet(gateway_t *gateway, const char *kind, uint64_t shard)
{
    peer_t it;
    rl_msg_t *msg = announced(gateway, kind, shard, "g-000001");
    it.tasks = zmq_socket(gateway->context, ZMQ_PUSH);
    int linger = 0;
    zmq_setsockopt(it.tasks, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(it.tasks, msg->announce.tasks), 0);
    snprintf(it.id, sizeof it.id, "%s", msg->announce.worker);
    rl_msg_free(&msg);
    rl_msg_t welcome = {.type = RL_WELCOME};
    welcome.welcome = (rl_welcome_t){.gateway = "gateway-1", .tokens = "tcp://127.0.0.1:1"};
    send_to(&it, &welcome);
    return it;
}

// To a worker that announced itself to several gateways; the task is this route's.
static void ask_by(const peer_t *it, uint64_t route, uint64_t task, const char *text, uint64_t k)
{
    rl_msg_t msg = {.type = RL_SEARCH};
    msg.search =
        (rl_search_t){.route = route, .task = task, .text = text, .k = k, .deadline_ms = 60000};
    send_to(it, &msg);
}

static void ask(const peer_t *it, uint64_t task, const char *text, const float *vector,
                size_t dimension, uint64_t k, uint64_t deadline_ms)
{
    rl_msg_t msg = {.type = RL_SEARCH};
    msg.search = (rl_search_t){.gateway = "gateway-1",
                               .task = task,
                               .request = "req_1",
                               .text = text,
                               .vector = vector,
                               .vector_size = dimension,
                               .k = k,
                               .deadline_ms = deadline_ms};
    send_to(it, &msg);
}

// The answer to a task must be its hits; the caller frees it.
static rl_msg_t *hits_of(gateway_t *gateway, uint64_t task)
{
    rl_msg_t *msg = receive_within(gateway, RL_HITS, RL_FAILED, PATIENCE_MS);
    assert_non_null(msg);
    if (msg->type == RL_FAILED)
        fail_msg("%s: %s", msg->failed.code, msg->failed.message);
    assert_int_equal(msg->hits.task, task);
    return msg;
}

static void assert_fails(gateway_t *gateway, uint64_t task, const char *code, const char *says)
{
    rl_msg_t *msg = receive_within(gateway, RL_FAILED, RL_HITS, PATIENCE_MS);
    assert_non_null(msg);
    assert_int_equal(msg->type, RL_FAILED);
    assert_int_equal(msg->failed.task, task);
    assert_string_equal(msg->failed.code, code);
    if (!strstr(msg->failed.message, says))
        fail_msg("\"%s\" does not say \"%s\"", msg->failed.message, says);
    rl_msg_free(&msg);
}

// ------------------------------------------------------------------------------------------
// stories

static void each_shard_and_kind_is_a_worker_that_becomes_ready_by_a_welcome(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 9, 2, HELP_DIMENSION, "", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, NULL);
    rl_msg_t *msg = announced(&gateway, "dense", 1, "g-000001");
    const rl_announce_t *said = &msg->announce;
    assert_false(said->ready);
    assert_int_equal(said->route, 0);
    assert_int_equal(said->shards, 2);
    assert_int_equal(said->passages, 4);
    assert_int_equal(said->dimension, HELP_DIMENSION);
    assert_int_equal(said->period_ms, 20);
    assert_int_equal(said->slots, 1);
    assert_string_equal(said->collection, "docs");
    assert_string_equal(said->embedding_model, "test-model");
    assert_non_null(strstr(said->worker, "/docs/1/dense"));
    rl_msg_free(&msg);
    peer_t peer = meet(&gateway, "lexical", 0);
    do {
        rl_msg_free(&msg);
        msg = announced(&gateway, "lexical", 0, "g-000001");
    } while (!msg->announce.ready);
    assert_string_equal(msg->announce.worker, peer.id);
    assert_string_equal(msg->announce.embedding_model, "");
    assert_int_equal(msg->announce.dimension, 0);
    rl_msg_free(&msg);
    zmq_close(peer.tasks);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

static void shards_and_kinds_can_be_narrowed(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 9, 3, HELP_DIMENSION, "", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program =
        start(&gateway, folder, "--retriever-shards=2", "--retriever-kinds=dense", NULL);
    for (int each = 0; each < 5; each++) {
        rl_msg_t *msg = receive(&gateway, RL_ANNOUNCE);
        assert_int_equal(msg->announce.shard, 2);
        assert_string_equal(msg->announce.kind, "dense");
        rl_msg_free(&msg);
    }
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

static void searches_are_answered_with_passages(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 40, 2, HELP_DIMENSION, "", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, NULL);
    peer_t dense = meet(&gateway, "dense", 1), lexical = meet(&gateway, "lexical", 1);
    float vector[HELP_DIMENSION];
    help_vector(7, HELP_DIMENSION, vector); // passage 7 is id 4 of shard 1; not normalised
    ask(&dense, 11, "", vector, HELP_DIMENSION, 3, 5000);
    rl_msg_t *msg = hits_of(&gateway, 11);
    assert_string_equal(msg->hits.worker, dense.id);
    assert_string_equal(msg->hits.generation, "g-000001");
    assert_int_equal(msg->hits.hits_size, 3);
    assert_int_equal(msg->hits.hits[0].id, 4);
    assert_string_equal(msg->hits.hits[0].doc, "doc-7");
    assert_string_equal(msg->hits.hits[0].text, "passage number 7");
    assert_true(msg->hits.hits[0].score > .999 && msg->hits.hits[0].score < 1.001);
    assert_true(msg->hits.work_us > 0);
    rl_msg_free(&msg);
    ask(&lexical, 12, "number 21", NULL, 0, 3, 5000);
    msg = hits_of(&gateway, 12);
    assert_string_equal(msg->hits.hits[0].doc, "doc-21");
    assert_true(msg->hits.bound >= msg->hits.hits[0].score);
    rl_msg_free(&msg);
    ask(&lexical, 13, "zymurgy", NULL, 0, 3, 5000);
    msg = hits_of(&gateway, 13);
    assert_int_equal(msg->hits.hits_size, 0);
    rl_msg_free(&msg);
    zmq_close(dense.tasks);
    zmq_close(lexical.tasks);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

static void wrong_tasks_fail_with_a_reason_and_bad_bytes_do_no_harm(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 10, 1, HELP_DIMENSION, "", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, NULL);
    peer_t dense = meet(&gateway, "dense", 0), lexical = meet(&gateway, "lexical", 0);
    float vector[HELP_DIMENSION + 1] = {1}, zeros[HELP_DIMENSION] = {0};
    ask(&dense, 1, "", vector, HELP_DIMENSION + 1, 3, 5000);
    assert_fails(&gateway, 1, "wrong_dimension", "17 components, this index has 16");
    ask(&dense, 2, "text alone", NULL, 0, 3, 5000);
    assert_fails(&gateway, 2, "bad_request", "vector");
    ask(&dense, 3, "", zeros, HELP_DIMENSION, 3, 5000);
    assert_fails(&gateway, 3, "bad_request", "zeros");
    ask(&dense, 4, "", vector, HELP_DIMENSION, 1001, 5000);
    assert_fails(&gateway, 4, "bad_request", "k must be from 1 to 1000");
    ask(&lexical, 5, "words", NULL, 0, 1001, 5000);
    assert_fails(&gateway, 5, "bad_request", "k must be from 1 to 1000");
    ask(&lexical, 6, "", vector, HELP_DIMENSION, 3, 5000);
    assert_fails(&gateway, 6, "bad_request", "text");
    rl_msg_t msg = {.type = RL_SEARCH};
    msg.search = (rl_search_t){.task = 7, .text = "words", .k = 3, .filter = "{\"year\":2024}"};
    send_to(&lexical, &msg);
    assert_fails(&gateway, 7, "bad_filter", "filter.year");
    msg.search = (rl_search_t){.task = 8, .text = "no such route", .k = 3, .route = 99};
    send_to(&lexical, &msg);
    msg = (rl_msg_t){.type = RL_DONE};
    send_to(&lexical, &msg);
    send_bytes(&dense, "\xc1garbage", 8);
    send_bytes(&dense, "", 0);
    send_bytes(&lexical, "\x81\xa1m\x04", 4);
    ask(&lexical, 9, "number 3", NULL, 0, 3, 5000);
    rl_msg_t *hits = hits_of(&gateway, 9);
    rl_msg_free(&hits);
    ask(&dense, 10, "", vector, HELP_DIMENSION, 3, 5000);
    hits = hits_of(&gateway, 10);
    rl_msg_free(&hits);
    zmq_close(dense.tasks);
    zmq_close(lexical.tasks);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

// So many expensive questions at once that the later ones must wait: what is beyond the line is
// refused, what is cancelled stays out, the rest is answered once.
static void a_full_line_refuses_and_cancelled_tasks_stay_out(void **state)
{
    (void)state;
    enum {
        TASKS = 40,
        ROOM = 8,
        CANCELLED = 5
    };
    const char *folder = help_folder();
    help_build(folder, 3000, 1, 0, "", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, "--retriever-queue=8", NULL);
    peer_t peer = meet(&gateway, "lexical", 0);
    char *text = calloc(20000, 1);
    for (size_t at = 0, word = 0; at + 16 < 20000; word++)
        at += (size_t)sprintf(text + at, "number %zu ", word);
    int answers[TASKS + 1] = {0}, hits = 0, busy = 0;
    for (uint64_t task = 1; task <= TASKS; task++)
        ask(&peer, task, text, NULL, 0, 10, 60000);
    ask(&peer, 1000, "number 7", NULL, 0, 1, 60000);
    rl_msg_t cancel = {.type = RL_CANCEL};
    for (uint64_t task = 1; task <= CANCELLED; task++) {
        cancel.cancel.task = task;
        send_to(&peer, &cancel);
    }
    rl_msg_t *msg = NULL;
    uint64_t last = 0;
    do { // 2000 is sent again until there is room for it: then all before it has been answered
        ask(&peer, 2000, "number 8", NULL, 0, 1, 60000);
        while ((msg = receive_within(&gateway, RL_HITS, RL_FAILED, PATIENCE_MS)) != NULL) {
            uint64_t task = msg->type == RL_HITS ? msg->hits.task : msg->failed.task;
            last = msg->type == RL_HITS ? task : 0;
            if (task <= TASKS)
                answers[task]++;
            hits += msg->type == RL_HITS && task <= TASKS;
            busy += msg->type == RL_FAILED;
            if (msg->type == RL_FAILED) {
                assert_string_equal(msg->failed.code, "busy");
                assert_true(msg->failed.retry);
            }
            rl_msg_free(&msg);
            if (task == 2000)
                break;
        }
    } while (last != 2000);
    assert_true(busy > 0);
    assert_true(hits >= 1);
    for (size_t task = 1; task <= TASKS; task++)
        assert_true(answers[task] <= 1);
    for (size_t task = CANCELLED + 1; task <= TASKS; task++)
        assert_int_equal(answers[task], 1);
    free(text);
    zmq_close(peer.tasks);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

// Gateways count their tasks each for itself: the same number is another's task.
static void two_gateways_share_a_worker_and_cancel_only_their_own(void **state)
{
    (void)state;
    enum {
        BEFORE = 20
    };
    const char *folder = help_folder();
    help_build(folder, 3000, 1, 0, "", NULL, 0);
    gateway_t first = gateway_new(), second = gateway_new(), both = {0};
    snprintf(both.endpoint, sizeof both.endpoint, "%.100s,%.100s", first.endpoint, second.endpoint);
    program_t *program = start(&both, folder, NULL);
    peer_t peer = meet(&first, "lexical", 0);
    rl_msg_t *msg = announced(&second, "lexical", 0, "g-000001");
    assert_int_equal(msg->announce.route, 1);
    assert_false(msg->announce.ready); // this gateway has not welcomed it
    rl_msg_free(&msg);
    char *text = calloc(20000, 1);
    for (size_t at = 0, word = 0; at + 16 < 20000; word++)
        at += (size_t)sprintf(text + at, "number %zu ", word);
    for (uint64_t task = 1; task <= BEFORE; task++)
        ask_by(&peer, 0, task, text, 1000);
    ask_by(&peer, 0, 99, "number 5", 1);
    ask_by(&peer, 1, 99, "number 6", 1);
    rl_msg_t cancel = {.type = RL_CANCEL, .cancel = {.task = 99, .route = 0}};
    send_to(&peer, &cancel);
    ask_by(&peer, 0, 100, "number 7", 1);
    msg = hits_of(&second, 99);
    assert_string_equal(msg->hits.hits[0].doc, "doc-6");
    rl_msg_free(&msg);
    for (uint64_t task = 1; task <= BEFORE; task++) {
        msg = hits_of(&first, task);
        rl_msg_free(&msg);
    }
    msg = hits_of(&first, 100);
    rl_msg_free(&msg);
    free(text);
    zmq_close(peer.tasks);
    stop(&program);
    gateway_end(&first);
    gateway_end(&second);
    help_remove(folder);
}

static void a_deadline_that_passed_in_line_fails_before_the_work(void **state)
{
    (void)state;
    enum {
        BEFORE = 30
    };
    const char *folder = help_folder();
    help_build(folder, 3000, 1, 0, "", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, NULL);
    peer_t peer = meet(&gateway, "lexical", 0);
    char *text = calloc(20000, 1);
    for (size_t at = 0, word = 0; at + 16 < 20000; word++)
        at += (size_t)sprintf(text + at, "number %zu ", word);
    for (uint64_t task = 1; task <= BEFORE; task++)
        ask(&peer, task, text, NULL, 0, 1000, 60000);
    ask(&peer, 99, "number 1", NULL, 0, 1, 1);
    for (uint64_t task = 1; task <= BEFORE; task++) {
        rl_msg_t *msg = hits_of(&gateway, task);
        rl_msg_free(&msg);
    }
    assert_fails(&gateway, 99, "deadline", "deadline passed");
    free(text);
    zmq_close(peer.tasks);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

static void questions_that_wait_together_get_what_each_alone_gets(void **state)
{
    (void)state;
    enum {
        TASKS = 200
    };
    const char *folder = help_folder();
    help_build(folder, 1000, 1, HELP_DIMENSION, "Flat", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, "--retriever-threads=3", NULL);
    peer_t peer = meet(&gateway, "dense", 0);
    float vector[HELP_DIMENSION];
    for (uint64_t task = 0; task < TASKS; task++) {
        help_vector(task, HELP_DIMENSION, vector);
        ask(&peer, task + 1, "", vector, HELP_DIMENSION, 1 + task % 5, 60000);
    }
    bool seen[TASKS] = {false};
    for (size_t each = 0; each < TASKS; each++) {
        rl_msg_t *msg = receive(&gateway, RL_HITS);
        uint64_t task = msg->hits.task - 1;
        assert_false(seen[task]);
        seen[task] = true;
        assert_int_equal(msg->hits.hits_size, 1 + task % 5);
        assert_int_equal(msg->hits.hits[0].id, task + 1);
        rl_msg_free(&msg);
    }
    zmq_close(peer.tasks);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

static void a_new_generation_is_taken_up_without_losing_a_question(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 10, 1, HELP_DIMENSION, "", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, NULL);
    peer_t peer = meet(&gateway, "lexical", 0);
    static const char *const texts[] = {"number of the new generation"};
    uint64_t task = 1, answered = 0;
    bool built = false, fresh = false;
    while (!fresh || answered + 1 < task) { // questions go on all the time
        if (!fresh)
            ask(&peer, task++, "number", NULL, 0, 1, 60000);
        if (!built)
            help_build(folder, 12, 2, HELP_DIMENSION, "", texts, 1);
        built = true;
        rl_msg_t *msg = hits_of(&gateway, answered + 1);
        answered++;
        assert_int_equal(msg->hits.hits_size, 1);
        bool is_new = strcmp(msg->hits.generation, "g-000002") == 0;
        assert_int_equal(strcmp(msg->hits.hits[0].text, texts[0]) == 0, is_new);
        fresh = fresh || is_new;
        rl_msg_free(&msg);
    }
    rl_msg_t *msg = announced(&gateway, "lexical", 0, "g-000002");
    assert_string_equal(msg->announce.worker, peer.id);
    assert_int_equal(msg->announce.shards, 2);
    assert_true(msg->announce.ready);
    rl_msg_free(&msg);
    msg = announced(&gateway, "dense", 1, "g-000002"); // the shard that is new
    rl_msg_free(&msg);
    zmq_close(peer.tasks);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

static void a_damaged_new_generation_is_named_and_the_old_one_served_on(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 10, 1, 0, "", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, NULL);
    peer_t peer = meet(&gateway, "lexical", 0);
    // what a copy that is under way looks like
    const char *other = help_folder();
    help_build(other, 10, 1, 0, "", NULL, 0);
    help_build(other, 10, 1, 0, "", NULL, 0);
    char inner[600];
    snprintf(inner, sizeof inner, "%s/g-000002", folder);
    help_cut(help_path(other, "g-000002/shard-0/passages.bin"), 100);
    assert_int_equal(rename(help_path(other, "g-000002"), inner), 0);
    file_write(help_path(folder, "CURRENT"), "g-000002\n", 9);
    wait_until_said(program, "passages.bin");
    wait_until_said(program, "g-000001 is served on");
    ask(&peer, 1, "number 3", NULL, 0, 1, 60000);
    rl_msg_t *msg = hits_of(&gateway, 1);
    assert_string_equal(msg->hits.generation, "g-000001");
    rl_msg_free(&msg);
    unlink(help_path(folder, "CURRENT"));
    wait_until_said(program, "CURRENT: there is no index");
    ask(&peer, 2, "number 3", NULL, 0, 1, 60000);
    msg = hits_of(&gateway, 2);
    rl_msg_free(&msg);
    zmq_close(peer.tasks);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
    help_remove(other);
}

static void a_file_cut_under_the_program_fails_the_task_and_nothing_else(void **state)
{
    (void)state;
    const char *folder = help_folder();
    // more than is kept in memory
    char *text = malloc(250001);
    memset(text, 'x', 250000);
    memcpy(text, "number ", 7);
    text[250000] = '\0';
    const char *texts[] = {text};
    help_build(folder, 70, 1, 0, "", texts, 1);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, NULL);
    peer_t peer = meet(&gateway, "lexical", 0);
    help_cut(help_path(folder, "g-000001/shard-0/passages.bin"), 20);
    ask(&peer, 1, "number", NULL, 0, 1, 60000);
    assert_fails(&gateway, 1, "index_gone", "passages.bin");
    help_build(folder, 10, 1, 0, "", NULL, 0);
    rl_msg_t *msg = announced(&gateway, "lexical", 0, "g-000002");
    rl_msg_free(&msg);
    ask(&peer, 2, "number", NULL, 0, 1, 60000);
    msg = hits_of(&gateway, 2);
    rl_msg_free(&msg);
    free(text);
    zmq_close(peer.tasks);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

static void at_sigterm_it_leaves_and_finishes_what_waits(void **state)
{
    (void)state;
    enum {
        TASKS = 30
    };
    const char *folder = help_folder();
    help_build(folder, 3000, 1, 0, "", NULL, 0);
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, folder, NULL);
    peer_t peer = meet(&gateway, "lexical", 0);
    char *text = calloc(20000, 1);
    for (size_t at = 0, word = 0; at + 16 < 20000; word++)
        at += (size_t)sprintf(text + at, "number %zu ", word);
    for (uint64_t task = 1; task <= TASKS; task++)
        ask(&peer, task, text, NULL, 0, 10, 60000);
    rl_msg_t *msg = hits_of(&gateway, 1); // all have arrived by now, or are on their way
    rl_msg_free(&msg);
    kill(program->pid, SIGTERM);
    bool left = false;
    for (uint64_t next = 2; next <= TASKS || !left;) {
        msg = receive_within(&gateway, RL_LEAVE, RL_HITS, PATIENCE_MS);
        assert_non_null(msg);
        if (msg->type == RL_LEAVE) {
            assert_string_equal(msg->leave.worker, peer.id);
            left = true;
        } else {
            assert_int_equal(msg->hits.task, next++);
        }
        rl_msg_free(&msg);
    }
    assert_int_equal(end_of(&program), 0);
    free(text);
    zmq_close(peer.tasks);
    gateway_end(&gateway);
    help_remove(folder);
}

static void a_start_that_cannot_work_says_why(void **state)
{
    (void)state;
    const char *folder = help_folder();
    gateway_t gateway = gateway_new();
    program_t *program = start(&gateway, "/nonexistent/index", NULL);
    wait_until_said(program, "/nonexistent/index: No such file");
    assert_int_equal(end_of(&program), 1);
    help_build(folder, 4, 2, 0, "", NULL, 0);
    program = start(&gateway, folder, "--retriever-shards=0,7", NULL);
    wait_until_said(program, "has no shard 7, only 0 to 1");
    assert_int_equal(end_of(&program), 1);
    program = start(&gateway, folder, "--retriever-shards=one", NULL);
    wait_until_said(program, "\"one\" is no number of a shard");
    assert_int_not_equal(end_of(&program), 0);
    program = start(&gateway, folder, "--retriever-kinds=sparse", NULL);
    wait_until_said(program, "\"sparse\" is no kind of retrieval");
    assert_int_not_equal(end_of(&program), 0);
    program = start(&gateway, folder, "--retriever-kinds=dense", NULL);
    wait_until_said(program, "no vectors");
    assert_int_equal(end_of(&program), 1);
    program = start(&gateway, folder, "--retriever-bind=nonsense", NULL);
    wait_until_said(program, "retriever.bind");
    assert_int_equal(end_of(&program), 1);
    help_spoil(help_path(folder, "g-000001/shard-1/passages.bin"), 30, "\x01\x02");
    program = start(&gateway, folder, NULL);
    wait_until_said(program, "g-000001/shard-1/passages.bin: its checksum is wrong");
    assert_int_equal(end_of(&program), 1);
    program = start(&gateway, folder, "--retriever-shards=0", NULL); // shard 0 is sound
    rl_msg_t *msg = announced(&gateway, "lexical", 0, "g-000001");
    rl_msg_free(&msg);
    stop(&program);
    gateway_end(&gateway);
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_shard_and_kind_is_a_worker_that_becomes_ready_by_a_welcome,
                                  end_what_runs),
        cmocka_unit_test_teardown(shards_and_kinds_can_be_narrowed, end_what_runs),
        cmocka_unit_test_teardown(searches_are_answered_with_passages, end_what_runs),
        cmocka_unit_test_teardown(wrong_tasks_fail_with_a_reason_and_bad_bytes_do_no_harm,
                                  end_what_runs),
        cmocka_unit_test_teardown(a_full_line_refuses_and_cancelled_tasks_stay_out, end_what_runs),
        cmocka_unit_test_teardown(two_gateways_share_a_worker_and_cancel_only_their_own,
                                  end_what_runs),
        cmocka_unit_test_teardown(a_deadline_that_passed_in_line_fails_before_the_work,
                                  end_what_runs),
        cmocka_unit_test_teardown(questions_that_wait_together_get_what_each_alone_gets,
                                  end_what_runs),
        cmocka_unit_test_teardown(a_new_generation_is_taken_up_without_losing_a_question,
                                  end_what_runs),
        cmocka_unit_test_teardown(a_damaged_new_generation_is_named_and_the_old_one_served_on,
                                  end_what_runs),
        cmocka_unit_test_teardown(a_file_cut_under_the_program_fails_the_task_and_nothing_else,
                                  end_what_runs),
        cmocka_unit_test_teardown(at_sigterm_it_leaves_and_finishes_what_waits, end_what_runs),
        cmocka_unit_test_teardown(a_start_that_cannot_work_says_why, end_what_runs),
    };
    return cmocka_run_group_tests_name("retriever", tests, NULL, NULL);
}
