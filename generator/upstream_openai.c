// upstream_openai: asks any OpenAI-compatible server for a streamed chat completion.
//
//     start → (GET models, while the model's name is not known) → POST chat/completions
//           → text… → done | failed
#include "upstream.h"

#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "log.h"
#include "openai_chunk.h"
#include "openai_request.h"
#include "openai_server.h"
#include "openai_trouble.h"
#include "sse.h"

enum {
    EVENT_MAX = 1 << 20, // bytes of one chunk of the stream
    WHOLE_MAX = 1 << 20, // bytes of an answer that is not streamed
    BODY_MAX = 16 << 20, // bytes of the request
    PIECE = 32 << 10,    // a whole answer goes on in pieces of so many bytes
    DRAIN_MS = 2000,     // an answered response must end soon, or its connection is given up
    TOLD = 200,          // bytes of foreign text in a message
    READING_US = 200000, // between two tellings of how far the prompt is read
};

typedef struct openai {
    upstream_t base;
    openai_server_t server;
    LIST_HEAD(openai_calls, openai_call) calls;
} openai_t;

// What the response is, by its first byte: servers do not always label it rightly.
typedef enum body_kind {
    NOT_BEGUN,
    EVENT_STREAM,
    WHOLE
} body_kind_t;

typedef struct openai_call {
    openai_server_t *server;
    LIST_ENTRY(openai_call) list;
    upstream_events_t events;
    void *arg;
    rl_fetch_t *fetch;
    rl_sse_t *sse;
    rl_buf_t request; // while the model's name is awaited: what comes behind it
    char traceparent[64], *tracestate;
    bool has_params;
    body_kind_t kind;
    rl_buf_t whole;           // an answer that is no stream
    struct event limit;       // first token, then silence
    uint64_t started, active; // µs; active: of the last sign of life
    uint64_t asked_after;     // µs spent on the model's name
    uint64_t told_reading;    // when it was told how far the prompt is read
    upstream_times_t times;
    bool spoke;   // text or thoughts have come
    bool thought; // reasoning was told of
    bool paused;
    bool answered; // the answer came whole
    bool over;     // the task was told of the end, or wants no more
    bool busy;     // a callback of ours is on the stack
    char finish[32];
    char *model; // as the server calls it
    upstream_end_t end;
} openai_call_t;

static void call_destroy(openai_call_t *call)
{
    LIST_REMOVE(call, list);
    rl_fetch_cancel(&call->fetch);
    evtimer_del(&call->limit);
    rl_sse_destroy(&call->sse);
    rl_buf_free(&call->request);
    rl_buf_free(&call->whole);
    free(call->model);
    free(call->tracestate);
    free(call);
}

// ---- the end of a call ------------------------------------------------------------------

static void tell_done(openai_call_t *call)
{
    upstream_times_t times = call->times;
    call->over = call->answered = true;
    call->end.finish = call->finish[0] ? call->finish : "stop";
    call->end.model = call->model ? call->model : call->server->model;
    call->events.done(call->arg, &call->end, &times);
}

// Some servers say in their error which key they were given.
static void hide(char *message, const char *key)
{
    size_t size = strlen(key);
    for (char *at = size ? strstr(message, key) : NULL; at; at = strstr(at + 1, key))
        memset(at, '*', size);
}

static void tell_failed(openai_call_t *call, const upstream_failure_t *failure)
{
    if (call->over)
        return;
    call->over = true;
    char message[OPENAI_MESSAGE];
    snprintf(message, sizeof message, "%s", failure->message);
    hide(message, call->server->key);
    upstream_failure_t told = *failure;
    told.message = message;
    call->events.failed(call->arg, &told);
}

static void broken(openai_call_t *call, const char *what, const char *sample, size_t size)
{
    char told[TOLD] = "", message[TOLD + 400];
    openai_error_text(sample, size, told, sizeof told);
    snprintf(message, sizeof message, "the LLM server at %s sent %s%s%s", call->server->peer, what,
             told[0] ? ": " : "", told);
    tell_failed(call, &(upstream_failure_t){.trouble = UPSTREAM_BROKEN,
                                            .status = 502,
                                            .code = "llm_broken_answer",
                                            .message = message,
                                            .retry_after_s = -1});
}

static void fail_result(openai_call_t *call, const rl_fetch_result_t *result)
{
    char message[OPENAI_MESSAGE];
    upstream_failure_t failure;
    openai_trouble(result, call->server, call->has_params, &failure, message, sizeof message);
    tell_failed(call, &failure);
}

// ---- time limits ------------------------------------------------------------------------

static void set_limit(openai_call_t *call, long ms)
{
    struct timeval time = {ms / 1000, ms % 1000 * 1000};
    evtimer_add(&call->limit, &time);
}

