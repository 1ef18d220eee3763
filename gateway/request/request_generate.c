// request_generate: the generating half of a request: a generator is chosen, its numbered messages
// are taken in order, each once, and what they say goes to the client at once.
#include "request_private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "drafts.h"
#include "log.h"
#include "probes.h"
#include "utf8.h"

enum {
    MAX_PREFIX = 1 << 20,   // bytes of an answer that can be continued (rl_generate_t.prefix)
    MAX_CONTINUATIONS = 16, // of one answer
    MAX_GENERATORS = 3,     // that failed at one question, one after the other
    MAX_LOST = 8,           // generators lost over one question before its first word
    NO_GENERATOR_MS = 3000, // how long one is waited for when none is there any more
    GAP_AGAIN_US = 100000,  // a gap is asked about at most this often
    UNHEARD_US = 5000000,   // a task of which nothing was heard at all is sent to another generator
    SILENT_US = 1000000,    // a stream silent for so long is asked whether it sent something
    MAX_CITATIONS = 4096,
    MAX_SENTENCE = 4096, // bytes that a sentence is looked back for
};

// ---------------------------------------------------------------------------------------- sending

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

bool request_send_generate(request_t *self, worker_t *worker)
{
    pipeline_t *pipeline = self->pipeline;
    const question_t *question = self->question;
    bool prefill = question->form == FORM_DRAFT;
    task_t *task =
        tasks_begin(pipeline->tasks, prefill ? TASK_PREFILL : TASK_GENERATION, worker, self, 0);
    if (!task)
        return false;
    trace_headers_t trace =
        otlp_headers(pipeline->otlp, self->timeline, TRACE_CHAT, self->generator_tries);
    char salt[LRU_KEY];
    make_salt(self, salt);
    // merge gives the passages in one row
    rl_passage_t *passages =
        self->answer.passages_size ? (rl_passage_t *)self->answer.passages[0].passage : NULL;
    rl_msg_t msg = {.type = RL_GENERATE,
                    .generate = {.gateway = rl_proc_id(pipeline->proc),
                                 .route = worker->route,
                                 .task = task->id,
                                 .request = self->id,
                                 .traceparent = trace.parent,
                                 .tracestate = trace.state,
                                 .question = question->text,
                                 .turns = question->turns,
                                 .turns_size = question->turns_size,
                                 .passages = passages,
                                 .passages_size = self->answer.passages_size,
                                 .params = question->params,
                                 .prefix = self->answer.text.data,
                                 .max_tokens = tokens_left(self),
                                 .deadline_ms = request_time_left_ms(self),
                                 .target_first_token_ms = (uint64_t)question->target_first_token_ms,
                                 .window = pipeline->settings.window,
                                 .prefill = prefill,
                                 .salt = salt}};
    RL_PROBE_GENERATION_SENT(self->id, task->id, worker->id, self->answer.passages_size);
    uint64_t now = rl_now_us(); // before: the generator may be at work before the call returns
    if (rl_wire_send(worker->push, &msg) != 0) {
        tasks_end(pipeline->tasks, &task);
        return false;
    }
    self->generation = task;
    self->seq = 0;
    self->granted = pipeline->settings.window;
    self->generator_tries++;
    task->sent_us = self->generate_sent_us = self->heard_us = now;
    free(self->generator);
    self->generator = strdup(worker->id);
    return true;
}

static void leave_queue(request_t *self)
{
    if (!self->queued)
        return;
    TAILQ_REMOVE(&self->pipeline->waiting, self, wait);
    self->pipeline->waiting_size--;
    self->queued = false;
}

static void on_no_generator(evutil_socket_t fd, short what, void *arg)
{
    request_t *self = arg;
    (void)fd;
    (void)what;
    request_fail(self, 503, "no_generator", 1,
                 "no generator is there any more to write the answer; start ragline-generator and "
                 "check its cluster.gateways");
}

