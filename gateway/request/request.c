// request: its birth, its states, its end.
#include "request_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "drafts.h"
#include "filters.h"
#include "live.h"
#include "log.h"
#include "probes.h"
#include "traces.h"
#include "utf8.h"

enum {
    ANSWER_MAX_BYTES = 8 << 20
};

void request_enter(request_t *self, request_state_t state)
{
    uint64_t now = rl_now_us();
    if (rl_log_enabled(RL_LOG_DEBUG))
        rl_log(RL_LOG_DEBUG, self->id, "%s → %s after %.3f ms", request_state_names[self->state],
               request_state_names[state], (double)(now - self->received_us) / 1000);
    RL_PROBE_REQUEST_STATE(self->id, request_state_names[self->state], request_state_names[state],
                           now - self->received_us);
    self->state = state;
    timeline_enter(self->timeline, state, now);
}

// The answer has ended: everybody who looks at ended answers is told.
static void tell(request_t *self)
{
    RL_PROBE_REQUEST_DONE(self->id, request_state_names[self->state], self->timeline->end_us,
                          self->tokens);
    if (self->question->form != FORM_DRAFT) { // nobody waits for a draft
        metrics_answer(self->pipeline->metrics, self->timeline);
        live_answer(self->pipeline->live, self->timeline);
    }
    otlp_answer(self->pipeline->otlp, self->timeline);
    traces_keep(self->pipeline->traces, &self->timeline);
}

// Nothing will be added to the timeline.
static void close_timeline(request_t *self)
{
    request_note_searches(self);
    self->timeline->tokens = self->tokens;
    self->timeline->client_us = response_blocked_us(self->face);
    self->answer.timeline = self->timeline;
}

static void stop_timers(request_t *self)
{
    if (self->timer)
        event_free(self->timer);
    if (self->phase)
        event_free(self->phase);
    if (self->hedge_timer)
        event_free(self->hedge_timer);
    self->timer = self->phase = self->hedge_timer = NULL;
}

static void destroy(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    stop_timers(self);
    request_unshare(self);
    if (self->drafting)
        drafts_end(pipeline->drafts, self->caller, self->question->draft, self);
    request_cancel_searches(self);
    request_cancel_generation(self);
    followup_cancel(&self->rewrite);
    if (self->queued) {
        TAILQ_REMOVE(&pipeline->waiting, self, wait);
        pipeline->waiting_size--;
    }
    TAILQ_REMOVE(&pipeline->requests, self, all);
    pipeline->in_flight--;
    response_destroy(&self->face);
    keys_unref(&self->caller);
    question_destroy(&self->question);
    request_forget_searches(self);
    request_provisional_end(self);
    request_again_end(self);
    request_progressive_end(self);
    passage_set_unref(&self->hits);
    free(self->missing);
    free(self->search_text);
    free(self->vector);
    free(self->generator);
    rl_buf_free(&self->answer.text);
    free(self->answer.citations);
    free(self->answer.finish);
    free(self->answer.model);
    free(self->answer.upstream);
    timeline_destroy(&self->timeline);
    free(self);
}

