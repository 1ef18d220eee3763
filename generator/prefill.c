// prefill: prompts that are read ahead.
#include "prefill.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json_write.h"
#include "log.h"
#include "mem.h"
#include "task_private.h"
#include "tasks.h"

enum {
    SAME_SHARE = 75, // percent of a prefill's messages that a question must begin with to wait
};

// That a question waits for its own prefill, which would take it as long, without hearing that it
// is being read.
static const struct timeval wait_time = {10, 0};

// ---- the end ----------------------------------------------------------------------------

static void count_outcome(const task_t *task, const char *finish, const backend_end_t *end)
{
    if (!task->upstream)
        return;
    struct prefill_counts *counts = &task->upstream->prefilled;
    counts->done += strcmp(finish, "prefilled") == 0;
    counts->yielded += strcmp(finish, "yielded") == 0;
    counts->skipped += strcmp(finish, "skipped") == 0;
    counts->tokens += end->read_tokens > 0 ? (uint64_t)end->read_tokens : 0;
}

static void tell_done(task_t *task, const char *finish, const char *reason,
                      const backend_end_t *end, const backend_times_t *times)
{
    rl_buf_t timings = rl_buf_make(4096);
    count_outcome(task, finish, end);
    task_write_timings(task, end, times, &timings);
    if (reason)
        rl_json_text(&timings, "reason", reason);
    rl_json_close(&timings, '}');
    const backend_t *backend = task->upstream ? task->upstream->backend : NULL;
    rl_msg_t msg = {
        .type = RL_DONE,
        .done = {.task = task->id,
                 .finish = finish,
                 .model = backend ? backend->type->model(backend) : "",
                 .upstream = backend ? backend->type->name : "",
                 .prompt_tokens = end->counted ? end->prompt_tokens : task->prompt_tokens,
                 .completion_tokens = end->completion_tokens,
                 .counted = end->counted,
                 .passages_used = task->passages_used,
                 .timings = timings.full ? "{}" : timings.data}};
    rl_log(RL_LOG_DEBUG, task->request, "prefill: %s%s%s", finish, reason ? ": " : "",
           reason ? reason : "");
    // what has no room is not missed
    char why[256]; // it is short: nothing that could be refused
    outbox_send(&task->outbox, gateway_link_wire(task->gateway), &msg, why, sizeof why);
    rl_buf_free(&timings);
    task_release(task);
    task_set_state(task, TASK_DONE);
}

void prefill_end(task_t *task, const char *finish, const char *reason)
{
    static const backend_end_t nothing = {.cached_tokens = -1, .read_tokens = -1, .prefill_ms = -1};
    static const backend_times_t never = {0};
    if (task->state < TASK_DONE)
        tell_done(task, finish, reason, &nothing, &never);
}

void prefill_call_ended(upstream_t *upstream)
{
    upstream->prefills--;
    upstream->calls--;
}

// ---- events of a call -------------------------------------------------------------------

static bool on_text(void *arg, const char *text, size_t size)
{
    (void)arg; // the one token that some servers cannot do without
    (void)text;
    (void)size;
    return true;
}

static void on_cite(void *arg, unsigned passage, double score)
{
    (void)arg;
    (void)passage;
    (void)score;
}

static void on_progress(void *arg, const char *stage, const char *message)
{
    (void)arg;
    (void)stage;
    (void)message;
}

typedef struct news {
    const task_t *prefill;
    unsigned percent;
} news_t;

static void tell_one(void *arg, task_t *task)
{
    const news_t *news = arg;
    if (task->waits_for != news->prefill)
        return;
    evtimer_add(&task->retry, &wait_time); // it is being read
    task_report_reading(task, news->percent);
}

static void on_reading(void *arg, unsigned percent)
{
    const task_t *task = arg;
    tasks_each_running(task->generator->tasks, tell_one, &(news_t){task, percent});
}

static void on_done(void *arg, const backend_end_t *end, const backend_times_t *times)
{
    task_t *task = arg;
    task->call = NULL;
    prefill_call_ended(task->upstream);
    if (end->prefill_ms >= 0) // there is no first token to measure by
        task_measure_reading(task, end, times);
    tell_done(task, "prefilled", NULL, end, times);
}

static void on_failed(void *arg, const backend_failure_t *failure)
{
    task_t *task = arg;
    task->call = NULL;
    prefill_call_ended(task->upstream);
    prefill_end(task, "skipped", failure->code);
}

// ---- the beginning ----------------------------------------------------------------------

// The one that a question would be asked of now; NULL: none.
static upstream_t *asked_first(const generator_t *generator)
{
    int place = upstreams_next(&generator->upstreams, 0, false);
    upstream_t *upstream = place >= 0 ? generator->upstreams.order[place] : NULL;
    return upstream && upstream->breaker.state == BREAKER_CLOSED ? upstream : NULL;
}

bool prefill_is_useful(const generator_t *generator)
{
    const upstream_t *upstream = asked_first(generator);
    return upstream && upstream_prompt_cache(upstream).kept;
}

// A slot of the server's, where their number is known, else of our own. A server with no more than
// the reserve is free while it has no calls.
static bool has_room(const generator_t *generator, const upstream_t *upstream)
{
    size_t slots = upstream_prompt_cache(upstream).slots;
    if (slots == 0 || slots > generator->slots)
        slots = generator->slots;
    size_t reserve = upstream->prefill_reserve < slots ? upstream->prefill_reserve : slots - 1;
    return upstream->prefills < upstream->prefill_slots && upstream->calls + reserve < slots &&
           tasks_waiting(generator->tasks) == 0;
}

static const backend_events_t events = {
    .text = on_text,
    .cite = on_cite,
    .progress = on_progress,
    .reading = on_reading,
    .done = on_done,
    .failed = on_failed,
};