static void join_queue(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    bool alone = !registry_has_generator(pipeline->registry);
    if (!self->queued) {
        TAILQ_INSERT_TAIL(&pipeline->waiting, self, wait);
        pipeline->waiting_size++;
        self->queued = true;
        request_status(self, "waiting", "Waiting for a free generator…", NULL);
    }
    // called in every turn: the time runs from when the last generator went
    if (alone != self->alone)
        request_phase_timer(self, alone ? NO_GENERATOR_MS : -1, on_no_generator);
    self->alone = alone;
}

// The generator whose LLM server has read the passages already, if it has a free slot.
static worker_t *preferred(const request_t *self, const worker_t *except)
{
    worker_t *worker = *self->reader && !except
                           ? registry_find_generator(self->pipeline->registry, self->reader)
                           : NULL;
    if (worker)
        metrics_count(self->pipeline->metrics, COUNT_PREFILLS_USED, 1);
    return worker;
}

// One that has failed at it (`except`) is asked again only where there is no other.
static void try_generators(request_t *self, const worker_t *except)
{
    if (self->state != REQUEST_WAITING)
        request_enter(self, REQUEST_WAITING);
    worker_t *worker = preferred(self, except);
    if (!worker)
        worker = registry_pick_generator(self->pipeline->registry, except);
    if (!worker && except)
        worker = registry_pick_generator(self->pipeline->registry, NULL);
    if (worker) // before it is sent: the generator may be at work before the call returns
        request_enter(self, REQUEST_GENERATING);
    if (!worker || !request_send_generate(self, worker)) {
        if (worker)
            request_enter(self, REQUEST_WAITING);
        join_queue(self);
        return;
    }
    leave_queue(self);
    request_phase_timer(self, -1, NULL);
    self->alone = false;
}

void request_generate(request_t *self)
{
    if (self->again.answer) {
        request_again_begin(self);
    } else if (!request_provisional_decide(self)) {
        try_generators(self, NULL);
        request_quick_answer(self); // after the task has been sent: it costs the generator no time
    }
}

void request_prefill(request_t *self)
{
    worker_t *worker =
        self->pipeline->settings.prefill ? registry_pick_prefiller(self->pipeline->registry) : NULL;
    if (worker)
        request_enter(self, REQUEST_GENERATING);
    if (!worker || !request_send_generate(self, worker)) {
        self->answer.prefill = "skipped";
        request_complete(self);
        return;
    }
    metrics_count(self->pipeline->metrics, COUNT_PREFILLS, 1);
    drafts_prefilled_by(self->pipeline->drafts, self->caller, self->question->draft, worker->id);
}

// A prompt has been read ahead, or not: its draft is complete in either case.
static void end_prefill(request_t *self, const char *how)
{
    static const char *const known[] = {"prefilled", "yielded", "skipped"};
    self->answer.prefill = "failed";
    for (size_t at = 0; at < sizeof known / sizeof *known; at++)
        if (strcmp(how, known[at]) == 0)
            self->answer.prefill = known[at];
    request_complete(self);
}

void request_generators_free(pipeline_t *pipeline)
{
    for (request_t *self = TAILQ_FIRST(&pipeline->waiting), *next; self; self = next) {
        next = TAILQ_NEXT(self, wait);
        try_generators(self, NULL);
        if (self->queued && !self->alone)
            return; // no room for the first: none for the others
    }
}

void request_cancel_generation(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    if (!self->generation)
        return;
    rl_msg_t msg = {
        .type = RL_CANCEL,
        .cancel = {.task = self->generation->id, .route = self->generation->worker->route}};
    rl_wire_send(self->generation->worker->push, &msg);
    tasks_end(pipeline->tasks, &self->generation);
    if (pipeline->waiting_size > 0)
        rl_proc_request_turn(pipeline->proc); // a slot is free: looked at when the turn ends
}

// ----------------------------------------------------------------------------------- credit, order

