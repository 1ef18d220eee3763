// generator: the process: one function for each message of its peers. These are the gateways
// (tasks, credits, cancels in; announcements and numbered messages out) and the LLM servers (behind
// upstreams.h).
#include "generator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "endpoint.h"
#include "log.h"
#include "model_fingerprint.h"
#include "prefill.h"
#include "tasks.h"
#include "timer.h"

enum {
    IDLE_CONNECTIONS = 64, // to the LLM server, kept for the next answer
    LONGEST_TEXT = 1 << 20,
    LEAVING_LOOK_US = 20000, // while answers are finished
    CROWD = 32,              // so many answers at a time: tokens are handled together,
    PACE_US = 500,           // in turns so far apart
};

static const char usage[] =
    "ragline-generator [--config FILE] [--SECTION-KEY VALUE]...\n"
    "Writes answers: takes a question and its passages from a gateway, asks the LLM server\n"
    "(llm.url) and streams its words back.\n";

typedef struct process {
    generator_t generator;
    rl_timer_t *announce, *leave;
    uint64_t leave_until;
    char tasks[RL_ENDPOINT]; // the inbox's endpoint as gateways reach it
    rl_wire_t *inbox;
} process_t;

// ---- options ----------------------------------------------------------------------------

// Reads what can change while it runs; on an error changes nothing that answers depend on.
static bool read_settings(generator_t *self, const rl_conf_t *conf)
{
    char why[512] = "";
    if (!upstreams_configure(&self->upstreams, conf, why, sizeof why)) {
        rl_error("%s", why);
        return false;
    }
    self->slots = (size_t)rl_conf_int(conf, "generator.slots");
    self->queue_max = (size_t)rl_conf_int(conf, "generator.queue");
    return true;
}

static void on_reload(void *arg)
{
    process_t *self = arg;
    // answers under way stay with the upstream that they were started with
    if (!read_settings(&self->generator, rl_proc_conf(self->generator.proc)))
        rl_error("the generator keeps its old settings");
}

// ---- gateways in ------------------------------------------------------------------------

// A task that cannot be read is not one that never came: its gateway learns of it.
static void refuse_unreadable(generator_t *self, gateway_link_t *gateway, const rl_msg_t *msg)
{
    const rl_generate_t *task = &msg->generate;
    char text[256];
    snprintf(text, sizeof text, "the generator cannot read its task: %s", msg->unreadable);
    rl_log(RL_LOG_WARN, task->request, "%s", text);
    rl_msg_t failed = {.type = RL_FAILED,
                       .failed = {.worker = rl_proc_id(self->proc),
                                  .task = task->task,
                                  .status = 502,
                                  .code = "bad_message",
                                  .message = text}};
    rl_wire_send(gateway_link_wire(gateway), &failed);
}

static void take_generate(generator_t *self, rl_msg_t *msg)
{
    const rl_generate_t *task = &msg->generate;
    gateway_link_t *gateway = gateway_links_find(self->gateways, task->route, task->gateway);
    if (!gateway) {
        rl_log(RL_LOG_WARN, task->request, "a task of gateway %s, which is not connected: dropped",
               task->gateway);
        return;
    }
    if (msg->unreadable) {
        refuse_unreadable(self, gateway, msg);
        return;
    }
    if (tasks_find(self->tasks, task->route, task->task))
        return; // sent twice
    tasks_add(self->tasks, gateway, rl_msg_move(msg));
}

static void take_credit(generator_t *self, const rl_credit_t *credit)
{
    task_t *task = tasks_find(self->tasks, credit->route, credit->task);
    if (task)
        task_credit(task, credit);
}

static void take_cancel(generator_t *self, const rl_cancel_t *cancel)
{
    task_t *task = tasks_find(self->tasks, cancel->route, cancel->task);
    if (task)
        task_cancel(task);
}

static void on_message(void *arg, rl_msg_t *msg)
{
    process_t *self = arg;
    generator_t *generator = &self->generator;
    switch (msg->type) {
    case RL_WELCOME:
        gateway_links_welcome(generator->gateways, &msg->welcome);
        break;
    case RL_GENERATE:
        take_generate(generator, msg);
        break;
    case RL_CREDIT:
        take_credit(generator, &msg->credit);
        break;
    case RL_CANCEL:
        take_cancel(generator, &msg->cancel);
        break;
    default:
        rl_warn("a %s message, which is not for a generator: dropped", rl_msg_name(msg->type));
    }
}