// Signs of life only move a stamp; the timer looks at it when it fires.
static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    openai_call_t *call = arg;
    const openai_server_t *server = call->server;
    (void)fd;
    (void)what;
    if (call->over) { // drained long enough
        call_destroy(call);
        return;
    }
    if (call->spoke && call->paused)
        return; // resume sets it again
    long limit_ms = call->spoke ? server->idle_ms : server->first_token_ms;
    uint64_t since = rl_now_us() - (call->spoke ? call->active : call->started);
    long left_ms = limit_ms - (long)(since / 1000);
    if (left_ms > 0) {
        set_limit(call, left_ms);
        return;
    }
    char message[400];
    snprintf(message, sizeof message,
             call->spoke
                 ? "the LLM server at %s fell silent for %ld ms within its answer (%sidle_ms)"
                 : "the LLM server at %s sent no token within %ld ms (%sfirst_token_ms)",
             server->peer, limit_ms, server->where);
    tell_failed(call, &(upstream_failure_t){.trouble = UPSTREAM_DOWN,
                                            .status = 504,
                                            .code = "llm_timeout",
                                            .message = message,
                                            .retry_after_s = -1});
    call_destroy(call);
}

// ---- what the server sends --------------------------------------------------------------

static void take_text(openai_call_t *call, const char *text, size_t size)
{
    if (!call->spoke) {
        call->spoke = true;
        set_limit(call, call->server->idle_ms);
    }
    if (!call->events.text(call->arg, text, size))
        call->paused = true;
}

static void tell_reading(openai_call_t *call, unsigned percent)
{
    uint64_t now = rl_now_us();
    if (call->spoke || percent >= 100 || now - call->told_reading < READING_US)
        return;
    call->told_reading = now;
    call->events.reading(call->arg, percent);
}

static void take_chunk(openai_call_t *call, const openai_chunk_t *chunk)
{
    char told[TOLD], message[TOLD + 300];
    if (chunk->error) {
        openai_error_text(chunk->error, strlen(chunk->error), told, sizeof told);
        snprintf(message, sizeof message, "the LLM server at %s reported: %s", call->server->peer,
                 told);
        tell_failed(call, &(upstream_failure_t){.trouble = UPSTREAM_DOWN,
                                                .status = 502,
                                                .code = "llm_failed",
                                                .message = message,
                                                .retry_after_s = -1});
        return;
    }
    if (chunk->model && !call->model)
        call->model = strdup(chunk->model);
    if (chunk->counted) {
        call->end.counted = true;
        call->end.prompt_tokens = chunk->prompt_tokens;
        call->end.completion_tokens = chunk->completion_tokens;
    }
    if (chunk->cached_tokens >= 0)
        call->end.cached_tokens = chunk->cached_tokens;
    if (chunk->prefill_ms >= 0)
        call->end.prefill_ms = chunk->prefill_ms;
    if (chunk->read_tokens >= 0)
        call->end.read_tokens = chunk->read_tokens;
    if (chunk->reading >= 0)
        tell_reading(call, (unsigned)chunk->reading);
    if (chunk->reasoning && !call->thought) {
        call->thought = true;
        if (!call->spoke)
            set_limit(call, call->server->idle_ms);
        call->spoke = true; // the silence is over
        call->events.progress(call->arg, "reasoning", "The model is thinking…");
    }
    for (size_t at = 0, part; at < chunk->text_size && !call->over; at += part) {
        part = chunk->text_size - at < PIECE ? chunk->text_size - at : PIECE;
        take_text(call, chunk->text + at, part);
    }
    if (chunk->finish && !call->over)
        snprintf(call->finish, sizeof call->finish, "%.31s", chunk->finish);
}

static bool on_event(void *arg, const char *name, const char *data, size_t size)
{
    openai_call_t *call = arg;
    (void)name; // an error may come as "event: error": its data says so, too
    if (size == 6 && memcmp(data, "[DONE]", 6) == 0) {
        tell_done(call);
        return false;
    }
    openai_chunk_t chunk;
    const char *why = "";
    if (openai_chunk_read(&chunk, data, size, &why) == 0)
        take_chunk(call, &chunk);
    else
        broken(call, why, data, size);
    openai_chunk_free(&chunk);
    return !call->over;
}

static void note_times(openai_call_t *call)
{
    upstream_times_t *times = &call->times;
    rl_fetch_times(call->fetch, &times->connect_us, &times->sent_us, &times->first_byte_us);
    times->sent_us += call->asked_after;
    times->first_byte_us += call->asked_after;
}

