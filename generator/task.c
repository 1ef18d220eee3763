// task: one answer's life.
#include "task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "tasks.h"
#include "utf8.h"

enum {
    RETRIES_MAX = 3,    // after "too busy"
    MARGIN_TOKENS = 16, // of the context, for what chat templates add
    LEARN_AT_ONCE = 64, // bytes of first text: so long that a sentence may end in it
    NO_DEADLINE_MS = 600000,
};

static const char *const state_names[GEN_STATES] = {
    "received", "waiting", "prompted", "asking", "streaming", "done", "failed", "cancelled"};

static void ask(gen_task_t *self);

static const rl_generate_t *generate_of(const gen_task_t *self)
{
    return &self->generate->generate;
}

// ---- making, ending ---------------------------------------------------------------------

void gen_task_enter(gen_task_t *self, gen_state_t state)
{
    if (rl_log_enabled(RL_LOG_DEBUG))
        rl_log(RL_LOG_DEBUG, self->request, "%s -> %s", state_names[self->state],
               state_names[state]);
    gen_state_t before = self->state;
    self->state = state;
    self->at_us[state] = rl_now_us();
    gen_tasks_moved(self->generator->tasks, self, before);
}

// Lets go of everything but what is still to be acknowledged.
static void stop_work(gen_task_t *self)
{
    if (self->call)
        self->upstream->type->cancel(&self->call);
    rl_msg_free(&self->generate);
    cite_destroy(&self->cite);
    evtimer_del(&self->deadline);
    evtimer_del(&self->retry);
    self->paused = false;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    gen_task_t *self = arg;
    (void)fd;
    (void)what;
    gen_task_fail(self, 504, "deadline",
                  self->state == GEN_STREAMING
                      ? "the time for this answer ran out while it was being written"
                      : "the time for this answer ran out before its first word",
                  false, -1);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ask(arg);
}

gen_task_t *gen_task_new(generator_t *generator, gen_gateway_t *gateway, rl_msg_t *generate)
{
    const rl_generate_t *task = &generate->generate;
    gen_task_t *self = calloc(1, sizeof *self);
    struct event_base *base = rl_proc_base(generator->proc);
    if (!self || !(self->request = strdup(task->request)))
        abort();
    self->generator = generator;
    self->gateway = gateway;
    self->route = task->route;
    self->id = task->task;
    self->generate = generate;
    self->at_us[GEN_RECEIVED] = rl_now_us();
    outbox_init(&self->outbox, task->task, task->window);
    evtimer_assign(&self->deadline, base, on_deadline, self);
    evtimer_assign(&self->retry, base, on_retry, self);
    uint64_t ms =
        task->deadline_ms && task->deadline_ms < 86400000 ? task->deadline_ms : NO_DEADLINE_MS;
    struct timeval time = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    self->deadline_us = self->at_us[GEN_RECEIVED] + ms * 1000;
    evtimer_add(&self->deadline, &time);
    return self;
}

void gen_task_destroy(gen_task_t **self_p)
{
    gen_task_t *self = *self_p;
    if (!self)
        return;
    stop_work(self);
    outbox_free(&self->outbox);
    free(self->request);
    free(self);
    *self_p = NULL;
}

void gen_task_cancel(gen_task_t *self)
{
    stop_work(self);
    gen_task_enter(self, GEN_CANCELLED);
}

// ---- what goes to the gateway -----------------------------------------------------------

static void emit(gen_task_t *self, rl_msg_t *msg)
{
    if (outbox_add(&self->outbox, gen_gateway_wire(self->gateway), msg) != 0 &&
        msg->type != RL_FAILED)
        gen_task_fail(self, 502, "answer_too_fast",
                      "more of the answer came at once than the gateway had room for", false, -1);
}

void gen_task_fail(gen_task_t *self, int status, const char *code, const char *message, bool retry,
                   long retry_after_s)
{
    if (self->state >= GEN_DONE)
        return;
    rl_log(RL_LOG_WARN, self->request, "no answer: %s: %s", code, message);
    rl_msg_t msg = {.type = RL_FAILED,
                    .failed = {.worker = rl_proc_id(self->generator->proc),
                               .task = self->id,
                               .status = (uint64_t)status,
                               .code = code,
                               .message = message,
                               .retry_after_s = retry_after_s > 0 ? (uint64_t)retry_after_s : 0,
                               .retry = retry && self->tokens == 0}};
    emit(self, &msg);
    // `message` may belong to the call: it goes last
    stop_work(self);
    gen_task_enter(self, GEN_FAILED);
}

static void tell_data(gen_task_t *self, const char *stage, rl_buf_t *data)
{
    rl_msg_t msg = {.type = RL_PROGRESS,
                    .progress = {.task = self->id, .stage = stage, .data = data->data}};
    if (!data->full)
        emit(self, &msg);
    rl_buf_free(data);
}

