// generator_help: a real ragline-generator between a gateway and an LLM server that the test plays.
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

static void on_announce(void *arg, rl_msg_t *msg)
{
    genworld_t *world = arg;
    char why[256];
    if (msg->type == RL_LEAVE) {
        world->left = true;
        return;
    }
    assert_int_equal(msg->type, RL_ANNOUNCE);
    const rl_announce_t *announce = &msg->announce;
    assert_string_equal(announce->kind, "generator");
    if (!world->tasks) {
        world->tasks = rl_wire_push(world->proc, announce->tasks, why, sizeof why);
        assert_non_null(world->tasks);
        genworld_welcome(world);
    }
    world->announced++;
    world->ready = announce->ready;
    world->queued = announce->queued;
    world->running = announce->running;
    world->prefills = announce->prefill;
    world->slots = announce->slots;
    snprintf(world->model, sizeof world->model, "%s", announce->model);
    snprintf(world->worker, sizeof world->worker, "%s", announce->worker);
}

static void on_message(void *arg, rl_msg_t *msg)
{
    genworld_t *world = arg;
    assert_true(world->messages_size < HELP_MESSAGES);
    world->messages[world->messages_size++] = rl_msg_move(msg);
}

static void on_request(void *arg, loopback_conn_t *conn, const char *head, const char *body)
{
    genworld_t *world = arg;
    snprintf(world->head, sizeof world->head, "%s", head);
    snprintf(world->body, sizeof world->body, "%s", body);
    world->conn = conn;
    world->asked++;
    if (world->answer)
        world->answer(world);
}

static void on_guard(evutil_socket_t fd, short what, void *arg)
{
    genworld_t *world = arg;
    (void)fd;
    (void)what;
    rl_proc_end(world->proc, 99);
}

static void on_turn(void *arg)
{
    genworld_t *world = arg;
    if (world->wanted && world->wanted(world))
        rl_proc_end(world->proc, 0);
}

void genworld_listen(genworld_t *world, const char *endpoint)
{
    char why[256];
    world->tokens = rl_wire_sub(world->proc, endpoint, rl_proc_id(world->proc), on_message, world,
                                why, sizeof why);
    assert_non_null(world->tokens);
}

int genworld_setup(void **state)
{
    static char *argv[] = {(char *)"test", (char *)"--log-level", (char *)"error", NULL};
    genworld_t *world = calloc(1, sizeof *world);
    char why[256];
    int status;
    world->proc = rl_proc_new(RL_GATEWAY, "gateway", "", 3, argv, &status);
    world->hub =
        rl_wire_pull(world->proc, "tcp://127.0.0.1:*", on_announce, world, why, sizeof why);
    genworld_listen(world, "tcp://127.0.0.1:*");
    world->llm = loopback_new(rl_proc_base(world->proc), on_request, world);
    world->guard = evtimer_new(rl_proc_base(world->proc), on_guard, world);
    rl_proc_on_turn(world->proc, on_turn, world);
    *state = world;
    return world->hub && world->tokens ? 0 : -1;
}

int genworld_teardown(void **state)
{
    genworld_t *world = *state;
    int status;
    if (world->pid > 0) {
        kill(world->pid, SIGKILL);
        waitpid(world->pid, &status, 0);
    }
    for (size_t at = 0; at < world->messages_size; at++)
        rl_msg_free(&world->messages[at]);
    rl_wire_destroy(&world->tasks);
    rl_wire_destroy(&world->tokens);
    rl_wire_destroy(&world->hub);
    loopback_destroy(&world->llm);
    event_free(world->guard);
    rl_proc_destroy(&world->proc);
    free(world);
    return 0;
}

void genworld_until(genworld_t *world, bool (*wanted)(genworld_t *world))
{
    struct timeval wait = {30, 0};
    if (wanted(world))
        return;
    world->wanted = wanted;
    evtimer_add(world->guard, &wait);
    int status = rl_proc_run(world->proc);
    evtimer_del(world->guard);
    world->wanted = NULL;
    assert_int_equal(status, 0); // 99: it did not come within half a minute
}

void genworld_start(genworld_t *world, bool llm, const char *const *options)
{
    const char *argv[64];
    char program[512], url[128];
    const char *build = getenv("RAGLINE_BUILD");
    size_t size = 0;
    snprintf(program, sizeof program, "%s/ragline-generator", build ? build : "build");
    argv[size++] = program;
    argv[size++] = "--cluster-gateways";
    argv[size++] = rl_wire_endpoint(world->hub);
    argv[size++] = "--cluster-announce-ms";
    argv[size++] = "50";
    argv[size++] = "--log-level";
    argv[size++] = "error";
    // the server gets what a test makes it get: nothing at leisure
    argv[size++] = "--llm-warm-ms";
    argv[size++] = world->warm_ms ? world->warm_ms : "0";
    argv[size++] = "--llm-prefill";
    argv[size++] = world->prefill ? world->prefill : "off";
    if (llm) {
        snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", loopback_port(world->llm));
        argv[size++] = "--llm-url";
        argv[size++] = url;
        argv[size++] = "--llm-model";
        argv[size++] = "tiny";
    }
    while (options && *options)
        argv[size++] = *options++;
    argv[size] = NULL;
    world->pid = fork();
    assert_true(world->pid >= 0);
    if (world->pid == 0) {
        execv(program, (char *const *)argv);
        perror(program);
        _exit(127);
    }
    genworld_until(world, genworld_is_ready);
}

