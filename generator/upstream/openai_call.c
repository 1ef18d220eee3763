// openai_call: one response of an LLM server, from its first byte to its end.
#include "openai_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "openai_chunk.h"
#include "openai_failure.h"
#include "openai_finish.h"
#include "server_error.h"

enum {
    EVENT_MAX = 1 << 20, // bytes of one chunk of the stream
    PIECE = 32 << 10,    // a whole answer goes on in pieces of so many bytes
    DRAIN_MS = 2000,     // an answered response must end soon, or its connection is given up
    NAMED = 200,         // bytes of a model's name: some servers give a whole path
    READING_US = 200000, // between two tellings of how far the prompt is read
};

void openai_call_destroy(openai_call_t *call)
{
    LIST_REMOVE(call, list);
    rl_fetch_cancel(&call->fetch);
    evtimer_del(&call->limit);
    rl_sse_destroy(&call->sse);
    rl_buf_free(&call->request);
    rl_buf_free(&call->whole);
    rl_buf_free(&call->blanks);
    free(call->model);
    free(call->tracestate);
    free(call);
}

// ---- the end of a call ------------------------------------------------------------------

// Some servers say in their error which key they were given.
static void mask_key(char *message, const char *key)
{
    size_t size = strlen(key);
    for (char *at = size ? strstr(message, key) : NULL; at; at = strstr(at + 1, key))
        memset(at, '*', size);
}

static void openai_call_failed(openai_call_t *call, const backend_failure_t *failure)
{
    if (call->over)
        return;
    call->over = true;
    char message[OPENAI_MESSAGE];
    snprintf(message, sizeof message, "%s", failure->message);
    mask_key(message, call->server->key);
    backend_failure_t told = *failure;
    told.message = message;
    call->events.failed(call->arg, &told);
}

// An answer without a word is said to be one, with the reason.
static void fail_wordless(openai_call_t *call)
{
    char message[OPENAI_MESSAGE];
    backend_failure_t failure = {.kind = BACKEND_MISTAKE, // another server is not asked either
                                 .status = 422,
                                 .message = message,
                                 .retry_after_s = -1};
    const char *finish = call->finish ? call->finish : "stop";
    if (strcmp(finish, "content_filter") == 0) {
        failure.code = "content_filter";
        snprintf(message, sizeof message,
                 "the model's content filter stopped the answer before its first word");
    } else if (strcmp(finish, "length") == 0) {
        failure.code = "length_reached";
        if (call->thought)
            failure.code = "thinking_too_long";
        snprintf(message, sizeof message,
                 "the model used up all its tokens (%llu at most) %s: "
                 "allow more with the request's max_tokens or the generator's llm.max_tokens",
                 (unsigned long long)call->max_tokens,
                 call->thought ? "with thinking and wrote no answer" : "before its first word");
    } else {
        failure.kind = BACKEND_BROKEN;
        failure.status = 502;
        failure.code = "llm_empty_answer";
        snprintf(message, sizeof message, "the LLM server at %s %s", call->server->peer,
                 call->called    ? "called a tool instead of answering"
                 : call->thought ? "sent thoughts, and no answer behind them"
                                 : "answered nothing: its answer ended without a word");
    }
    openai_call_failed(call, &failure);
}

static void openai_call_done(openai_call_t *call)
{
    backend_times_t times = call->times;
    call->answered = true;
    if (call->must_say && !call->worded) {
        fail_wordless(call);
        return;
    }
    call->over = true;
    call->end.finish = call->refused ? "content_filter" : call->finish ? call->finish : "stop";
    call->end.model = call->model ? call->model : call->server->model;
    call->events.done(call->arg, &call->end, &times);
}

void openai_call_broken(openai_call_t *call, const char *what, const char *sample, size_t size)
{
    char told[OPENAI_TOLD] = "", message[OPENAI_MESSAGE];
    rl_server_error_text(sample, size, told, sizeof told);
    snprintf(message, sizeof message, "the LLM server at %s sent %s%s%s", call->server->peer, what,
             told[0] ? ": " : "", told);
    openai_call_failed(call, &(backend_failure_t){.kind = BACKEND_BROKEN,
                                                  .status = 502,
                                                  .code = "llm_broken_answer",
                                                  .message = message,
                                                  .retry_after_s = -1});
}