void gen_task_tell(gen_task_t *self, const char *stage, const char *message)
{
    rl_buf_t data = rl_buf_make(8192);
    rl_buf_adds(&data, "{\"message\":");
    rl_buf_add_json(&data, message, strlen(message));
    rl_buf_adds(&data, "}");
    tell_data(self, stage, &data);
}

static void emit_cites(gen_task_t *self, const cite_found_t *found, size_t size)
{
    for (size_t at = 0; at < size && self->state == GEN_STREAMING; at++) {
        rl_msg_t msg = {.type = RL_TOKEN,
                        .token = {.task = self->id,
                                  .text = "",
                                  .cite = found[at].passage,
                                  .cite_score = found[at].score}};
        emit(self, &msg);
    }
}

// `text` is valid UTF-8, `size` bytes of it; not always followed by a NUL.
static void emit_text(gen_task_t *self, const char *text, size_t size)
{
    rl_buf_t *scratch = &self->generator->scratch;
    if (size == 0 || self->state != GEN_STREAMING)
        return;
    if (text[size] != '\0') {
        rl_buf_clear(scratch);
        if (rl_buf_add(scratch, text, size) != 0)
            return;
        text = scratch->data;
    }
    rl_msg_t msg = {.type = RL_TOKEN, .token = {.task = self->id, .text = text}};
    emit(self, &msg);
}

// ---- words ------------------------------------------------------------------------------

// Takes from the request what citing needs; the request itself is not needed any more.
static void learn_passages(gen_task_t *self)
{
    if (!self->generate)
        return;
    if (self->cite)
        cite_learn(self->cite, generate_of(self)->passages, self->passages_used);
    rl_msg_free(&self->generate);
}

// The first words: from here on there is no other upstream.
static void begin_streaming(gen_task_t *self, size_t size)
{
    const char *prefix = generate_of(self)->prefix;
    cite_found_t found[CITE_MAX];
    size_t found_size;
    gen_task_enter(self, GEN_STREAMING);
    self->first_token_us = self->at_us[GEN_STREAMING];
    if (self->cite) // the sentence may have begun before the answer was broken off
        cite_take(self->cite, prefix, strlen(prefix), found, &found_size);
    if (size >= LEARN_AT_ONCE || *prefix)
        learn_passages(self);
}

static void say(gen_task_t *self, const char *text, size_t size)
{
    cite_found_t found[CITE_MAX];
    while (size > 0 && self->state == GEN_STREAMING) {
        size_t found_size = 0, part = size;
        if (self->cite)
            part = cite_take(self->cite, text, size, found, &found_size);
        emit_text(self, text, part);
        emit_cites(self, found, found_size);
        text += part;
        size -= part;
    }
}

static void say_repaired(gen_task_t *self, const char *text, size_t size)
{
    size_t repaired_size = 0;
    char *repaired = rl_utf8_repair(text, size, &repaired_size);
    if (repaired)
        say(self, repaired, repaired_size);
    free(repaired);
}

// Text of which the last character may be incomplete: its bytes are held until the rest comes.
static void say_whole(gen_task_t *self, const char *text, size_t size)
{
    size_t whole = rl_utf8_whole(text, size);
    if (rl_utf8_valid(text, whole))
        say(self, text, whole);
    else
        say_repaired(self, text, whole);
    self->held_size = size - whole;
    memcpy(self->held, text + whole, self->held_size);
}

static bool on_text(void *arg, const char *text, size_t size)
{
    gen_task_t *self = arg;
    if (size == 0 || self->state >= GEN_DONE)
        return true;
    if (self->state != GEN_STREAMING)
        begin_streaming(self, size);
    else
        learn_passages(self); // not before the first words were on their way
    self->tokens++;
    if (self->held_size > 0) {
        char *joined = malloc(self->held_size + size + 1);
        if (!joined)
            abort();
        memcpy(joined, self->held, self->held_size);
        memcpy(joined + self->held_size, text, size);
        joined[self->held_size + size] = '\0';
        say_whole(self, joined, self->held_size + size);
        free(joined);
    } else {
        say_whole(self, text, size);
    }
    self->paused = self->state < GEN_DONE &&
                   (outbox_blocked(&self->outbox) || gen_gateway_behind(self->gateway));
    return !self->paused;
}

static void on_cite(void *arg, unsigned passage, double score)
{
    emit_cites(arg, &(cite_found_t){passage, score}, 1);
}

static void on_progress(void *arg, const char *stage, const char *message)
{
    gen_task_tell(arg, stage, message);
}

// ---- the end ----------------------------------------------------------------------------