static void begin_body(openai_call_t *call, const char *data, size_t size)
{
    size_t at = 0;
    while (at < size && strchr(" \t\r\n", data[at]) && data[at])
        at++;
    if (at == size)
        return; // line ends before anything: an event stream may begin so
    call->kind = data[at] == '{' || data[at] == '<' || data[at] == '[' ? WHOLE : EVENT_STREAM;
    if (call->kind == EVENT_STREAM)
        call->sse = rl_sse_new(EVENT_MAX, on_event, call);
}

static bool on_data(void *arg, const char *data, size_t size)
{
    openai_call_t *call = arg;
    if (call->over)
        return true; // the rest of a response that was answered
    call->busy = true;
    call->active = rl_now_us();
    if (!call->times.first_byte_us)
        note_times(call);
    if (call->kind == NOT_BEGUN)
        begin_body(call, data, size);
    if (call->kind == WHOLE && rl_buf_add(&call->whole, data, size) != 0)
        broken(call, "more than 1 MiB that is no event stream", "", 0);
    if (call->kind == EVENT_STREAM &&
        (!call->sse || (rl_sse_feed(call->sse, data, size) != 0 && !call->over)))
        broken(call, "an event of more than 1 MiB, or lines without end", "", 0);
    call->busy = false;
    if (!call->over)
        return !call->paused;
    // after [DONE] only the end of the response is awaited, so that its connection can be used
    // again; anything else ends it here
    set_limit(call, call->answered ? DRAIN_MS : 0);
    return true;
}

// A response that is no event stream: a whole answer, an error, or something else altogether.
static void take_whole(openai_call_t *call, const rl_fetch_result_t *result)
{
    openai_chunk_t chunk;
    const char *why = "", *data = call->whole.data;
    char what[240];
    if (data[0] == '<' || strstr(result->type, "html")) {
        snprintf(what, sizeof what, "HTML instead of an answer (is %surl right?)",
                 call->server->where);
        broken(call, what, data, call->whole.size);
        return;
    }
    if (openai_chunk_read(&chunk, data, call->whole.size, &why) != 0) {
        broken(call, why, data, call->whole.size);
    } else {
        take_chunk(call, &chunk);
        if (!call->over && (call->finish[0] || call->spoke))
            tell_done(call);
        else if (!call->over)
            broken(call, "JSON without an answer", data, call->whole.size);
    }
    openai_chunk_free(&chunk);
}

static void end_stream(openai_call_t *call, const rl_fetch_result_t *result)
{
    if (call->sse)
        rl_sse_end(call->sse);
    if (call->over)
        return;
    if (call->finish[0]) {
        tell_done(call); // some servers leave [DONE] out
        return;
    }
    char what[160];
    snprintf(what, sizeof what, "%s (Content-Type: %.60s)",
             call->spoke ? "an answer that ends without finish_reason or [DONE]"
                         : "a response without an answer",
             result->type[0] ? result->type : "none");
    broken(call, what, "", 0);
}

static void on_answered(void *arg, const rl_fetch_result_t *result)
{
    openai_call_t *call = arg;
    call->fetch = NULL;
    call->busy = true;
    if (result->ok)
        call->server->heard_us = rl_now_us();
    bool success = result->status >= 200 && result->status < 300;
    if (!call->over && (!result->ok || !success)) {
        if (call->finish[0] && success)
            tell_done(call); // the answer was complete, only its end was not
        else
            fail_result(call, result);
    } else if (!call->over && call->kind == WHOLE) {
        take_whole(call, result);
    } else if (!call->over) {
        end_stream(call, result);
    }
    call_destroy(call);
}

// ---- asking -----------------------------------------------------------------------------

static int ask_now(openai_call_t *call)
{
    rl_buf_t body = rl_buf_make(BODY_MAX);
    rl_buf_adds(&body, "{\"model\":");
    rl_buf_add_json(&body, call->server->model, strlen(call->server->model));
    if (rl_buf_add(&body, call->request.data, call->request.size) == 0)
        call->fetch = openai_server_fetch(call->server, "/chat/completions",
                                          &(rl_fetch_request_t){.accept = "text/event-stream",
                                                                .body = body.data,
                                                                .body_size = body.size,
                                                                .traceparent = call->traceparent,
                                                                .tracestate = call->tracestate,
                                                                .on_data = on_data,
                                                                .on_done = on_answered,
                                                                .arg = call});
    rl_buf_free(&body);
    rl_buf_free(&call->request);
    call->asked_after = rl_now_us() - call->started;
    return call->fetch ? 0 : -1;
}

// ---- the model's name -------------------------------------------------------------------