static void on_lost(void *arg, gateway_link_t *gateway)
{
    process_t *self = arg;
    tasks_cancel_of(self->generator.tasks, gateway);
}

static void on_returned(void *arg, gateway_link_t *gateway)
{
    process_t *self = arg;
    tasks_resend_to(self->generator.tasks, gateway);
}

static void on_caught_up(void *arg, gateway_link_t *gateway)
{
    process_t *self = arg;
    tasks_resume_of(self->generator.tasks, gateway);
}

// ---- gateways out -----------------------------------------------------------------------

static void announce_self(process_t *self)
{
    generator_t *generator = &self->generator;
    char fingerprint[MODEL_FINGERPRINT];
    model_fingerprint(&generator->upstreams, generator->upstreams.order[0], fingerprint);
    rl_announce_t message = {
        .worker = rl_proc_id(generator->proc),
        .kind = "generator",
        .tasks = self->tasks,
        .queued = tasks_waiting(generator->tasks),
        .running = tasks_running(generator->tasks),
        .slots = generator->slots,
        .service_us = tasks_service_us(generator->tasks),
        .served = tasks_served(generator->tasks),
        .model = upstreams_model(&generator->upstreams),
        .prefill = prefill_is_useful(generator),
        .fingerprint = fingerprint,
    };
    gateway_links_announce(generator->gateways, &message);
}

static void on_announce(void *arg)
{
    process_t *self = arg;
    generator_t *generator = &self->generator;
    gateway_links_sweep(generator->gateways);
    tasks_sweep(generator->tasks);
    upstreams_sweep(&generator->upstreams);
    if (!generator->leaving)
        prefill_warm(generator);
    // LEAVE is repeated while answers are under way: a gateway that no longer receives it knows
    // that they are lost.
    if (generator->leaving)
        gateway_links_leave(generator->gateways, rl_proc_id(generator->proc));
    else
        announce_self(self);
    long ms = rl_conf_int(rl_proc_conf(generator->proc), "cluster.announce_ms");
    rl_timer_after(self->announce, (uint64_t)ms * 1000);
}

static void on_turn(void *arg)
{
    process_t *self = arg;
    tasks_turn(self->generator.tasks);
    rl_proc_pace(self->generator.proc, tasks_running(self->generator.tasks) >= CROWD ? PACE_US : 0);
    if (gateway_links_take_change(self->generator.gateways) && !self->generator.leaving)
        announce_self(self);
}

// ---- dumps ------------------------------------------------------------------------------

static void dump_upstreams(const upstreams_t *self, rl_dump_t *dump)
{
    rl_dump_list(dump, "upstreams", self->size);
    for (size_t at = 0; at < self->size; at++) {
        const upstream_t *upstream = self->order[at];
        uint64_t now = rl_now_us(), until = upstream->breaker.until_us;
        if (!rl_dump_item(dump, NULL))
            break;
        rl_dump_text(dump, "name", upstream->name);
        rl_dump_text(dump, "kind", upstream->backend->type->name);
        rl_dump_number(dump, "calls", upstream->calls);
        rl_dump_number(dump, "prefills", upstream->prefills);
        rl_dump_number(dump, "prefills_done", upstream->prefilled.done);
        rl_dump_number(dump, "prefills_yielded", upstream->prefilled.yielded);
        rl_dump_number(dump, "prefills_skipped", upstream->prefilled.skipped);
        rl_dump_number(dump, "prefilled_tokens", upstream->prefilled.tokens);
        rl_dump_number(dump, "reads_tokens_per_s", (uint64_t)upstream->reading_rate);
        rl_dump_text(dump, "breaker", breaker_state_name(upstream->breaker.state));
        rl_dump_number(dump, "failures_in_a_row", upstream->breaker.failures);
        if (upstream->breaker.state == BREAKER_OPEN)
            rl_dump_ms(dump, "rests_ms", until > now ? until - now : 0);
        rl_dump_end(dump);
    }
    rl_dump_list_end(dump);
}