static void send_credit(request_t *self, bool again)
{
    if (!self->generation)
        return;
    uint64_t window = self->paused ? 0 : self->pipeline->settings.window;
    rl_msg_t msg = {.type = RL_CREDIT,
                    .credit = {.task = self->generation->id,
                               .route = self->generation->worker->route,
                               .seq = self->seq,
                               .window = window,
                               .again = again}};
    if (rl_wire_send(self->generation->worker->push, &msg) == 0 &&
        self->seq + window > self->granted)
        self->granted = self->seq + window;
}

// Grants more when half of the window is used, unless the client is behind.
static void grant(request_t *self)
{
    const settings_t *settings = &self->pipeline->settings;
    if (self->granted > self->seq + settings->window / 2)
        return;
    self->paused = response_backlog(self->face) > settings->client_buffer / 2;
    if (!self->paused)
        send_credit(self, false);
}

void request_client_caught_up(request_t *self)
{
    if (!self->paused)
        return;
    self->paused = false;
    if (self->again.answer)
        request_again_later(self); // the call comes from where its output is written
    else
        send_credit(self, false);
}

// Whether this is the next message of the stream. Doubles are dropped, a gap is asked about and
// what came behind it is dropped too: it comes again.
static bool take_number(request_t *self, uint64_t seq)
{
    uint64_t now = rl_now_us();
    self->heard_us = now;
    if (seq == self->seq + 1) {
        self->seq = seq;
        return true;
    }
    if (seq > self->seq && now - self->gap_us > GAP_AGAIN_US) {
        metrics_count(self->pipeline->metrics, COUNT_GAPS, 1);
        rl_log(RL_LOG_WARN, self->id, "gap in the tokens: %llu came after %llu; asked again",
               (unsigned long long)seq, (unsigned long long)self->seq);
        self->gap_us = now;
        send_credit(self, true);
    }
    return false;
}

// A generator says at once what it does with a task. One that has said nothing after so long never
// got it (it was between two gateways, say): the task goes to another.
static bool never_arrived(const request_t *self, uint64_t now)
{
    return self->seq == 0 && self->provisional.held_size == 0 &&
           now - self->generate_sent_us > UNHEARD_US;
}

void request_look_after_silent(pipeline_t *pipeline)
{
    uint64_t now = rl_now_us();
    for (request_t *self = TAILQ_FIRST(&pipeline->requests), *next; self; self = next) {
        next = TAILQ_NEXT(self, all);
        if (!self->generation || self->paused || now - self->heard_us < SILENT_US)
            continue;
        if (never_arrived(self, now)) {
            request_task_lost(self->generation);
            continue;
        }
        self->heard_us = now;
        send_credit(self, true);
    }
}

// ---------------------------------------------------------------------------------------- messages

// One LLM server has failed, another one answers.
static void count_fallback(request_t *self, const char *code)
{
    metrics_count(self->pipeline->metrics, COUNT_FALLBACKS, 1);
    metrics_count_failure(self->pipeline->metrics, FAILURE_UPSTREAM, code ? code : "");
}

void request_progress(task_t *task, const rl_progress_t *progress)
{
    request_t *self = task->request;
    if (!take_number(self, progress->seq))
        return;
    json_t *detail = json_loads(progress->data, 0, NULL);
    const char *message = json_string_value(json_object_get(detail, "message"));
    if (strcmp(progress->stage, "fallback") == 0)
        count_fallback(self, json_string_value(json_object_get(detail, "code")));
    if (strcmp(progress->stage, "retry") == 0) // of the same LLM server, which said "later"
        metrics_count_failure(self->pipeline->metrics, FAILURE_UPSTREAM, "llm_busy");
    request_status(self, progress->stage, message ? message : progress->stage,
                   json_is_object(detail) ? detail : NULL);
    json_decref(detail);
    grant(self);
}

