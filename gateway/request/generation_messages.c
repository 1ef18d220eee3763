// generation_messages: what a generator says: progress, tokens, done or failed.
#include "generation.h"

#include <string.h>

#include "cached_reply.h"
#include "citations.h"
#include "clock.h"
#include "generation_private.h"
#include "mem.h"
#include "probes.h"
#include "utf8.h"

enum {
    MAX_PREFIX = 1 << 20,   // bytes of an answer that can be continued (rl_generate_t.prefix)
    MAX_CONTINUATIONS = 16, // of one answer
    MAX_GENERATORS = 3,     // that failed at one question, one after the other
    MAX_LOST = 8,           // generators lost over one question before its first word
};

void generation_receive(request_t *self, const rl_msg_t *msg)
{
    self->generation->incoming = msg;
}

const rl_msg_t *generation_incoming(const request_t *self)
{
    return self->generation->incoming;
}

void generation_drop_incoming(request_t *self)
{
    self->generation->incoming = NULL;
}

bool generation_is_first_word(const request_t *self, const rl_msg_t *msg)
{
    return self->state == REQUEST_GENERATING && msg->type == RL_TOKEN && *msg->token.text &&
           msg->token.seq == self->generation->seq + 1;
}

// ---- progress, tokens ---------------------------------------------------------------------------

// One LLM server has failed, another one answers.
static void count_fallback(request_t *self, const char *code)
{
    metrics_count(self->pipeline->metrics, COUNT_FALLBACKS, 1);
    metrics_count_failure(self->pipeline->metrics, FAILURE_UPSTREAM, code ? code : "");
}

static request_state_t take_progress(request_t *self, const rl_progress_t *progress)
{
    json_t *detail = json_loads(progress->data, 0, NULL);
    const char *message = json_string_value(json_object_get(detail, "message"));
    if (strcmp(progress->stage, "fallback") == 0)
        count_fallback(self, json_string_value(json_object_get(detail, "code")));
    if (strcmp(progress->stage, "retry") == 0) // of the same LLM server, which said "later"
        metrics_count_failure(self->pipeline->metrics, FAILURE_UPSTREAM, "llm_busy");
    request_status(self, progress->stage, message ? message : progress->stage,
                   json_is_object(detail) ? detail : NULL);
    json_decref(detail);
    generation_grant(self);
    return self->state;
}

// Of this generator; the answer's, unless it goes on where another generator was lost.
static void note_first_word(request_t *self)
{
    timeline_t *timeline = self->timeline;
    if (!timeline->first_token_us)
        timeline->first_token_us = timeline->steps[timeline->steps_size - 1].start_us;
    RL_PROBE_FIRST_TOKEN(self->id, self->generation->task->id, rl_now_us() - self->received_us);
}

static request_state_t take_token(request_t *self, const rl_token_t *token)
{
    size_t size = strlen(token->text);
    if (size > 0) {
        if (self->tokens == self->generation->tokens_before)
            note_first_word(self);
        if (rl_buf_add(&self->answer.text, token->text, size) != 0)
            return request_fail(self, 502, "answer_too_long", 0,
                                "the answer grew past %zu bytes and was stopped",
                                self->answer.text.max);
        self->text_length += rl_utf8_length(token->text, size);
        cached_reply_note(self);
        metrics_count(self->pipeline->metrics, COUNT_TOKENS, 1);
        self->tokens++;
        self->response->ops->token(self->response, token->text, size);
    }
    if (token->cite > 0)
        citations_add(self, token);
    generation_grant(self);
    return self->state;
}

// ---- the end ------------------------------------------------------------------------------------

// A prompt has been read ahead, or not: its draft is complete in either case.
static void note_prefill(request_t *self, const char *how)
{
    static const char *const known[] = {"prefilled", "yielded", "skipped"};
    self->answer.prefill = "failed";
    for (size_t at = 0; at < sizeof known / sizeof *known; at++)
        if (strcmp(how, known[at]) == 0)
            self->answer.prefill = known[at];
}

// OpenAI's clients know these reasons alone; a generator of another version may send others.
static const char *known_finish(const char *said)
{
    static const char *const known[] = {"stop", "length", "content_filter", "tool_calls",
                                        "function_call"};
    for (size_t at = 0; at < sizeof known / sizeof *known; at++)
        if (strcmp(said, known[at]) == 0)
            return said;
    return "stop";
}