static void on_dump(void *arg, rl_dump_t *dump)
{
    process_t *self = arg;
    rl_wire_dump(dump);
    gateway_links_dump(self->generator.gateways, dump);
    dump_upstreams(&self->generator.upstreams, dump);
    tasks_dump(self->generator.tasks, dump);
}

// ---- the end ----------------------------------------------------------------------------

static void on_leave(void *arg)
{
    process_t *self = arg;
    generator_t *generator = &self->generator;
    size_t left = tasks_waiting(generator->tasks) + tasks_running(generator->tasks);
    if (left > 0 && rl_now_us() >= self->leave_until) {
        rl_warn("%zu answers are not finished after the grace time (generator.grace_ms)", left);
        tasks_fail_all(generator->tasks, "leaving",
                       "the generator was stopped before the answer was finished");
        left = 0;
    }
    if (left == 0)
        rl_proc_end(generator->proc, 0);
    else
        rl_timer_after(self->leave, LEAVING_LOOK_US);
}

static void on_stop(void *arg)
{
    process_t *self = arg;
    generator_t *generator = &self->generator;
    long grace_ms = rl_conf_int(rl_proc_conf(generator->proc), "generator.grace_ms");
    generator->leaving = true;
    self->leave_until = rl_now_us() + (uint64_t)grace_ms * 1000;
    gateway_links_leave(generator->gateways, rl_proc_id(generator->proc));
    on_leave(self);
}

// ---- the beginning ----------------------------------------------------------------------

static bool start_process(process_t *self, rl_proc_t *proc)
{
    static const gateway_links_events_t events = {
        .lost = on_lost, .returned = on_returned, .caught_up = on_caught_up};
    generator_t *generator = &self->generator;
    const rl_conf_t *conf = rl_proc_conf(proc);
    struct event_base *base = rl_proc_base(proc);
    char why[2048];
    generator->proc = proc;
    generator->answer_events = &task_stream_events;
    generator->scratch = rl_buf_make(LONGEST_TEXT);
    generator->tasks = tasks_new(generator);
    generator->fetcher = rl_fetcher_new(base, IDLE_CONNECTIONS);
    upstreams_init(&generator->upstreams, base, generator->fetcher);
    self->announce = rl_timer_new(base, on_announce, self);
    self->leave = rl_timer_new(base, on_leave, self);
    if (!read_settings(generator, conf))
        return false;
    self->inbox =
        rl_wire_pull(proc, rl_conf_str(conf, "generator.bind"), on_message, self, why, sizeof why);
    if (!self->inbox) {
        rl_error("generator.bind: %s", why);
        return false;
    }
    generator->gateways = gateway_links_new(proc, &events, self, why, sizeof why);
    if (!generator->gateways ||
        rl_endpoint_advertised(rl_wire_endpoint(self->inbox),
                               rl_conf_str(conf, "generator.advertise"), "generator.advertise",
                               self->tasks, why, sizeof why) != 0) {
        rl_error("%s", why);
        return false;
    }
    rl_proc_on_stop(proc, on_stop, self);
    rl_proc_on_reload(proc, on_reload, self);
    rl_proc_on_dump(proc, on_dump, self);
    rl_proc_on_turn(proc, on_turn, self);
    return true;
}

static void clean_up(process_t *self)
{
    generator_t *generator = &self->generator;
    tasks_destroy(&generator->tasks);
    gateway_links_destroy(&generator->gateways);
    rl_wire_destroy(&self->inbox);
    upstreams_free(&generator->upstreams);
    rl_fetcher_destroy(&generator->fetcher);
    rl_buf_free(&generator->scratch);
    rl_timer_destroy(&self->announce);
    rl_timer_destroy(&self->leave);
}

int generator_main(int argc, char **argv)
{
    int status;
    process_t self = {0};
    rl_proc_t *proc = rl_proc_new(RL_GENERATOR, "generator", usage, argc, argv, &status);
    if (!proc)
        return status;
    status = 2;
    if (start_process(&self, proc)) {
        rl_info("takes tasks at %s; %s answers, %zu at a time", self.tasks,
                self.generator.upstreams.order[0]->template ? "the LLM server"
                                                            : "the extractive upstream",
                self.generator.slots);
        on_announce(&self);
        status = rl_proc_run(proc);
    }
    clean_up(&self);
    rl_proc_destroy(&proc);
    return status;
}
