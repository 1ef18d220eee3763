// generation: a generator is chosen and gets the task; its messages are taken in order, as many as
// credit was given for.
#include "generation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "drafts.h"
#include "generation_private.h"
#include "log.h"
#include "lru.h"
#include "mem.h"
#include "probes.h"

enum {
    NO_GENERATOR_MS = 3000, // how long one is waited for when none is there any more
    GAP_AGAIN_US = 100000,  // a gap is asked about at most this often
    UNHEARD_US = 5000000,   // a task of which nothing was heard at all is sent to another generator
    SILENT_US = 1000000,    // a stream silent for so long is asked whether it sent something
};

static generation_t *own_part(request_t *self)
{
    if (self->generation)
        return self->generation;
    generation_t *own = self->generation = rl_new(*own);
    own->request = self;
    own->due = true;
    return own;
}

// ---- the queue ----------------------------------------------------------------------------------

request_t *generation_first_waiting(const pipeline_t *pipeline)
{
    const generation_t *first = TAILQ_FIRST(&pipeline->waiting);
    return first ? first->request : NULL;
}

request_t *generation_next_waiting(const request_t *self)
{
    const generation_t *following = TAILQ_NEXT(self->generation, next);
    return following ? following->request : NULL;
}

static void leave_queue(request_t *self)
{
    generation_t *own = self->generation;
    if (!own->queued)
        return;
    TAILQ_REMOVE(&self->pipeline->waiting, own, next);
    self->pipeline->waiting_size--;
    own->queued = own->alone = false;
    request_set_phase(self, -1, NULL);
}

static void on_no_generator(void *arg)
{
    request_t *self = arg;
    if (registry_has_generator(self->pipeline->registry)) {
        self->generation->alone = false; // one is back, and works for those before this one
        return;
    }
    request_fail(self, 503, "no_generator", 1,
                 "no generator is there any more to write the answer; start ragline-generator and "
                 "check its cluster.gateways");
    request_wake(self);
}

static void join_queue(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    generation_t *own = self->generation;
    bool alone = !registry_has_generator(pipeline->registry);
    if (!own->queued) {
        TAILQ_INSERT_TAIL(&pipeline->waiting, own, next);
        pipeline->waiting_size++;
        own->queued = true;
        request_status(self, "waiting", "Waiting for a free generator…", NULL);
    }
    // called in every turn: the time runs from when the last generator went
    if (alone != own->alone)
        request_set_phase(self, alone ? NO_GENERATOR_MS : -1, on_no_generator);
    own->alone = alone;
}

// ---- choosing -----------------------------------------------------------------------------------

// The generator whose LLM server has read the passages already, if it has a free slot.
static worker_t *find_prefilled(const request_t *self, const worker_t *except)
{
    registry_t *registry = self->pipeline->registry;
    worker_t *worker = self->prefilled_by && !except
                           ? registry_find_generator(registry, self->prefilled_by)
                           : NULL;
    if (worker)
        metrics_count(self->pipeline->metrics, COUNT_PREFILLS_USED, 1);
    return worker;
}

bool generation_choose(request_t *self)
{
    registry_t *registry = self->pipeline->registry;
    generation_t *own = own_part(self);
    const worker_t *except = own->except;
    own->chosen = NULL;
    if (own->due) {
        own->chosen = find_prefilled(self, except);
        if (!own->chosen)
            own->chosen = registry_pick_generator(registry, except);
        if (!own->chosen && except)
            own->chosen = registry_pick_generator(registry, NULL);
        own->except = NULL;
    }
    if (!own->chosen && (own->due || !own->queued))
        join_queue(self);
    own->due = false;
    return own->chosen;
}

bool generation_choose_idle(request_t *self)
{
    worker_t *worker = registry_pick_generator(self->pipeline->registry, NULL);
    if (!worker || worker->outstanding >= (worker->slots + 1) / 2)
        return false;
    own_part(self)->chosen = worker;
    return true;
}