static void add_mark(rl_buf_t *out, const char *name, uint64_t us)
{
    if (us > 0)
        rl_buf_addf(out, ",\"%s\":%llu", name, (unsigned long long)us);
}

// The marks that proto.h describes.
static void write_timings(const gen_task_t *self, const upstream_end_t *end,
                          const upstream_times_t *times, rl_buf_t *out)
{
    uint64_t from = self->at_us[GEN_RECEIVED], asked = self->at_us[GEN_ASKING] - from;
    rl_buf_addf(out, "{\"queue_us\":%llu", (unsigned long long)(self->at_us[GEN_PROMPTED] - from));
    add_mark(out, "prompt_us", asked);
    if (times->first_byte_us) {
        add_mark(out, "connect_us", asked + times->connect_us);
        add_mark(out, "sent_us", asked + times->sent_us);
        add_mark(out, "first_byte_us", asked + times->first_byte_us);
    }
    add_mark(out, "first_token_us", self->first_token_us ? self->first_token_us - from : 0);
    add_mark(out, "total_us", rl_now_us() - from);
    add_mark(out, "retries", self->retries);
    if (end->cached_tokens >= 0)
        rl_buf_addf(out, ",\"cached_tokens\":%lld", (long long)end->cached_tokens);
    if (end->prefill_ms >= 0)
        rl_buf_addf(out, ",\"prefill_ms\":%.3f", end->prefill_ms);
    rl_buf_adds(out, "}");
}

static void on_done(void *arg, const upstream_end_t *end, const upstream_times_t *times)
{
    gen_task_t *self = arg;
    cite_found_t found[CITE_MAX] = {{0}};
    size_t found_size = 0;
    rl_buf_t timings = rl_buf_make(4096);
    self->call = NULL;
    if (self->state == GEN_STREAMING) {
        learn_passages(self);
        if (self->held_size > 0)
            say_repaired(self, self->held, self->held_size); // its rest never came
        if (self->cite)
            found_size = cite_end(self->cite, found);
        emit_cites(self, found, found_size);
    }
    write_timings(self, end, times, &timings);
    rl_msg_t msg = {
        .type = RL_DONE,
        .done = {.task = self->id,
                 .finish = end->finish,
                 .model = end->model,
                 .upstream = self->upstream->type->name,
                 .prompt_tokens = end->counted ? end->prompt_tokens : self->prompt_tokens,
                 .completion_tokens = end->counted ? end->completion_tokens : self->tokens,
                 .counted = end->counted,
                 .passages_used = self->passages_used,
                 .timings = timings.data}};
    if (self->state < GEN_DONE)
        emit(self, &msg);
    rl_buf_free(&timings);
    if (self->state >= GEN_DONE)
        return; // failed at the last moment
    gen_task_enter(self, GEN_DONE);
    stop_work(self);
}

// Waits as long as the server says, or a second, two, four. False when the deadline does not allow
// it.
static bool try_later(gen_task_t *self, const upstream_failure_t *failure)
{
    char message[160];
    long wait_s = failure->retry_after_s >= 0 ? failure->retry_after_s : 1L << self->retries;
    uint64_t until = rl_now_us() + (uint64_t)wait_s * 1000000;
    if (self->retries == RETRIES_MAX || until + 1000000 > self->deadline_us)
        return false;
    self->retries++;
    snprintf(message, sizeof message, "The language model is busy; asking again in %ld s…", wait_s);
    gen_task_tell(self, "retry", message);
    struct timeval time = {wait_s, wait_s ? 0 : 50000};
    if (self->state < GEN_DONE)
        evtimer_add(&self->retry, &time);
    return true;
}

static bool fall_back(gen_task_t *self, const upstream_failure_t *failure)
{
    generator_t *generator = self->generator;
    if (self->attempt + 1 >= generator->order_size)
        return false;
    rl_log(RL_LOG_WARN, self->request, "falling back: %s", failure->message);
    self->attempt++;
    rl_buf_t data = rl_buf_make(8192);
    rl_buf_adds(&data, "{\"message\":\"The language model does not answer; these are the passages' "
                       "own sentences instead\",\"reason\":");
    rl_buf_add_json(&data, failure->message, strlen(failure->message));
    rl_buf_addf(&data, ",\"code\":\"%s\",\"upstream\":\"%s\"}", failure->code,
                generator->order[self->attempt]->type->name);
    tell_data(self, "fallback", &data);
    if (self->state < GEN_DONE)
        ask(self);
    return true;
}

static void on_failed(void *arg, const upstream_failure_t *failure)
{
    gen_task_t *self = arg;
    upstream_trouble_t trouble = failure->trouble;
    self->call = NULL;
    if (self->state != GEN_STREAMING) {
        if (trouble == UPSTREAM_BUSY && try_later(self, failure))
            return;
        if (trouble != UPSTREAM_MISTAKE && fall_back(self, failure))
            return;
    }
    gen_task_fail(self, failure->status, failure->code, failure->message,
                  trouble == UPSTREAM_BUSY || trouble == UPSTREAM_DOWN, failure->retry_after_s);
}