// Goes back over what may stand between a sentence's stop and the next one: white space, closing
// marks, and numbers in brackets that the model wrote itself.
static size_t before_marks(const char *text, size_t at)
{
    for (;;) {
        size_t from = at;
        while (at > 0 && strchr(" \t\n\"')*_", text[at - 1]))
            at--;
        if (at > 0 && text[at - 1] == ']') {
            size_t open = at - 1;
            while (open > 0 && strchr("0123456789, ", text[open - 1]))
                open--;
            if (open > 0 && open < at - 1 && text[open - 1] == '[')
                at = open - 1;
        }
        if (at == from)
            return at;
    }
}

// Where the sentence that has just ended begins, in code points; not before the one cited last.
static uint64_t sentence_start(const request_t *self)
{
    const answer_t *answer = &self->answer;
    const answer_citation_t *last =
        answer->citations_size > 0 ? &answer->citations[answer->citations_size - 1] : NULL;
    if (last && last->end == self->text_length)
        return last->start; // the same sentence, from one more passage
    uint64_t least = last ? last->end : 0, start = self->text_length;
    const char *text = answer->text.data;
    size_t size = answer->text.size, at = size, stop = before_marks(text, size);
    while (stop > 0 && strchr(".!?", text[stop - 1]))
        stop--;
    while (at > 0 && start > least && size - at < MAX_SENTENCE) {
        if (at < stop && isspace((unsigned char)text[at - 1])) {
            size_t before = before_marks(text, at);
            if (text[at - 1] == '\n' || (before > 0 && strchr(".!?", text[before - 1])))
                break;
        }
        at--;
        start -= ((unsigned char)text[at] & 0xc0) != 0x80;
    }
    for (; at < stop && isspace((unsigned char)text[at]); at++)
        start++;
    return start;
}

static void add_citation(request_t *self, const rl_token_t *token)
{
    answer_t *answer = &self->answer;
    if (token->cite > answer->passages_size || answer->citations_size >= MAX_CITATIONS)
        return;
    uint64_t start = sentence_start(self);
    answer_citation_t *citations =
        realloc(answer->citations, (answer->citations_size + 1) * sizeof *citations);
    if (!citations)
        abort();
    answer->citations = citations;
    answer_citation_t *citation = &citations[answer->citations_size++];
    *citation = (answer_citation_t){.passage = token->cite,
                                    .start = start,
                                    .end = self->text_length,
                                    .score = token->cite_score};
    self->face->ops->cite(self->face, citation);
}

static void first_token(request_t *self)
{
    request_enter(self, REQUEST_STREAMING);
    timeline_t *timeline = self->timeline;
    if (!timeline->first_token_us) // else it goes on where another generator was lost
        timeline->first_token_us = timeline->steps[timeline->steps_size - 1].start_us;
    RL_PROBE_FIRST_TOKEN(self->id, self->generation->id, rl_now_us() - self->received_us);
}

void request_token(task_t *task, const rl_token_t *token)
{
    request_t *self = task->request;
    if (!take_number(self, token->seq))
        return;
    size_t size = strlen(token->text);
    if (size > 0) {
        if (self->state == REQUEST_GENERATING)
            first_token(self);
        if (rl_buf_add(&self->answer.text, token->text, size) != 0) {
            request_fail(self, 502, "answer_too_long", 0,
                         "the answer grew past %zu bytes and was stopped", self->answer.text.max);
            return;
        }
        self->text_length += rl_utf8_length(token->text, size);
        request_again_note(self);
        metrics_count(self->pipeline->metrics, COUNT_TOKENS, 1);
        self->tokens++;
        self->face->ops->token(self->face, token->text, size);
    }
    if (token->cite > 0)
        add_citation(self, token);
    grant(self);
}

// The generator may forget what it kept to send again.
static void end_generation(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    send_credit(self, false);
    tasks_end(pipeline->tasks, &self->generation);
    if (pipeline->waiting_size > 0)
        rl_proc_request_turn(pipeline->proc);
}