void openai_call_fail(openai_call_t *call, const rl_fetch_result_t *result)
{
    char message[OPENAI_MESSAGE];
    backend_failure_t failure;
    openai_failure(result, call->server, call->has_params, &failure, message, sizeof message);
    openai_call_failed(call, &failure);
}

// ---- time limits ------------------------------------------------------------------------

void openai_call_set_limit(openai_call_t *call, long ms)
{
    struct timeval time = {ms / 1000, ms % 1000 * 1000};
    evtimer_add(&call->limit, &time);
}

// Signs of life only move a stamp; the timer looks at it when it fires.
void openai_call_on_limit(evutil_socket_t fd, short what, void *arg)
{
    openai_call_t *call = arg;
    const openai_server_t *server = call->server;
    (void)fd;
    (void)what;
    if (call->over) { // drained long enough
        openai_call_destroy(call);
        return;
    }
    if (call->spoke && call->paused)
        return; // resume sets it again
    long limit_ms = call->spoke ? server->idle_ms : server->first_token_ms;
    uint64_t since = rl_now_us() - (call->spoke ? call->active : call->started);
    long left_ms = limit_ms - (long)(since / 1000);
    if (left_ms > 0) {
        openai_call_set_limit(call, left_ms);
        return;
    }
    char message[400];
    snprintf(message, sizeof message,
             call->spoke
                 ? "the LLM server at %s fell silent for %ld ms within its answer (%sidle_ms)"
                 : "the LLM server at %s sent no token within %ld ms (%sfirst_token_ms)",
             server->peer, limit_ms, server->where);
    openai_call_failed(call, &(backend_failure_t){.kind = BACKEND_DOWN,
                                                  .status = 504,
                                                  .code = "llm_timeout",
                                                  .message = message,
                                                  .retry_after_s = -1});
    openai_call_destroy(call);
}

// ---- what the server sends --------------------------------------------------------------

static void take_text(openai_call_t *call, const char *text, size_t size)
{
    if (!call->spoke) {
        call->spoke = true;
        openai_call_set_limit(call, call->server->idle_ms);
    }
    if (!call->events.text(call->arg, text, size))
        call->paused = true;
}

static void take_words(openai_call_t *call, const char *text, size_t size)
{
    for (size_t at = 0, part; at < size && !call->over; at += part) {
        part = size - at < PIECE ? size - at : PIECE;
        take_text(call, text + at, part);
    }
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t at = 0; at < size; at++)
        if (!strchr(" \t\r\n", text[at]) || !text[at])
            return false;
    return true;
}

// White space is no answer: until a word comes, another upstream may be asked.
static void take_content(openai_call_t *call, const char *text, size_t size)
{
    if (size == 0)
        return;
    if (call->finish)
        call->vague = true;
    call->finish = NULL;
    if (!call->worded && call->must_say && is_blank(text, size)) {
        rl_buf_add(&call->blanks, text, size); // more than it takes is nobody's answer
        return;
    }
    if (!call->worded) {
        call->worded = true;
        take_words(call, call->blanks.data, call->blanks.size);
    }
    take_words(call, text, size);
}

static void take_thought(openai_call_t *call)
{
    if (call->thought)
        return;
    call->thought = true;
    if (!call->spoke)
        openai_call_set_limit(call, call->server->idle_ms);
    call->spoke = true; // the silence is over
    call->events.progress(call->arg, "reasoning", "The model is thinking…");
}

static void take_error(openai_call_t *call, long code, const char *said)
{
    char message[OPENAI_MESSAGE];
    backend_failure_t failure;
    openai_failure_of_error(code, said, call->server, &failure, message, sizeof message);
    openai_call_failed(call, &failure);
}

static void take_finish(openai_call_t *call, const char *said)
{
    const char *means = openai_finish(said);
    char message[OPENAI_TOLD];
    if (!means)
        return;
    if (strcmp(means, said) != 0) {
        rl_server_error_line(said, strlen(said), message, sizeof message);
        rl_log(RL_LOG_DEBUG, call->name, "the LLM server's finish_reason \"%s\" is taken for %s",
               message, means);
    }
    if (strcmp(means, "error") == 0) {
        snprintf(message, sizeof message, "it could not finish the answer (finish_reason: %.60s)",
                 said);
        take_error(call, 0, message);
        return;
    }
    call->finish = means;
}