// ---- asking -----------------------------------------------------------------------------

static const upstream_events_t events = {
    .text = on_text,
    .cite = on_cite,
    .progress = on_progress,
    .done = on_done,
    .failed = on_failed,
};

static void tell_prompted(gen_task_t *self, const prompt_t *prompt)
{
    rl_buf_t data = rl_buf_make(4096);
    size_t passages = prompt->passages_used + prompt->passages_dropped;
    rl_buf_addf(&data, "{\"message\":\"Reading %zu passage%s", prompt->passages_used,
                prompt->passages_used == 1 ? "" : "s");
    if (prompt->passages_dropped > 0)
        rl_buf_addf(&data, " of %zu: the others do not fit into the model's context", passages);
    else if (prompt->shortened)
        rl_buf_adds(&data, ", shortened to fit into the model's context");
    if (prompt->turns_dropped > 0)
        rl_buf_addf(&data, "; %zu earlier turn%s left out", prompt->turns_dropped,
                    prompt->turns_dropped == 1 ? "" : "s");
    rl_buf_addf(&data,
                "…\",\"passages_used\":%zu,\"passages_dropped\":%zu,\"shortened\":%s,"
                "\"turns_dropped\":%zu,\"tokens\":%zu}",
                prompt->passages_used, prompt->passages_dropped,
                prompt->shortened ? "true" : "false", prompt->turns_dropped, prompt->tokens);
    tell_data(self, "prompted", &data);
}

// Returns false when the task has failed over it.
static bool build_prompt(gen_task_t *self, uint64_t max_tokens, prompt_t *prompt)
{
    const generator_t *generator = self->generator;
    size_t context = generator->context_tokens, reserved = max_tokens + MARGIN_TOKENS;
    size_t budget = context > reserved ? context - reserved : 0;
    char message[300];
    if (prompt_build(generator->template, generate_of(self), budget, prompt) == 0)
        return true;
    snprintf(message, sizeof message,
             "the question with its template takes about %zu tokens, and llm.context_tokens (%zu) "
             "leaves %zu beside the answer's %zu (max_tokens)",
             prompt->tokens, context, budget, (size_t)max_tokens);
    prompt_free(prompt);
    gen_task_fail(self, 400, "question_too_long", message, false, -1);
    return false;
}

static void ask(gen_task_t *self)
{
    const generator_t *generator = self->generator;
    const rl_generate_t *generate = generate_of(self);
    if (self->attempt >= generator->order_size)
        self->attempt = 0; // the options were read again
    upstream_t *upstream = self->upstream = generator->order[self->attempt];
    bool model = upstream != generator->extractive;
    uint64_t max_tokens = generator->max_tokens;
    prompt_t prompt = {0};
    if (generate->max_tokens > 0 && generate->max_tokens < max_tokens)
        max_tokens = generate->max_tokens;
    if (self->state != GEN_PROMPTED)
        gen_task_enter(self, GEN_PROMPTED);
    cite_destroy(&self->cite);
    self->passages_used = generate->passages_size;
    if (model) {
        if (!build_prompt(self, max_tokens, &prompt))
            return;
        self->cite = cite_new();
        self->passages_used = prompt.passages_used;
        self->prompt_tokens = prompt.tokens;
        if (self->retries == 0)
            tell_prompted(self, &prompt);
    }
    if (self->state >= GEN_DONE) { // it could not even be told
        prompt_free(&prompt);
        return;
    }
    gen_task_enter(self, GEN_ASKING);
    self->call = upstream->type->start(upstream, &(upstream_ask_t){generate, &prompt, max_tokens},
                                       &events, self);
    prompt_free(&prompt);
    if (!self->call)
        gen_task_fail(self, 503, "out_of_memory", "the generator could not start the request", true,
                      -1);
}

void gen_task_start(gen_task_t *self)
{
    ask(self);
}

void gen_task_resume(gen_task_t *self)
{
    if (!self->paused || outbox_blocked(&self->outbox) || gen_gateway_behind(self->gateway))
        return;
    self->paused = false;
    if (self->call)
        self->upstream->type->resume(self->call);
}

void gen_task_again(gen_task_t *self)
{
    outbox_again(&self->outbox, gen_gateway_wire(self->gateway));
}

void gen_task_credit(gen_task_t *self, const rl_credit_t *credit)
{
    outbox_credit(&self->outbox, gen_gateway_wire(self->gateway), credit);
    if (gen_task_over(self))
        gen_task_cancel(self);
    else
        gen_task_resume(self);
}
