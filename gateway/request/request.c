// request: a question comes in, and what happens to it meanwhile: each event is recorded in the
// part that it is for, and the sequence (request_run.c) goes on from there.
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cached_reply.h"
#include "clock.h"
#include "coalesce.h"
#include "drafts.h"
#include "filters.h"
#include "generation.h"
#include "mem.h"
#include "provisional.h"
#include "request_private.h"
#include "request_run.h"
#include "revalidate.h"
#include "search.h"

enum {
    ANSWER_MAX_BYTES = 8 << 20
};

// ---- the client ---------------------------------------------------------------------------------

static void on_timeout(void *arg)
{
    request_t *self = arg;
    request_fail(self, 504, "timeout", 0,
                 "the answer was not complete within %llu ms (gateway.timeout_ms, timeout_ms); it "
                 "was %s then",
                 (unsigned long long)request_limit_ms(self), request_state_names[self->state]);
    request_run(self);
}

static void on_client_gone(void *arg)
{
    request_t *self = arg;
    if (!self->end)
        self->end = REQUEST_CANCELLED;
    request_run(self);
}

static void on_client_drained(void *arg)
{
    cached_reply_resume(arg);
    generation_resume(arg);
}

static void cancel_request(request_t *self, const char *code, const char *message)
{
    request_cancel_with(self, code, message);
    request_run(self);
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
    cancel_request(self, "cancelled", "the answer was stopped by its caller");
    return true;
}

void request_stop_all(pipeline_t *pipeline)
{
    for (request_t *self; (self = TAILQ_FIRST(&pipeline->requests));) {
        request_fail(self, 503, "shutting_down", 1,
                     "this gateway is shutting down and the answer was not finished within "
                     "gateway.grace_ms");
        request_run(self);
    }
}

// ---- birth --------------------------------------------------------------------------------------

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

static request_t *make_request(pipeline_t *pipeline, http_req_t **req, question_t *question)
{
    request_t *self = rl_new(*self);
    *self = (request_t){.pipeline = pipeline, .question = question, .run = request_run};
    self->received_us = http_received_us(*req);
    snprintf(self->id, sizeof self->id, "%s", http_id(*req));
    self->timeline = make_timeline(self, *req);
    self->answer = (answer_t){
        .id = self->id, .created = (int64_t)time(NULL), .text = rl_buf_make(ANSWER_MAX_BYTES)};
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
    self->response = response_new(req, question, replay);
    return self;
}

// Whether this question can be taken at all; if not, the request has been answered.
static bool admit_question(pipeline_t *pipeline, http_req_t **req, question_form_t form)
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
            question->collections[question->collections_size++] = rl_strdup(name);
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

static void begin_draft(request_t *self)
{
    request_t *earlier =
        drafts_begin(self->pipeline->drafts, self->caller, self->question->draft, self);
    self->drafting = true;
    if (earlier)
        cancel_request(earlier, "superseded", "a later draft of this question has come");
}

void request_start(pipeline_t *pipeline, http_req_t *req, question_form_t form)
{
    if (!admit_question(pipeline, &req, form))
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
    request_t *self = make_request(pipeline, &req, question);
    if (form == FORM_DRAFT)
        begin_draft(self);
    request_set_timer(self, &self->timer, (int64_t)request_time_left_ms(self) * 1000, on_timeout,
                      self);
    request_run(self);
}

// ---- the workers --------------------------------------------------------------------------------

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
    if (!task)
        return;
    request_t *self = task->request;
    bool found = msg->type == RL_HITS;
    if (found)
        registry_note_generation(pipeline->registry, task->worker, msg->hits.generation);
    if (task->kind == TASK_REVALIDATION)
        revalidate_take(task, found);
    else if (found)
        search_take_hits(task, msg);
    else
        search_take_failure(task, &msg->failed);
    request_run(self);
}

void request_generated(pipeline_t *pipeline, rl_msg_t *msg, uint64_t id)
{
    task_t *task = find_task(pipeline, id, NULL);
    if (!task)
        return;
    request_t *self = task->request;
    generation_hear(self);
    if (provisional_take(self, msg))
        return;
    generation_receive(self, msg);
    request_run(self);
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
    switch (task->kind) {
    case TASK_SEARCH:
    case TASK_HEDGE:
        search_take_failure(task, &failed);
        break;
    case TASK_REVALIDATION:
        revalidate_take(task, false);
        break;
    case TASK_GENERATION:
    case TASK_PREFILL:
        generation_lose(task);
        break;
    }
    request_run(self);
}

// ---- at a turn's end, and now and then ----------------------------------------------------------

void request_generators_free(pipeline_t *pipeline)
{
    bool any = registry_has_generator(pipeline->registry);
    for (request_t *self = generation_first_waiting(pipeline), *next; self; self = next) {
        size_t before = pipeline->waiting_size;
        next = generation_next_waiting(self);
        generation_try_again(self);
        request_run(self);
        if (any && pipeline->waiting_size == before && !generation_is_unsent(self))
            return; // no room for the first: none for the others
    }
}

void request_orphans_search(pipeline_t *pipeline)
{
    for (request_t *self; (self = coalesce_next_orphan(pipeline));)
        request_run(self);
}

void request_searches_again(pipeline_t *pipeline)
{
    for (request_t *self = TAILQ_FIRST(&pipeline->requests), *next; self; self = next) {
        next = TAILQ_NEXT(self, all);
        if (search_take_room(self))
            request_run(self);
    }
}

void request_look_after_silent(pipeline_t *pipeline)
{
    uint64_t now = rl_now_us();
    for (request_t *self = TAILQ_FIRST(&pipeline->requests), *next; self; self = next) {
        next = TAILQ_NEXT(self, all);
        if (generation_look_silent(self, now))
            request_task_lost(generation_task(self));
    }
}