static void tell_reading(openai_call_t *call, unsigned percent)
{
    uint64_t now = rl_now_us();
    if (call->spoke || percent >= 100 || now - call->told_reading < READING_US)
        return;
    call->told_reading = now;
    call->events.reading(call->arg, percent);
}

static void take_numbers(openai_call_t *call, const openai_chunk_t *chunk)
{
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
}

static void take_chunk(openai_call_t *call, const openai_chunk_t *chunk)
{
    if (chunk->error) {
        take_error(call, chunk->error_code, chunk->error);
        return;
    }
    if (chunk->model && !call->model) {
        char model[NAMED];
        rl_server_error_line(chunk->model, strlen(chunk->model), model, sizeof model);
        call->model = rl_strdup(model);
    }
    take_numbers(call, chunk);
    if (chunk->reasoning)
        take_thought(call);
    call->called = call->called || chunk->tool_call;
    take_content(call, chunk->text, chunk->text_size);
    if (chunk->refusal && !call->over) { // the person reads why there is no answer
        call->refused = true;
        take_content(call, chunk->refusal, chunk->refusal_size);
    }
    if (chunk->finish && !call->over)
        take_finish(call, chunk->finish);
}

static bool on_event(void *arg, const char *name, const char *data, size_t size)
{
    openai_call_t *call = arg;
    (void)name; // an error may come as "event: error": its data says so, too
    if (size == 6 && memcmp(data, "[DONE]", 6) == 0) {
        openai_call_done(call);
        return false;
    }
    openai_chunk_t chunk;
    const char *why = "";
    if (openai_chunk_read(&chunk, data, size, &why) == 0)
        take_chunk(call, &chunk);
    else
        openai_call_broken(call, why, data, size);
    openai_chunk_free(&chunk);
    return !call->over;
}

static void note_times(openai_call_t *call)
{
    backend_times_t *times = &call->times;
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

bool openai_call_on_data(void *arg, const char *data, size_t size)
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
        openai_call_broken(call, "more than 1 MiB that is no event stream", "", 0);
    if (call->kind == EVENT_STREAM &&
        (!call->sse || (rl_sse_feed(call->sse, data, size) != 0 && !call->over)))
        openai_call_broken(call, "an event of more than 1 MiB, or lines without end", "", 0);
    call->busy = false;
    if (!call->over)
        return !call->paused;
    // after [DONE] only the end of the response is awaited, so that its connection can be used
    // again; anything else ends it here
    openai_call_set_limit(call, call->answered ? DRAIN_MS : 0);
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
        openai_call_broken(call, what, data, call->whole.size);
        return;
    }
    if (openai_chunk_read(&chunk, data, call->whole.size, &why) != 0) {
        openai_call_broken(call, why, data, call->whole.size);
    } else {
        take_chunk(call, &chunk);
        if (!call->over && (call->finish || call->spoke))
            openai_call_done(call);
        else if (!call->over)
            openai_call_broken(call, "JSON without an answer", data, call->whole.size);
    }
    openai_chunk_free(&chunk);
}

static void end_stream(openai_call_t *call, const rl_fetch_result_t *result)
{
    if (call->sse)
        rl_sse_end(call->sse);
    if (call->over)
        return;
    if (call->finish && !call->vague) {
        openai_call_done(call); // some servers leave [DONE] out
        return;
    }
    char what[160];
    snprintf(what, sizeof what, "%s (Content-Type: %.60s)",
             call->spoke ? "an answer that ends in the middle: without finish_reason or [DONE]"
                         : "a response without an answer",
             result->type[0] ? result->type : "none");
    openai_call_broken(call, what, "", 0);
}

void openai_call_on_done(void *arg, const rl_fetch_result_t *result)
{
    openai_call_t *call = arg;
    call->fetch = NULL;
    call->busy = true;
    if (result->ok)
        call->server->heard_us = rl_now_us();
    bool success = result->status >= 200 && result->status < 300;
    if (!call->over && (!result->ok || !success)) {
        if (call->finish && !call->vague && success)
            openai_call_done(call); // the answer was complete, only its end was not
        else
            openai_call_fail(call, result);
    } else if (!call->over && call->kind == WHOLE) {
        take_whole(call, result);
    } else if (!call->over) {
        end_stream(call, result);
    }
    openai_call_destroy(call);
}