bool generation_choose_prefiller(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    generation_t *own = own_part(self);
    own->chosen = pipeline->settings.prefill ? registry_pick_prefiller(pipeline->registry) : NULL;
    if (!own->chosen)
        self->answer.prefill = "skipped";
    return own->chosen;
}

void generation_look_for(request_t *self, const worker_t *except)
{
    self->generation->due = true;
    self->generation->except = except;
}

void generation_try_again(request_t *self)
{
    self->generation->due = true;
}

// ---- sending ------------------------------------------------------------------------------------

// What is left of the client's limit when an answer is continued; 0: the generator's own.
static uint64_t tokens_left(const request_t *self)
{
    uint64_t limit = self->question->max_tokens;
    return limit > self->tokens ? limit - self->tokens : limit ? 1 : 0;
}

// An LLM server that keeps what it has read answers sooner where it has read the same before: who
// has other rights must not be able to tell.
static void make_salt(const request_t *self, char out[LRU_KEY])
{
    const char *const parts[] = {"prefixes", keys_rights(self->caller)};
    out[0] = '\0';
    if (self->pipeline->settings.part_prefixes && keys_parted(self->caller))
        lru_key(out, parts, 2);
}

// The bytes of a passage in a message, names of fields included.
static size_t passage_size(const rl_passage_t *passage)
{
    return strlen(passage->doc) + strlen(passage->title) + strlen(passage->heading) +
           strlen(passage->source) + strlen(passage->text) + strlen(passage->meta) + 160;
}

// How many of the first passages a message has room for beside `rest` bytes.
static size_t passages_that_fit(const rl_generate_t *task, size_t rest)
{
    size_t size = 0, bytes = rest;
    while (size < task->passages_size &&
           (bytes += passage_size(&task->passages[size])) <= RL_MAX_FRAME)
        size++;
    return size;
}

// The largest message that can be sent: the last passages are left out where all are too many.
static int send_fitting(request_t *self, rl_wire_t *wire, rl_msg_t *msg)
{
    enum {
        REST = 256 << 10 // for question, turns and all else, tried first
    };
    rl_generate_t *task = &msg->generate;
    size_t all = task->passages_size;
    int rc = rl_wire_send(wire, msg);
    while (rc == RL_MSG_TOO_LARGE && task->passages_size > 0) {
        size_t fitting = passages_that_fit(task, REST);
        task->passages_size = fitting < task->passages_size
                                  ? fitting
                                  : task->passages_size - task->passages_size / 8 - 1;
        rc = rl_wire_send(wire, msg);
    }
    self->generation->left_out = rc == 0 ? all - task->passages_size : 0;
    return rc;
}

static int send_task(request_t *self, const task_t *task, const char *salt)
{
    const pipeline_t *pipeline = self->pipeline;
    const question_t *question = self->question;
    const answer_t *answer = &self->answer;
    trace_headers_t trace =
        otlp_headers(pipeline->otlp, self->timeline, TRACE_CHAT, self->generation->tries);
    // merge gives the passages in one row
    rl_passage_t *passages =
        answer->passages_size ? (rl_passage_t *)answer->passages[0].passage : NULL;
    rl_msg_t msg = {.type = RL_GENERATE,
                    .generate = {.gateway = rl_proc_id(pipeline->proc),
                                 .route = task->worker->route,
                                 .task = task->id,
                                 .request = self->id,
                                 .traceparent = trace.parent,
                                 .tracestate = trace.state,
                                 .question = question->text,
                                 .turns = question->turns,
                                 .turns_size = question->turns_size,
                                 .passages = passages,
                                 .passages_size = answer->passages_size,
                                 .params = question->params,
                                 .prefix = answer->text.data,
                                 .max_tokens = tokens_left(self),
                                 .deadline_ms = request_time_left_ms(self),
                                 .target_first_token_ms = (uint64_t)question->target_first_token_ms,
                                 .window = pipeline->settings.window,
                                 .prefill = task->kind == TASK_PREFILL,
                                 .salt = salt}};
    RL_PROBE_GENERATION_SENT(self->id, task->id, task->worker->id, answer->passages_size);
    return send_fitting(self, task->worker->push, &msg);
}

