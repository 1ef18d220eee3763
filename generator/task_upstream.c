// task_upstream: which upstream a task asks, and what it does when that fails: wait for one that is
// busy, go to the next one, or fail.
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "hash.h"
#include "json_write.h"
#include "log.h"
#include "prefill.h"
#include "probes.h"
#include "task_private.h"

enum {
    RETRIES_MAX = 3, // after "too busy"
    SHORT_S = 1,     // a server that wants no more than this is waited for, though another is there
    NEVER_S = 1000000,  // longer waits that a server asks for are cut to this
    LEAST_US = 50000,   // before a server is asked again
    AFTER_US = 1000000, // that must be left of a task's time when it is asked again
    MARGIN_TOKENS = 16, // of the context, for what chat templates add
};

static bool try_next(task_t *self, const backend_failure_t *failure);

static unsigned place_bit(int place)
{
    return 1u << place;
}

// Whether the answer must have a form (response_format), which the passages' sentences have not.
static bool wants_form(const rl_generate_t *generate)
{
    json_error_t error;
    json_t *params = json_loads(generate->params, 0, &error);
    const json_t *format = json_object_get(params, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    bool wants = json_is_object(format) && !(type && strcmp(type, "text") == 0);
    json_decref(params);
    return wants;
}

// A bit for each place that is not to be asked: those tried, and what cannot answer this question.
static unsigned closed_places(const task_t *self)
{
    const upstreams_t *upstreams = &self->generator->upstreams;
    unsigned wordless = 0; // places without a language model
    for (size_t at = 0; at < upstreams->size; at++)
        if (!upstreams->order[at]->template)
            wordless |= place_bit((int)at);
    bool open = wordless & ~self->tried; // else the request need not be read
    return self->tried | (open && wants_form(task_generate(self)) ? wordless : 0);
}

// ---- events of a call -------------------------------------------------------------------

void task_upstream_responded(task_t *self)
{
    upstream_responded(self->upstream);
    self->probe = false;
}

void task_report_reading(task_t *self, unsigned percent)
{
    rl_buf_t data = rl_buf_make(256);
    if (percent > 0 && self->state < TASK_STREAMING) {
        rl_buf_addf(&data, "{\"message\":\"Reading passages %u %%…\",\"percent\":%u}", percent,
                    percent);
        task_report_data(self, "reading", &data);
    }
}

void task_on_failed(void *arg, const backend_failure_t *failure)
{
    task_t *self = arg;
    backend_failure_kind_t kind = failure->kind;
    self->call = NULL;
    upstream_failed(self->upstream, self->probe, failure);
    if (self->state != TASK_STREAMING && kind != BACKEND_MISTAKE && try_next(self, failure))
        return;
    task_fail(self, failure->status, failure->code, failure->message,
              kind == BACKEND_BUSY || kind == BACKEND_DOWN, failure->retry_after_s);
}

void task_leave_upstream(task_t *self)
{
    if (!self->call)
        return;
    self->upstream->backend->type->cancel(&self->call);
    if (self->prefill) {
        prefill_call_ended(self->upstream);
        return;
    }
    upstream_abandoned(self->upstream, self->probe, self->overdue);
}

// ---- asking one -------------------------------------------------------------------------

static void report_prompted(task_t *self, const prompt_t *prompt)
{
    rl_buf_t data = rl_buf_make(4096);
    size_t passages = prompt->passages_used + prompt->passages_dropped;
    size_t read = prompt->passages_used - prompt->left_out;
    rl_buf_addf(&data, "{\"message\":\"Reading %zu passage%s", read, read == 1 ? "" : "s");
    if (prompt->passages_dropped > 0)
        rl_buf_addf(&data, " of %zu: the others do not fit into the model's context", passages);
    else if (prompt->shortened)
        rl_buf_adds(&data, ", shortened to fit into the model's context");
    else if (prompt->tokens_trimmed > 0)
        rl_buf_adds(&data, ", shortened to be read in time");
    if (prompt->turns_dropped > 0)
        rl_buf_addf(&data, "; %zu earlier turn%s left out", prompt->turns_dropped,
                    prompt->turns_dropped == 1 ? "" : "s");
    rl_buf_adds(&data, "…\"");
    rl_json_count(&data, "passages_used", prompt->passages_used);
    rl_json_count(&data, "passages_dropped", prompt->passages_dropped);
    rl_json_flag(&data, "shortened", prompt->shortened);
    rl_json_count(&data, "turns_dropped", prompt->turns_dropped);
    rl_json_count(&data, "tokens", prompt->tokens);
    if (prompt->tokens_trimmed > 0) {
        rl_json_count(&data, "passages_repeated", prompt->repeated);
        rl_json_count(&data, "passages_cut", prompt->cut);
        rl_json_count(&data, "tokens_trimmed", prompt->tokens_trimmed);
    }
    rl_json_close(&data, '}');
    task_report_data(self, "prompted", &data);
}

// The question does not fit into this one's context, but may into another's.
static void handle_too_long(task_t *self, size_t tokens, size_t context, size_t budget,
                            size_t max_tokens)
{
    char message[400];
    snprintf(message, sizeof message,
             "the question with its template takes about %zu tokens, and %scontext_tokens (%zu) "
             "leaves %zu beside the answer's %zu (max_tokens)",
             tokens, self->upstream->where, context, budget, max_tokens);
    self->tried |= place_bit(upstreams_index_of(&self->generator->upstreams, self->upstream));
    if (upstreams_next(&self->generator->upstreams, self->tried, true) >= 0)
        task_ask_upstream(self);
    else
        task_fail(self, 400, "question_too_long", message, false, -1);
}

uint64_t task_max_tokens(const task_t *self)
{
    uint64_t wanted = task_generate(self)->max_tokens, most = self->upstream->max_tokens;
    return wanted > 0 && wanted < most ? wanted : most;
}

// Of the context, what the answer leaves for the prompt.
static size_t prompt_budget(const upstream_t *upstream, uint64_t max_tokens)
{
    size_t context = upstream->context_tokens, reserved = max_tokens + MARGIN_TOKENS;
    return context > reserved ? context - reserved : 0;
}

int task_build_prompt(task_t *self, uint64_t max_tokens, prompt_t *prompt)
{
    const upstream_t *upstream = self->upstream;
    size_t budget = prompt_budget(upstream, max_tokens);
    const rl_generate_t *generate = task_generate(self);
    uint64_t target_us = generate->target_first_token_ms ? generate->target_first_token_ms * 1000
                                                         : upstream->target_us;
    double quick = upstream->planned_rate * (double)target_us / 1e6;
    if (prompt_build(upstream->template, generate, budget, quick < 1e9 ? (size_t)quick : 0,
                     prompt) != 0)
        return -1;
    self->repeated = prompt->repeated;
    self->cut = prompt->cut;
    self->tokens_trimmed = prompt->tokens_trimmed;
    self->prompt_tokens = prompt->tokens;
    self->prompt_hash = rl_hash64(prompt->messages.data, prompt->messages.size);
    return 0;
}

// Returns false when it does not fit: then the task has gone on or failed.
static bool build_prompt(task_t *self, uint64_t max_tokens, prompt_t *prompt)
{
    const upstream_t *upstream = self->upstream;
    if (task_build_prompt(self, max_tokens, prompt) != 0) {
        size_t tokens = prompt->tokens;
        prompt_free(prompt);
        handle_too_long(self, tokens, upstream->context_tokens, prompt_budget(upstream, max_tokens),
                        (size_t)max_tokens);
        return false;
    }
    self->cite = cite_new();
    // a second try with the same is no news
    bool news = !self->told || self->passages_used != prompt->passages_used;
    self->told = true;
    self->passages_used = prompt->passages_used;
    RL_PROBE_PROMPT_BUILT(self->request, self->id, rl_now_us() - self->at_us[TASK_RECEIVED],
                          prompt->tokens, prompt->passages_used);
    if (news)
        report_prompted(self, prompt);
    return true;
}

static void ask_upstream(task_t *self, upstream_t *upstream)
{
    const rl_generate_t *generate = task_generate(self);
    prompt_t prompt = {0};
    self->upstream = upstream;
    self->prompt_hash = 0;
    uint64_t max_tokens = task_max_tokens(self);
    if (self->state != TASK_PROMPTED)
        task_set_state(self, TASK_PROMPTED);
    cite_destroy(&self->cite);
    if (!upstream->template)
        self->passages_used = generate->passages_size;
    else if (!build_prompt(self, max_tokens, &prompt))
        return;
    // it has failed meanwhile; or it waits for a prefill that reads the same prompt
    if (self->state >= TASK_DONE || prefill_yield_to(self, &prompt)) {
        prompt_free(&prompt);
        return;
    }
    task_set_state(self, TASK_ASKING);
    model_fingerprint(&self->generator->upstreams, upstream, self->model_fingerprint);
    RL_PROBE_LLM_ASKED(self->request, self->id,
                       self->at_us[TASK_ASKING] - self->at_us[TASK_RECEIVED], upstream->name);
    self->probe = upstream_begin(upstream);
    self->call = upstream->backend->type->start(
        upstream->backend, &(backend_request_t){generate, &prompt, max_tokens, false},
        self->generator->answer_events, self);
    prompt_free(&prompt);
    if (!self->call) {
        upstream_abandoned(upstream, self->probe, false);
        task_fail(self, 503, "out_of_memory", "the generator could not start the request", true,
                  -1);
    }
}

// ---- choice ------------------------------------------------------------------------------

static void report_fallback(task_t *self, const upstream_t *from, const upstream_t *to,
                            const char *reason, const char *code)
{
    rl_buf_t data = rl_buf_make(8192);
    rl_log(RL_LOG_WARN, self->request, "falling back to %s: %s", to->name, reason);
    rl_json_open(&data, NULL, '{');
    rl_json_text(&data, "message",
                 to->template ? "The language model does not answer; another one is asked"
                              : "The language model does not answer; these are the passages' own "
                                "sentences instead");
    rl_json_text(&data, "reason", reason);
    rl_json_text(&data, "code", code);
    rl_json_text(&data, "from", from->name);
    rl_json_text(&data, "breaker", breaker_state_name(from->breaker.state));
    rl_json_text(&data, "upstream", to->name);
    rl_json_close(&data, '}');
    task_report_data(self, "fallback", &data);
}

// The options were read again: places in the old order mean nothing in the new one.
static void forget_old_order(task_t *self)
{
    const upstreams_t *upstreams = &self->generator->upstreams;
    if (self->version == upstreams->version)
        return;
    self->version = upstreams->version;
    self->tried = 0;
    memset(self->ready_us, 0, sizeof self->ready_us);
}

void task_ask_upstream(task_t *self)
{
    const upstreams_t *upstreams = &self->generator->upstreams;
    char why[240];
    forget_old_order(self);
    unsigned closed = closed_places(self);
    int place = upstreams_next(upstreams, closed, false);
    if (place < 0) // an answer late is worth more than none
        place = upstreams_least_bad(upstreams, closed);
    if (place < 0 && closed != self->tried) {
        task_fail(self, 400, "response_format_unsupported",
                  "response_format needs a language model, and none is configured here "
                  "(llm.url): without one, answers are sentences of the passages",
                  false, -1);
        return;
    }
    if (place < 0)
        place = 0;
    if (place > 0 && self->tried == 0) {
        upstream_why_open(upstreams->order[0], why, sizeof why);
        report_fallback(self, upstreams->order[0], upstreams->order[place], why,
                        "upstream_resting");
    }
    if (self->state < TASK_DONE)
        ask_upstream(self, upstreams->order[place]);
}

// Waits until the server at `place` may be asked again. False when the task's time does not allow
// it.
static bool wait_for_upstream(task_t *self, int place)
{
    uint64_t now = rl_now_us(), ready = self->ready_us[place];
    char message[160];
    if (self->retries == RETRIES_MAX || ready + AFTER_US > self->deadline_us)
        return false;
    uint64_t wait = ready > now + LEAST_US ? ready - now : LEAST_US;
    self->retries++;
    self->tried &= ~place_bit(place);
    self->ready_us[place] = 0;
    snprintf(message, sizeof message, "The language model is busy; asking again in %llu s…",
             (unsigned long long)((wait + 500000) / 1000000));
    task_report(self, "retry", message);
    struct timeval time = {(time_t)(wait / 1000000), (suseconds_t)(wait % 1000000)};
    if (self->state < TASK_DONE)
        evtimer_add(&self->retry, &time);
    return true;
}

// Of the busy servers, the one that is ready first.
static bool wait_for_soonest(task_t *self)
{
    int best = -1;
    for (int place = 0; place < UPSTREAMS_MAX; place++)
        if (self->ready_us[place] && (best < 0 || self->ready_us[place] < self->ready_us[best]))
            best = place;
    return best >= 0 && wait_for_upstream(self, best);
}

// After a failure before the first word. A server that is busy is waited for where its time is
// short or no other server may be asked; only then comes what needs no server. False when there is
// nothing left to ask.
static bool try_next(task_t *self, const backend_failure_t *failure)
{
    const upstreams_t *upstreams = &self->generator->upstreams;
    forget_old_order(self);
    int place = upstreams_index_of(upstreams, self->upstream);
    if (place >= 0)
        self->tried |= place_bit(place);
    if (place >= 0 && failure->kind == BACKEND_BUSY) {
        bool named = failure->retry_after_s >= 0;
        uint64_t wait_s = named ? (uint64_t)failure->retry_after_s : 1u << self->retries;
        wait_s = wait_s < NEVER_S ? wait_s : NEVER_S;
        self->ready_us[place] = rl_now_us() + wait_s * 1000000;
        if (named && wait_s <= SHORT_S && self->retries == 0 && wait_for_upstream(self, place))
            return true;
    }
    unsigned closed = closed_places(self);
    int next = upstreams_next(upstreams, closed, true);
    if (next < 0 && wait_for_soonest(self))
        return true;
    if (next < 0)
        next = upstreams_next(upstreams, closed, false);
    if (next < 0)
        next = upstreams_least_bad(upstreams, closed);
    if (next < 0)
        return false;
    report_fallback(self, self->upstream, upstreams->order[next], failure->message, failure->code);
    if (self->state < TASK_DONE)
        ask_upstream(self, upstreams->order[next]);
    return true;
}

void task_start(task_t *self)
{
    if (self->prefill)
        prefill_start(self);
    else
        task_ask_upstream(self);
}