void request_fail(request_t *self, int status, const char *code, long retry_after_s,
                  const char *format, ...)
{
    char message[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    rl_log(RL_LOG_WARN, self->id, "failed while %s: %s: %s", request_state_names[self->state], code,
           message);
    request_enter(self, REQUEST_FAILED);
    answer_error_t error = {
        .status = status, .code = code, .message = message, .retry_after_s = retry_after_s};
    self->timeline->error = timeline_text(self->timeline, code);
    close_timeline(self);
    self->face->ops->error(self->face, &self->answer, &error);
    tell(self);
    destroy(self);
}

void request_complete(request_t *self)
{
    request_enter(self, REQUEST_DONE);
    close_timeline(self);
    self->face->ops->done(self->face, &self->answer);
    tell(self);
    destroy(self);
}

void request_status(request_t *self, const char *state, const char *message, const json_t *detail)
{
    self->face->ops->status(self->face, state, message, detail);
    if (self->shown)
        return;
    self->shown = true;
    self->timeline->first_status_us = timeline_at(self->timeline, rl_now_us());
}

uint64_t request_time_left_ms(const request_t *self)
{
    long limit = self->question->timeout_ms ? self->question->timeout_ms
                                            : self->pipeline->settings.timeout_ms;
    uint64_t used = (rl_now_us() - self->received_us) / 1000;
    return used < (uint64_t)limit ? (uint64_t)limit - used : 1;
}

static void set_timer(request_t *self, struct event **timer, long ms, event_callback_fn fn)
{
    if (*timer)
        event_free(*timer);
    *timer = NULL;
    if (ms < 0)
        return;
    struct timeval wait = {ms / 1000, ms % 1000 * 1000};
    *timer = event_new(rl_proc_base(self->pipeline->proc), -1, 0, fn, self);
    if (!*timer || event_add(*timer, &wait) != 0)
        abort();
}

void request_phase_timer(request_t *self, long ms, event_callback_fn fn)
{
    set_timer(self, &self->phase, ms, fn);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    request_t *self = arg;
    (void)fd;
    (void)what;
    request_fail(self, 504, "timeout", 0,
                 "the answer was not complete within %ld ms (gateway.timeout_ms, timeout_ms); it "
                 "was %s then",
                 self->question->timeout_ms ? self->question->timeout_ms
                                            : self->pipeline->settings.timeout_ms,
                 request_state_names[self->state]);
}

static void on_client_gone(void *arg)
{
    request_t *self = arg;
    request_enter(self, REQUEST_CANCELLED);
    close_timeline(self);
    tell(self);
    destroy(self);
}

static void on_client_drained(void *arg)
{
    request_client_caught_up(arg);
}

// ------------------------------------------------------------------------------------------ birth

static timeline_t *make_timeline(const request_t *self, const http_req_t *req)
{
    static const char *const forms[] = {
        [FORM_ASK] = "ask", [FORM_SEARCH] = "search", [FORM_CHAT] = "chat", [FORM_DRAFT] = "draft"};
    timeline_t *timeline =
        timeline_new(self->id, self->received_us, http_header(req, "traceparent"));
    const char *state = http_header(req, "tracestate");
    if (timeline->parent_id[0] && trace_context_state_ok(state))
        timeline->tracestate = timeline_text(timeline, state);
    timeline->form = forms[self->question->form];
    timeline->caller = timeline_text(timeline, keys_name(http_caller(req)));
    timeline->collection = self->question->collections_size == 1
                               ? timeline_text(timeline, self->question->collections[0])
                               : "several";
    return timeline;
}

static request_t *make(pipeline_t *pipeline, http_req_t **req, question_t *question)
{
    request_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    *self = (request_t){.pipeline = pipeline, .question = question};
    self->received_us = http_received_us(*req);
    snprintf(self->id, sizeof self->id, "%s", http_id(*req));
    self->timeline = make_timeline(self, *req);
    self->answer = (answer_t){
        .id = self->id, .created = (int64_t)time(NULL), .text = rl_buf_make(ANSWER_MAX_BYTES)};
    self->state = REQUEST_RECEIVED;
    TAILQ_INIT(&self->share.followers);
    TAILQ_INSERT_TAIL(&pipeline->requests, self, all);
    pipeline->in_flight++;
    if (question->form != FORM_DRAFT)
        metrics_count(pipeline->metrics, COUNT_QUESTIONS, 1);
    self->caller = keys_ref(http_caller(*req));
    http_on_client(*req, on_client_gone, on_client_drained, self);
    replay_t *replay = NULL;
    if (question->resumable && question->stream) {
        replay_events_t events = {on_client_gone, on_client_drained, self};
        replay = replay_new(pipeline->replays, self->id, self->caller, &events);
    }
    self->face = response_new(req, question, replay);
    return self;
}

// Whether this question can be taken at all; if not, the request has been answered.
static bool admit(pipeline_t *pipeline, http_req_t **req, question_form_t form)
{
    if (pipeline->in_flight >= pipeline->settings.max_in_flight) {
        metrics_count(pipeline->metrics, COUNT_REFUSED, 1);
        http_reply_error(req, 429, "too_many_questions", NULL, 1,
                         "%zu questions are at work, as many as gateway.max_in_flight allows; try "
                         "again in a moment",
                         pipeline->in_flight);
        return false;
    }
    long wait = form == FORM_DRAFT ? 0 : keys_take(http_caller(*req), rl_now_us());
    if (wait > 0) {
        metrics_count(pipeline->metrics, COUNT_REFUSED_RATE, 1);
        http_reply_error(req, 429, "rate_limit_exceeded", NULL, wait,
                         "this API key has used up its rate; try again in %ld s", wait);
        return false;
    }
    return true;
}

// The collections to search: as named, or the configured ones, or all; those that the caller may
// not read are left out of a default; `forbidden` if that leaves none. Names what is unknown.
static const char *resolve_collections(pipeline_t *pipeline, question_t *question,
                                       const keys_caller_t *caller, bool *forbidden)
{
    for (size_t at = 0; at < question->collections_size; at++)
        if (!registry_knows(pipeline->registry, question->collections[at]))
            return question->collections[at];
    if (question->collections_size > 0)
        return NULL;
    const rl_conf_t *conf = rl_proc_conf(pipeline->proc);
    size_t configured = rl_conf_list_size(conf, "gateway.collections"), size;
    const char **known = registry_collections(pipeline->registry, &size);
    size_t count = configured ? configured : size;
    for (size_t at = 0; at < count && question->collections_size < QUESTION_MAX_COLLECTIONS; at++) {
        const char *name =
            configured ? rl_conf_list_at(conf, "gateway.collections", at) : known[at];
        if (keys_may_read(caller, name))
            question->collections[question->collections_size++] = strdup(name);
    }
    free(known);
    *forbidden = count > 0 && question->collections_size == 0;
    return NULL;
}

// Drafts yield to questions: only so many at a time, and none while the gateway is half full.
static bool admit_draft(pipeline_t *pipeline, http_req_t **req)
{
    size_t running = drafts_running(pipeline->drafts), questions = pipeline->in_flight - running;
    if (running < pipeline->settings.drafts && questions < pipeline->settings.max_in_flight / 2)
        return true;
    drafts_refused(pipeline->drafts);
    http_reply_json(req, 202,
                    json_pack("{s:s, s:s}", "state", "skipped", "message",
                              pipeline->settings.drafts ? "there is too much else to do"
                                                        : "drafts are off (gateway.drafts)"));
    return false;
}

static void end_quietly(request_t *self, const char *code, const char *message)
{
    request_enter(self, REQUEST_CANCELLED);
    answer_error_t error = {.status = 409, .code = code, .message = message};
    close_timeline(self);
    self->face->ops->error(self->face, &self->answer, &error);
    tell(self);
    destroy(self);
}

static void begin_draft(request_t *self)
{
    request_t *earlier =
        drafts_begin(self->pipeline->drafts, self->caller, self->question->draft, self);
    self->drafting = true;
    if (earlier)
        end_quietly(earlier, "superseded", "a later draft of this question has come");
}

void request_start(pipeline_t *pipeline, http_req_t *req, question_form_t form)
{
    if (!admit(pipeline, &req, form))
        return;
    question_t *question = question_read(&req, form);
    if (!question)
        return;
    bool forbidden = false;
    const char *unknown = resolve_collections(pipeline, question, http_caller(req), &forbidden);
    if (forbidden) {
        http_reply_error(&req, 403, "collection_forbidden", "collection", 0,
                         "this API key may read none of the collections that are there");
        question_destroy(&question);
        return;
    }
    if (unknown) {
        bool by_model = form == FORM_CHAT && strncmp(question->model, "ragline/", 8) == 0 &&
                        strcmp(question->model + 8, unknown) == 0;
        http_reply_error(&req, 404, by_model ? "model_not_found" : "unknown_collection",
                         by_model ? "model" : "collection", 0,
                         by_model ? "there is no model ragline/%s; GET /v1/models lists them"
                                  : "there is no collection %s; GET /v1/info lists them",
                         unknown);
        question_destroy(&question);
        return;
    }
    if (!filters_fit(pipeline->registry, question, &req)) {
        question_destroy(&question);
        return;
    }
    if (form != FORM_SEARCH && form != FORM_DRAFT && !registry_has_generator(pipeline->registry)) {
        http_reply_error(&req, 503, "no_generator", NULL, 1,
                         "no generator is there to write an answer; start ragline-generator and "
                         "check its cluster.gateways (POST /v1/search finds passages meanwhile)");
        question_destroy(&question);
        return;
    }
    if (form == FORM_DRAFT && !admit_draft(pipeline, &req)) {
        question_destroy(&question);
        return;
    }
    request_t *self = make(pipeline, &req, question);
    if (form == FORM_DRAFT)
        begin_draft(self);
    set_timer(self, &self->timer, (long)request_time_left_ms(self), on_timeout);
    request_search(self);
}

bool request_cancel(pipeline_t *pipeline, const char *id, const char *caller)
{
    request_t *self;
    TAILQ_FOREACH(self, &pipeline->requests, all)
    {
        if (strcmp(self->id, id) == 0 && strcmp(keys_name(self->caller), caller) == 0)
            break;
    }
    if (!self)
        return false;
    end_quietly(self, "cancelled", "the answer was stopped by its caller");
    return true;
}

// The task that a message is about, NULL if nobody waits for it any more (or never did). Work done
// is a sign of life as good as an announcement, which may wait behind it in the queue.
static task_t *find_task(pipeline_t *pipeline, uint64_t id, const char *worker)
{
    task_t *task = tasks_find(pipeline->tasks, id);
    bool generates = task && (task->kind == TASK_GENERATION || task->kind == TASK_PREFILL);
    // a retriever may speak of its own tasks only
    if (!task || generates != !worker || (worker && strcmp(task->worker->id, worker) != 0)) {
        metrics_count(pipeline->metrics, COUNT_STRAYS, 1);
        return NULL;
    }
    task->worker->seen_us = rl_now_us();
    return task;
}

void request_found(pipeline_t *pipeline, rl_msg_t *msg, uint64_t id, const char *worker)
{
    task_t *task = find_task(pipeline, id, worker);
    if (task && msg->type == RL_HITS)
        request_hits(task, msg);
    else if (task)
        request_search_failed(task, &msg->failed);
}

void request_generated(pipeline_t *pipeline, rl_msg_t *msg, uint64_t id)
{
    task_t *task = find_task(pipeline, id, NULL);
    if (!task || request_hold(task, msg))
        return;
    if (msg->type == RL_PROGRESS)
        request_progress(task, &msg->progress);
    else if (msg->type == RL_TOKEN)
        request_token(task, &msg->token);
    else if (msg->type == RL_DONE)
        request_done(task, &msg->done);
    else
        request_generate_failed(task, &msg->failed);
}

void request_take_generated(pipeline_t *pipeline, rl_msg_t *msg)
{
    request_generated(pipeline, msg,
                      msg->type == RL_PROGRESS ? msg->progress.task
                      : msg->type == RL_TOKEN  ? msg->token.task
                      : msg->type == RL_DONE   ? msg->done.task
                                               : msg->failed.task);
}

void request_task_lost(task_t *task)
{
    request_t *self = task->request;
    rl_failed_t failed = {.worker = task->worker->id,
                          .task = task->id,
                          .code = "worker_lost",
                          .message = "the worker is gone",
                          .status = 503,
                          .retry = true};
    // It may be alive all the same, only slow: then what it does for nobody must end.
    rl_msg_t cancel = {.type = RL_CANCEL,
                       .cancel = {.task = task->id, .route = task->worker->route}};
    rl_wire_send(task->worker->push, &cancel);
    if (task == self->generation)
        request_generate_failed(task, &failed);
    else
        request_search_failed(task, &failed);
}

void request_stop_all(pipeline_t *pipeline)
{
    while (!TAILQ_EMPTY(&pipeline->requests))
        request_fail(TAILQ_FIRST(&pipeline->requests), 503, "shutting_down", 1,
                     "this gateway is shutting down and the answer was not finished within "
                     "gateway.grace_ms");
}