static request_state_t take_done(request_t *self, const rl_done_t *done)
{
    answer_t *answer = &self->answer;
    const task_t *task = self->generation->task;
    latency_add(&task->worker->latency, rl_now_us() - task->sent_us);
    generation_end_task(self);
    answer->finish = rl_strdup(known_finish(done->finish));
    answer->model = rl_strdup(done->model);
    answer->upstream = rl_strdup(done->upstream);
    answer->prompt_tokens = done->prompt_tokens;
    answer->completion_tokens = self->generation->tokens_before + done->completion_tokens;
    answer->passages_used = done->passages_used;
    generation_note_timings(self, done);
    cached_reply_keep(self, done->fingerprint);
    if (self->question->form == FORM_DRAFT)
        note_prefill(self, done->finish);
    return REQUEST_DONE;
}

// Whether another generator should go on with an answer that broke off: where the client asked for
// it, and the fault is one that another may not have.
static bool may_continue(const request_t *self, const rl_failed_t *failed, bool lost)
{
    if (!self->question->continuation || self->timeline->continuations >= MAX_CONTINUATIONS ||
        self->answer.text.size > MAX_PREFIX)
        return false;
    return lost || (failed->status >= 500 && strcmp(failed->code, "deadline") != 0);
}

// Before the first word another generator may try it. That generators are lost is seldom the
// question's doing, but where it is, it must not take down one after the other.
static bool may_try_again(const request_t *self, const rl_failed_t *failed, bool lost)
{
    const generation_t *own = self->generation;
    if (lost)
        return own->losses < MAX_LOST;
    return failed->retry && own->tries - own->losses < MAX_GENERATORS;
}

// The task has ended without an answer, or with a part of one: another generator, or the end.
static request_state_t go_elsewhere(request_t *self, const rl_failed_t *failed,
                                    const worker_t *worker, bool lost)
{
    pipeline_t *pipeline = self->pipeline;
    timeline_t *timeline = self->timeline;
    generation_note_loss(self);
    metrics_count_failure(pipeline->metrics, FAILURE_GENERATOR, failed->code);
    if (self->question->form == FORM_DRAFT) {
        note_prefill(self, "failed");
        return REQUEST_DONE;
    }
    if (timeline->first_token_us && may_continue(self, failed, lost)) {
        metrics_count(pipeline->metrics, COUNT_RETRIES, 1);
        timeline->continuations++;
        self->generation->tokens_before = self->tokens;
        generation_look_for(self, lost ? NULL : worker);
        return REQUEST_WAITING;
    }
    if (timeline->first_token_us)
        return request_fail(self, 502, lost ? "generator_lost" : failed->code, 0,
                            "the answer broke off after %zu characters: %s", self->text_length,
                            lost ? "its generator was lost" : failed->message);
    if (may_try_again(self, failed, lost)) {
        metrics_count(pipeline->metrics, COUNT_RETRIES, 1);
        timeline->retries++;
        generation_look_for(self, worker);
        return REQUEST_WAITING;
    }
    long status = failed->status >= 400 && failed->status < 600 ? (long)failed->status : 502;
    return request_fail(self, (int)status, failed->code, (long)failed->retry_after_s, "%s",
                        lost ? "the generator was lost, and others before it" : failed->message);
}

static request_state_t take_failure(request_t *self, const rl_failed_t *failed)
{
    const task_t *task = self->generation->task;
    const worker_t *worker = task->worker;
    RL_PROBE_GENERATION_FAILED(self->id, task->id, worker->id, rl_now_us() - task->sent_us,
                               failed->code);
    if (strncmp(failed->code, "llm_", 4) == 0)
        metrics_count_failure(self->pipeline->metrics, FAILURE_UPSTREAM, failed->code);
    generation_end_task(self);
    return go_elsewhere(self, failed, worker, false);
}

request_state_t generation_take_loss(request_t *self)
{
    static const rl_failed_t failed = {
        .code = "worker_lost", .message = "the worker is gone", .status = 503, .retry = true};
    generation_t *own = self->generation;
    own->lost = false;
    own->losses++;
    return go_elsewhere(self, &failed, own->except, true);
}

request_state_t generation_take(request_t *self, const rl_msg_t *msg)
{
    switch (msg->type) {
    case RL_PROGRESS:
        return generation_take_number(self, msg->progress.seq) ? take_progress(self, &msg->progress)
                                                               : self->state;
    case RL_TOKEN:
        return generation_take_number(self, msg->token.seq) ? take_token(self, &msg->token)
                                                            : self->state;
    case RL_DONE:
        return generation_take_number(self, msg->done.seq) ? take_done(self, &msg->done)
                                                           : self->state;
    default: // a failure may come without a number
        return msg->failed.seq == 0 || generation_take_number(self, msg->failed.seq)
                   ? take_failure(self, &msg->failed)
                   : self->state;
    }
}