static void report_left_out(request_t *self)
{
    size_t left_out = self->generation->left_out;
    char text[160];
    snprintf(text, sizeof text,
             "The last %zu of %zu passages are not used: they are too long for one question; ask "
             "for fewer (k).",
             left_out, self->answer.passages_size);
    rl_log(RL_LOG_WARN, self->id, "%s", text);
    request_note_left_out(self, left_out, text);
}

// It is not for want of a generator, and another one would not help.
static void refuse_task(request_t *self)
{
    if (self->question->form == FORM_DRAFT)
        return; // is skipped
    request_fail(self, 413, "question_too_large", 0, "the question cannot be sent: %s",
                 rl_wire_refusal());
}

static bool send_to(request_t *self, worker_t *worker, task_kind_t kind)
{
    pipeline_t *pipeline = self->pipeline;
    generation_t *own = self->generation;
    char salt[LRU_KEY];
    task_t *task = tasks_begin(pipeline->tasks, kind, worker, self, 0);
    if (!task)
        return false;
    make_salt(self, salt);
    uint64_t now = rl_now_us(); // before: the generator may be at work before the call returns
    int rc = send_task(self, task, salt);
    if (rc != 0) {
        tasks_end(pipeline->tasks, &task);
        own->unsent = true;
        own->except = worker; // when it is tried again
        if (rc != RL_WIRE_NO_ROOM)
            refuse_task(self);
        return false;
    }
    own->unsent = false;
    own->task = task;
    own->seq = 0;
    own->granted = pipeline->settings.window;
    own->tries++;
    own->heard = own->lost = false;
    task->sent_us = own->sent_us = own->heard_us = now;
    free(own->worker);
    own->worker = rl_strdup(worker->id);
    leave_queue(self);
    if (own->left_out > 0)
        report_left_out(self);
    return true;
}

bool generation_is_unsent(const request_t *self)
{
    return self->generation->unsent;
}

bool generation_send(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    bool draft = self->question->form == FORM_DRAFT;
    worker_t *worker = self->generation->chosen;
    self->generation->chosen = NULL;
    bool sent = send_to(self, worker, draft ? TASK_PREFILL : TASK_GENERATION);
    if (draft && sent) {
        metrics_count(pipeline->metrics, COUNT_PREFILLS, 1);
        drafts_prefilled_by(pipeline->drafts, self->caller, self->question->draft, worker->id);
    } else if (draft) {
        self->answer.prefill = "skipped";
    }
    return sent;
}

bool generation_is_sent(const request_t *self)
{
    return !self->generation->chosen;
}

// ---- credit, order ------------------------------------------------------------------------------

static void send_credit(request_t *self, bool again)
{
    generation_t *own = self->generation;
    if (!own->task)
        return;
    uint64_t window = own->paused ? 0 : self->pipeline->settings.window;
    rl_msg_t msg = {.type = RL_CREDIT,
                    .credit = {.task = own->task->id,
                               .route = own->task->worker->route,
                               .seq = own->seq,
                               .window = window,
                               .again = again}};
    if (rl_wire_send(own->task->worker->push, &msg) == 0 && own->seq + window > own->granted)
        own->granted = own->seq + window;
}

void generation_grant(request_t *self)
{
    const settings_t *settings = &self->pipeline->settings;
    generation_t *own = self->generation;
    if (own->granted > own->seq + settings->window / 2)
        return;
    own->paused = response_backlog(self->response) > settings->client_buffer / 2;
    if (!own->paused)
        send_credit(self, false);
}

void generation_resume(request_t *self)
{
    if (!self->generation || !self->generation->paused)
        return;
    self->generation->paused = false;
    send_credit(self, false);
}