static void on_models(void *arg, const rl_fetch_result_t *result)
{
    openai_call_t *call = arg;
    openai_server_t *self = call->server;
    call->fetch = NULL;
    if (self->model[0] || openai_server_learn(self, result)) {
        if (ask_now(call) == 0)
            return;
        broken(call, "nothing: the request could not be made", "", 0);
    } else if (!result->ok || result->status >= 300) {
        fail_result(call, result);
    } else {
        char what[240];
        snprintf(what, sizeof what, "no list of models (set %smodel)", self->where);
        broken(call, what, result->body, result->body_size);
    }
    call_destroy(call);
}

// ---- the backend ------------------------------------------------------------------------

static void openai_resume(upstream_call_t *base)
{
    openai_call_t *call = (openai_call_t *)base;
    if (!call->paused || call->over)
        return;
    call->paused = false;
    call->active = rl_now_us();
    set_limit(call, call->server->idle_ms);
    if (call->fetch)
        rl_fetch_resume(call->fetch);
}

static void openai_cancel(upstream_call_t **base_p)
{
    openai_call_t *call = (openai_call_t *)*base_p;
    *base_p = NULL;
    if (!call)
        return;
    call->over = true;
    rl_fetch_cancel(&call->fetch);
    if (call->busy)
        set_limit(call, 0); // from within one of its callbacks
    else
        call_destroy(call);
}

static openai_reading_t reading_of(const openai_server_t *server, bool prefill)
{
    if (server->kind == OPENAI_LLAMA)
        return prefill ? OPENAI_READS_ONLY : OPENAI_SAYS_HOW_FAR;
    return prefill ? OPENAI_READS_ONE : OPENAI_SAYS_NOTHING;
}

static upstream_call_t *openai_start(upstream_t *base, const upstream_ask_t *ask,
                                     const upstream_events_t *events, void *arg)
{
    openai_t *self = (openai_t *)base;
    openai_call_t *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->server = &self->server;
    LIST_INSERT_HEAD(&self->calls, call, list);
    call->events = *events;
    call->arg = arg;
    call->request = rl_buf_make(BODY_MAX);
    call->whole = rl_buf_make(WHOLE_MAX);
    call->end.cached_tokens = -1;
    call->end.prefill_ms = -1;
    call->end.read_tokens = -1;
    call->started = call->active = rl_now_us();
    snprintf(call->traceparent, sizeof call->traceparent, "%.63s", ask->generate->traceparent);
    const char *tracestate = ask->generate->tracestate;
    call->tracestate = tracestate && *tracestate ? strdup(tracestate) : NULL;
    evtimer_assign(&call->limit, self->server.loop, on_limit, call);
    set_limit(call, self->server.first_token_ms);
    int bad = openai_request_write(&call->request, ask, self->server.params,
                                   reading_of(&self->server, ask->prefill), &call->has_params);
    if (!bad && self->server.model[0])
        bad = ask_now(call);
    else if (!bad)
        call->fetch = openai_server_fetch(call->server, "/models",
                                          &(rl_fetch_request_t){.timeout_ms = OPENAI_MODELS_MS,
                                                                .on_done = on_models,
                                                                .arg = call});
    if (!bad && call->fetch)
        return (upstream_call_t *)call;
    call_destroy(call);
    return NULL;
}

static bool openai_configure(upstream_t *base, const upstream_settings_t *settings)
{
    return openai_server_configure(&((openai_t *)base)->server, settings);
}

static const char *openai_model(const upstream_t *base)
{
    return ((const openai_t *)base)->server.model;
}

static upstream_keeps_t openai_keeps(const upstream_t *base)
{
    const openai_server_t *server = &((const openai_t *)base)->server;
    bool kind = server->kind == OPENAI_LLAMA || server->kind == OPENAI_VLLM;
    return (upstream_keeps_t){.prompts = server->keeps && kind && server->model[0],
                              .whole = server->kind == OPENAI_LLAMA,
                              .slots = server->slots};
}

static void openai_destroy(upstream_t **base_p)
{
    openai_t *self = (openai_t *)*base_p;
    if (!self)
        return;
    while (!LIST_EMPTY(&self->calls)) // those whose response has not ended yet
        call_destroy(LIST_FIRST(&self->calls));
    openai_server_free(&self->server);
    free(self);
    *base_p = NULL;
}

static const upstream_type_t openai_type = {
    .name = "openai",
    .check = openai_server_check,
    .configure = openai_configure,
    .model = openai_model,
    .keeps = openai_keeps,
    .start = openai_start,
    .resume = openai_resume,
    .cancel = openai_cancel,
    .destroy = openai_destroy,
};

upstream_t *upstream_openai_new(struct event_base *base, rl_fetcher_t *fetcher)
{
    openai_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->base.type = &openai_type;
    openai_server_init(&self->server, base, fetcher);
    return &self->base;
}