void genworld_send(genworld_t *world, const rl_msg_t *msg)
{
    assert_int_equal(rl_wire_send(world->tasks, msg), 0);
}

void genworld_welcome(genworld_t *world)
{
    rl_msg_t msg = {
        .type = RL_WELCOME,
        .welcome = {.gateway = rl_proc_id(world->proc), .tokens = rl_wire_endpoint(world->tokens)}};
    genworld_send(world, &msg);
}

rl_generate_t genworld_question(uint64_t task)
{
    static rl_passage_t passages[] = {
        {.id = 1,
         .doc = "cheese",
         .title = "Cheese",
         .heading = "",
         .source = "cheese.md",
         .text = "Emmental cheese has large holes. They come from bubbles of carbon dioxide.",
         .meta = ""},
        {.id = 2,
         .doc = "bread",
         .title = "Bread",
         .heading = "",
         .source = "bread.md",
         .text = "Sourdough bread rises slowly. Wild yeast and bacteria ferment the flour.",
         .meta = ""},
    };
    return (rl_generate_t){.task = task,
                           .request = "req_test",
                           .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                           .tracestate = "congo=t61rcWkgMzE",
                           .question = "Why does Emmental cheese have holes?",
                           .passages = passages,
                           .passages_size = 2,
                           .params = "{\"temperature\":0.5,\"stop\":[\"\\n\\n\"],\"seed\":7}",
                           .prefix = "",
                           .deadline_ms = 60000,
                           .window = 64};
}

void genworld_ask(genworld_t *world, uint64_t task)
{
    rl_msg_t msg = {.type = RL_GENERATE, .generate = genworld_question(task)};
    msg.generate.gateway = rl_proc_id(world->proc);
    genworld_send(world, &msg);
}

void genworld_credit(genworld_t *world, uint64_t seq, uint64_t window, bool again)
{
    rl_msg_t msg = {.type = RL_CREDIT,
                    .credit = {.task = 1, .seq = seq, .window = window, .again = again}};
    genworld_send(world, &msg);
}

void genworld_cancel(genworld_t *world, uint64_t task)
{
    rl_msg_t msg = {.type = RL_CANCEL, .cancel = {.task = task}};
    genworld_send(world, &msg);
}

const rl_msg_t *genworld_last(const genworld_t *world, rl_msg_type_t type)
{
    const rl_msg_t *last = world->messages_size ? world->messages[world->messages_size - 1] : NULL;
    return last && last->type == type ? last : NULL;
}

const char *genworld_text(const genworld_t *world)
{
    static char text[1 << 20];
    size_t used = 0;
    text[0] = '\0';
    for (size_t at = 0; at < world->messages_size; at++) {
        const rl_msg_t *msg = world->messages[at];
        if (msg->type != RL_TOKEN)
            continue;
        if (msg->token.cite)
            used += (size_t)snprintf(text + used, sizeof text - used, "[%d]", (int)msg->token.cite);
        else
            used += (size_t)snprintf(text + used, sizeof text - used, "%s", msg->token.text);
        assert_true(used < sizeof text);
    }
    return text;
}

static uint64_t number_of(const rl_msg_t *msg)
{
    return msg->type == RL_TOKEN      ? msg->token.seq
           : msg->type == RL_PROGRESS ? msg->progress.seq
           : msg->type == RL_DONE     ? msg->done.seq
                                      : msg->failed.seq;
}

void genworld_check_order(const genworld_t *world)
{
    for (size_t at = 0; at < world->messages_size; at++)
        assert_int_equal(number_of(world->messages[at]), at + 1);
}

void genworld_begin(genworld_t *world)
{
    loopback_sendf(world->conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n");
}

static void send_event(genworld_t *world, const char *event)
{
    loopback_sendf(world->conn, "%zx\r\n%s\r\n", strlen(event), event);
}

void genworld_words(genworld_t *world, const char *words)
{
    char event[1024];
    snprintf(
        event, sizeof event,
        "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"%s\"}}],"
        "\"id\":\"chatcmpl-1\",\"model\":\"tiny-1\",\"object\":\"chat.completion.chunk\"}\n\n",
        words);
    send_event(world, event);
}

void genworld_finish(genworld_t *world)
{
    send_event(world, "data: {\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,\"delta\":{}}],"
                      "\"model\":\"tiny-1\"}\n\n");
    send_event(world,
               "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":90,\"completion_tokens\":5,"
               "\"prompt_tokens_details\":{\"cached_tokens\":80}},"
               "\"timings\":{\"cache_n\":80,\"prompt_ms\":12.5}}\n\n");
    send_event(world, "data: [DONE]\n\n");
    loopback_sendf(world->conn, "0\r\n\r\n");
}

bool genworld_is_ready(genworld_t *world)
{
    return world->ready;
}

bool genworld_is_asked(genworld_t *world)
{
    return world->asked > 0;
}

bool genworld_is_over(genworld_t *world)
{
    return genworld_last(world, RL_DONE) || genworld_last(world, RL_FAILED);
}

bool genworld_is_closed(genworld_t *world)
{
    return loopback_open(world->llm) == 0;
}