static const char *ask_to_read(task_t *task, prompt_t *prompt)
{
    const rl_generate_t *generate = task_generate(task);
    upstream_t *upstream = task->upstream;
    uint64_t max_tokens = task_max_tokens(task);
    if (task_build_prompt(task, max_tokens, prompt) != 0)
        return "question_too_long";
    task->passages_used = prompt->passages_used;
    task->prompt = rl_strdup(prompt->messages.data);
    task_set_state(task, TASK_ASKING);
    upstream->calls++;
    upstream->prefills++;
    task->call = upstream->backend->type->start(
        upstream->backend, &(backend_request_t){generate, prompt, max_tokens, true}, &events, task);
    if (task->call)
        return NULL;
    prefill_call_ended(upstream);
    return "out_of_memory";
}

void prefill_start(task_t *task)
{
    const generator_t *generator = task->generator;
    prompt_t prompt = {0};
    task_set_state(task, TASK_PROMPTED);
    task->upstream = asked_first(generator);
    if (!task->upstream || !upstream_prompt_cache(task->upstream).kept) {
        prefill_end(task, "skipped", "off");
        return;
    }
    if (*task_generate(task)->salt && !upstream_prompt_cache(task->upstream).per_salt) {
        prefill_end(task, "skipped", "parted"); // the question could not use it
        return;
    }
    if (!has_room(generator, task->upstream)) {
        prefill_end(task, "skipped", "busy");
        return;
    }
    const char *problem = ask_to_read(task, &prompt);
    prompt_free(&prompt);
    if (problem)
        prefill_end(task, "skipped", problem);
}

// ---- a question comes -------------------------------------------------------------------

typedef struct question {
    task_t *task;
    const prompt_t *prompt;
} question_t;

// Whether the prefill reads what the question's prompt begins with.
static bool reads_the_same(const task_t *prefill, const prompt_t *prompt)
{
    size_t size = strlen(prefill->prompt), same = 0;
    while (same < size && prefill->prompt[same] == prompt->messages.data[same])
        same++;
    return same * 100 >= size * SAME_SHARE;
}

static void yield_or_wait(void *arg, task_t *prefill)
{
    question_t *question = arg;
    task_t *task = question->task;
    if (prefill->upstream != task->upstream || !prefill->call)
        return;
    bool twice = upstream_prompt_cache(task->upstream).per_slot;
    if (!task->waited && twice && reads_the_same(prefill, question->prompt))
        task->waits_for = prefill;
    else
        prefill_end(prefill, "yielded", NULL);
}

bool prefill_yield_to(task_t *task, const prompt_t *prompt)
{
    upstream_t *upstream = task->upstream;
    if (upstream->warming) {
        upstream->backend->type->cancel(&upstream->warming);
        upstream->calls--;
    }
    if (upstream->prefills == 0 || !upstream->template)
        return false;
    question_t question = {task, prompt};
    tasks_each_prefill(task->generator->tasks, yield_or_wait, &question);
    if (!task->waits_for)
        return false;
    task->waited = true;
    task->built_us = rl_now_us();
    evtimer_add(&task->retry, &wait_time);
    return true;
}

static void wake_one(void *arg, task_t *task)
{
    if (task->waits_for != arg)
        return;
    task->waits_for = NULL;
    event_active(&task->retry, EV_TIMEOUT, 1);
}

void prefill_wake_waiting(task_t *prefill)
{
    tasks_each_running(prefill->generator->tasks, wake_one, prefill);
}

// ---- the beginning of all prompts -------------------------------------------------------

static void on_warmed(void *arg, const backend_end_t *end, const backend_times_t *times)
{
    upstream_t *upstream = arg;
    (void)times;
    upstream->warming = NULL;
    upstream->calls--;
    if (end->prefill_ms >= 0)
        rl_info("the beginning of prompts is read by %s: %llu tokens in %.0f ms", upstream->name,
                (unsigned long long)end->prompt_tokens, end->prefill_ms);
    else
        rl_info("the beginning of prompts is read by %s", upstream->name);
}

static void on_not_warmed(void *arg, const backend_failure_t *failure)
{
    upstream_t *upstream = arg;
    upstream->warming = NULL;
    upstream->calls--;
    rl_info("the beginning of prompts could not be read ahead: %s", failure->message);
}

static void on_warm_reading(void *arg, unsigned percent)
{
    (void)arg;
    (void)percent;
}

static const backend_events_t warm_events = {
    .text = on_text,
    .cite = on_cite,
    .progress = on_progress,
    .reading = on_warm_reading,
    .done = on_warmed,
    .failed = on_not_warmed,
};

static void read_beginning(upstream_t *upstream)
{
    static const rl_generate_t nothing = {.gateway = "",
                                          .request = "warm",
                                          .traceparent = "",
                                          .tracestate = "",
                                          .question = "",
                                          .params = "",
                                          .prefix = ""};
    prompt_t prompt = {0};
    upstream->warmed = true; // or it cannot be
    if (prompt_build(upstream->template, &nothing, upstream->context_tokens, 0, &prompt) == 0) {
        upstream->calls++;
        upstream->warming = upstream->backend->type->start(
            upstream->backend, &(backend_request_t){&nothing, &prompt, 1, true}, &warm_events,
            upstream);
        if (!upstream->warming)
            upstream->calls--;
    }
    prompt_free(&prompt);
}

void prefill_warm(generator_t *generator)
{
    for (size_t at = 0; at < generator->upstreams.size; at++) {
        upstream_t *upstream = generator->upstreams.order[at];
        if (!upstream->warmed && upstream->calls == 0 &&
            upstream->breaker.state == BREAKER_CLOSED && upstream_prompt_cache(upstream).kept)
            read_beginning(upstream);
    }
}