void request_done(task_t *task, const rl_done_t *done)
{
    request_t *self = task->request;
    if (!take_number(self, done->seq))
        return;
    answer_t *answer = &self->answer;
    latency_add(&task->worker->latency, rl_now_us() - task->sent_us);
    end_generation(self);
    answer->finish = strdup(done->finish);
    answer->model = strdup(done->model);
    answer->upstream = strdup(done->upstream);
    answer->prompt_tokens = done->prompt_tokens;
    answer->completion_tokens = self->tokens_before + done->completion_tokens;
    answer->passages_used = done->passages_used;
    if (!answer->finish || !answer->model || !answer->upstream)
        abort();
    request_note_generation(self, done);
    request_again_keep(self, done->fingerprint);
    if (self->question->form == FORM_DRAFT)
        end_prefill(self, done->finish);
    else
        request_complete(self);
}

// Whether another generator should go on with an answer that broke off: where the client asked for
// it, and the fault is one that another may not have.
static bool may_continue(const request_t *self, const rl_failed_t *failed, bool lost)
{
    if (!self->question->continuation || self->continuations >= MAX_CONTINUATIONS ||
        self->answer.text.size > MAX_PREFIX)
        return false;
    return lost || (failed->status >= 500 && strcmp(failed->code, "deadline") != 0);
}

// Before the first word another generator may try it. That generators are lost is seldom the
// question's doing, but where it is, it must not take down one after the other.
static bool may_try_again(const request_t *self, const rl_failed_t *failed, bool lost)
{
    if (lost)
        return self->generators_lost < MAX_LOST;
    return failed->retry && self->generator_tries - self->generators_lost < MAX_GENERATORS;
}

void request_generate_failed(task_t *task, const rl_failed_t *failed)
{
    request_t *self = task->request;
    // A worker that is lost has no number to say it with.
    if (request_provisional_failed(self))
        return;
    if (failed->seq > 0 && !take_number(self, failed->seq))
        return;
    pipeline_t *pipeline = self->pipeline;
    const worker_t *worker = task->worker;
    bool lost = strcmp(failed->code, "worker_lost") == 0;
    RL_PROBE_GENERATION_FAILED(self->id, task->id, worker->id, rl_now_us() - task->sent_us,
                               failed->code);
    request_note_lost_generation(self);
    metrics_count_failure(pipeline->metrics, FAILURE_GENERATOR, failed->code);
    if (strncmp(failed->code, "llm_", 4) == 0)
        metrics_count_failure(pipeline->metrics, FAILURE_UPSTREAM, failed->code);
    if (lost) {
        tasks_end(pipeline->tasks, &self->generation);
        self->generators_lost++;
    } else {
        end_generation(self);
    }
    if (self->question->form == FORM_DRAFT) {
        end_prefill(self, "failed");
        return;
    }
    if (self->timeline->first_token_us && may_continue(self, failed, lost)) {
        metrics_count(pipeline->metrics, COUNT_RETRIES, 1);
        self->continuations++;
        self->timeline->continuations++;
        self->tokens_before = self->tokens;
        try_generators(self, lost ? NULL : worker);
    } else if (self->timeline->first_token_us) {
        request_fail(self, 502, lost ? "generator_lost" : failed->code, 0,
                     "the answer broke off after %zu characters: %s", self->text_length,
                     lost ? "its generator was lost" : failed->message);
    } else if (may_try_again(self, failed, lost)) {
        metrics_count(pipeline->metrics, COUNT_RETRIES, 1);
        self->timeline->retries++;
        try_generators(self, worker);
    } else {
        long status = failed->status >= 400 && failed->status < 600 ? (long)failed->status : 502;
        request_fail(self, (int)status, failed->code, (long)failed->retry_after_s, "%s",
                     lost ? "the generator was lost, and others before it" : failed->message);
    }
}