bool generation_take_number(request_t *self, uint64_t seq)
{
    generation_t *own = self->generation;
    if (seq == own->seq + 1) {
        own->seq = seq;
        return true;
    }
    uint64_t now = rl_now_us();
    if (seq > own->seq && now - own->gap_us > GAP_AGAIN_US) {
        metrics_count(self->pipeline->metrics, COUNT_GAPS, 1);
        rl_log(RL_LOG_WARN, self->id, "gap in the tokens: %llu came after %llu; asked again",
               (unsigned long long)seq, (unsigned long long)own->seq);
        own->gap_us = now;
        send_credit(self, true);
    }
    return false;
}

void generation_hear(request_t *self)
{
    generation_t *own = self->generation;
    own->heard = true;
    own->heard_us = own->task->worker->seen_us; // just now
}

// A generator says at once what it does with a task. One that has said nothing after so long never
// got it (it was between two gateways, say): the task goes to another.
bool generation_look_silent(request_t *self, uint64_t now)
{
    generation_t *own = self->generation;
    if (!own || !own->task || own->paused || now - own->heard_us < SILENT_US)
        return false;
    if (!own->heard && now - own->sent_us > UNHEARD_US)
        return true;
    own->heard_us = now;
    send_credit(self, true);
    return false;
}

// ---- the end of a task --------------------------------------------------------------------------

static void forget_task(request_t *self)
{
    tasks_end(self->pipeline->tasks, &self->generation->task);
    if (self->pipeline->waiting_size > 0)
        rl_proc_request_turn(self->pipeline->proc); // a slot is free: looked at when the turn ends
}

void generation_end_task(request_t *self)
{
    send_credit(self, false);
    forget_task(self);
}

static void cancel_task(request_t *self)
{
    const task_t *task = self->generation->task;
    if (!task)
        return;
    rl_msg_t msg = {.type = RL_CANCEL, .cancel = {.task = task->id, .route = task->worker->route}};
    rl_wire_send(task->worker->push, &msg);
    forget_task(self);
}

void generation_lose(task_t *task)
{
    request_t *self = task->request;
    generation_t *own = self->generation;
    RL_PROBE_GENERATION_FAILED(self->id, task->id, task->worker->id, rl_now_us() - task->sent_us,
                               "worker_lost");
    own->lost = true;
    own->except = task->worker;
    tasks_end(self->pipeline->tasks, &own->task);
}

bool generation_is_lost(const request_t *self)
{
    return self->generation->lost;
}

void generation_abandon(request_t *self)
{
    self->generation->lost = false;
    self->generation->except = NULL;
}

void generation_restart(request_t *self)
{
    self->generation->tries = 0;
    cancel_task(self);
}

void generation_end(request_t *self)
{
    generation_t *own = self->generation;
    if (!own)
        return;
    cancel_task(self);
    leave_queue(self);
    free(own->worker);
    free(own);
    self->generation = NULL;
}

// ---- for others ---------------------------------------------------------------------------------

task_t *generation_task(const request_t *self)
{
    return self->generation ? self->generation->task : NULL;
}

const char *generation_model(const request_t *self)
{
    const generation_t *own = self->generation;
    return own && own->task ? own->task->worker->model : "";
}

void generation_dump(const request_t *self, rl_dump_t *dump)
{
    static const generation_t none;
    const generation_t *own = self->generation ? self->generation : &none;
    if (own->task) {
        rl_dump_number(dump, "task", own->task->id);
        rl_dump_text(dump, "generator", own->task->worker->id);
    }
    rl_dump_number(dump, "generators_asked", own->tries);
    rl_dump_number(dump, "tokens", self->tokens);
    rl_dump_number(dump, "seq", own->seq);
    rl_dump_number(dump, "granted", own->granted);
    rl_dump_number(dump, "client_backlog_bytes", response_backlog(self->response));
    rl_dump_flag(dump, "paused_for_client", own->paused);
}
