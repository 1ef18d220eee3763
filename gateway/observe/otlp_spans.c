// otlp_spans: a timeline becomes a tree of spans.
#include "otlp_spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp_json.h"
#include "trace_context.h"

typedef struct writer {
    otlp_writer_t json;
    const timeline_t *timeline;
    const otlp_about_t *about;
} writer_t;

// A part of the answer's time.
typedef struct interval {
    uint64_t start_us, end_us;
} interval_t;

// ---- helpers ------------------------------------------------------------------------------------

static uint64_t unix_us(const writer_t *w, uint64_t us)
{
    return (uint64_t)w->timeline->wall_us + us;
}

// Begins a span, cut at the answer's end.
static void begin_span(writer_t *w, const char *id, const char *parent, otlp_kind_t kind,
                       const char *name, const char *of, interval_t when)
{
    const timeline_t *timeline = w->timeline;
    bool root = id == timeline->span_id;
    if (when.end_us > timeline->end_us)
        when.end_us = timeline->end_us;
    if (when.start_us > when.end_us)
        when.start_us = when.end_us;
    otlp_begin(&w->json, &(otlp_span_t){.trace_id = timeline->trace_id,
                                        .id = id,
                                        .parent = parent,
                                        .remote = root && *parent,
                                        .state = timeline->tracestate,
                                        .kind = kind,
                                        .name = name,
                                        .of = of,
                                        .start_us = unix_us(w, when.start_us),
                                        .end_us = unix_us(w, when.end_us)});
}

static void end_span(writer_t *w, const char *error, const char *words)
{
    if (error)
        otlp_text(&w->json, "error.type", *error ? error : "_OTHER");
    otlp_end(&w->json, error, words);
}

// Left out where it is 0.
static void add_number(writer_t *w, const char *name, uint64_t number)
{
    if (number > 0)
        otlp_number(&w->json, name, number);
}

static void add_server(writer_t *w, const otlp_server_t *server)
{
    otlp_text(&w->json, "server.address", server->address);
    if (server->address[0] && server->port)
        otlp_number(&w->json, "server.port", server->port);
}

static interval_t interval_of(const span_t *span)
{
    return (interval_t){span->start_us, span->start_us + span->took_us};
}

// From this step to the one after it.
static interval_t step_interval(const timeline_t *timeline, size_t at)
{
    return (interval_t){timeline->steps[at].start_us, at + 1 < timeline->steps_size
                                                          ? timeline->steps[at + 1].start_us
                                                          : timeline->end_us};
}

// A failed answer fails the step in which it ended.
static const char *error_of_step(const timeline_t *timeline, size_t at)
{
    bool last = at + 2 >= timeline->steps_size; // the last one is the outcome
    return last && timeline->outcome == REQUEST_FAILED ? timeline->error : NULL;
}

// ---- the answer ---------------------------------------------------------------------------------

static void add_event(writer_t *w, const char *name, uint64_t us)
{
    if (us > 0)
        otlp_event(&w->json, name, unix_us(w, us));
}

static const char *route_of(const char *form)
{
    return strcmp(form, "chat") == 0     ? "/v1/chat/completions"
           : strcmp(form, "search") == 0 ? "/v1/search"
           : strcmp(form, "draft") == 0  ? "/v1/draft"
                                         : "/v1/ask";
}

static void write_answer(writer_t *w)
{
    const timeline_t *t = w->timeline;
    const char *route = route_of(t->form);
    const char *error = t->outcome == REQUEST_FAILED ? t->error : NULL;
    begin_span(w, t->span_id, t->parent_id, OTLP_SERVER, "POST", route, (interval_t){0, t->end_us});
    otlp_text(&w->json, "http.request.method", "POST");
    otlp_text(&w->json, "http.route", route);
    otlp_text(&w->json, "ragline.answer", t->id);
    otlp_text(&w->json, "ragline.outcome", request_state_names[t->outcome]);
    otlp_text(&w->json, "ragline.caller", t->caller);
    otlp_text(&w->json, "ragline.collection", t->collection);
    otlp_number(&w->json, "ragline.sources.answered", t->answered);
    otlp_number(&w->json, "ragline.sources.asked", t->of);
    otlp_number(&w->json, "ragline.tokens", t->tokens);
    otlp_number(&w->json, "ragline.client_wait_us", t->client_us);
    add_number(w, "ragline.hedges", t->hedges);
    add_number(w, "ragline.retries", t->retries);
    add_number(w, "ragline.continuations", t->continuations);
    add_number(w, "ragline.spans_lost", t->spans_lost);
    if (error)
        otlp_text(&w->json, "error.type", *error ? error : "_OTHER");
    add_event(w, "ragline.first_status", t->first_status_us);
    add_event(w, "ragline.found", t->found_us);
    add_event(w, "ragline.sources", t->sources_us);
    add_event(w, "ragline.quick_answer", t->preview_us);
    add_event(w, "ragline.first_token", t->first_token_us);
    otlp_end(&w->json, error, t->error);
}

// ---- retrieval ----------------------------------------------------------------------------------

static void write_search(writer_t *w, const span_t *span, const char *parent, unsigned nth)
{
    char id[17], part[17];
    interval_t when = interval_of(span);
    uint64_t queued = when.start_us + span->queue_us, worked = queued + span->work_us;
    trace_span_id(w->timeline->span_id, TRACE_SEARCH, nth, id);
    begin_span(w, id, parent, OTLP_INTERNAL, "search", kind_names[span->kind], when);
    otlp_text(&w->json, "ragline.collection", span->collection);
    otlp_number(&w->json, "ragline.shard", span->shard);
    otlp_text(&w->json, "ragline.kind", kind_names[span->kind]);
    otlp_text(&w->json, "ragline.worker", span->worker);
    add_number(w, "ragline.dispatch_us", span->dispatch);
    if (span->tries > 1)
        otlp_number(&w->json, "ragline.tries", span->tries);
    if (span->hedged)
        otlp_true(&w->json, "ragline.hedged");
    if (span->hedge_won)
        otlp_true(&w->json, "ragline.hedge_won");
    end_span(w, span->missing ? "source_missing" : NULL, span->missing ? span->missing : "");
    if (span->missing || (!span->queue_us && !span->work_us))
        return;
    trace_span_id(w->timeline->span_id, TRACE_SEARCH_QUEUE, nth, part);
    begin_span(w, part, id, OTLP_INTERNAL, "queue", NULL, (interval_t){when.start_us, queued});
    end_span(w, NULL, "");
    trace_span_id(w->timeline->span_id, TRACE_SEARCH_WORK, nth, part);
    begin_span(w, part, id, OTLP_INTERNAL, "work", NULL, (interval_t){queued, worked});
    end_span(w, NULL, "");
}

static void write_embedding(writer_t *w, const span_t *span, const char *parent, unsigned nth)
{
    char id[17];
    const otlp_server_t *about = &w->about->embed;
    // "cache", "shared": another question's call
    bool cached = span->detail && strcmp(span->detail, "server") != 0;
    trace_span_id(w->timeline->span_id, TRACE_EMBED, nth, id);
    begin_span(w, id, parent, cached ? OTLP_INTERNAL : OTLP_CLIENT, "embeddings", about->model,
               interval_of(span));
    otlp_text(&w->json, "gen_ai.operation.name", "embeddings");
    otlp_text(&w->json, "gen_ai.provider.name", "openai");
    otlp_text(&w->json, "gen_ai.request.model", about->model);
    if (cached)
        otlp_text(&w->json, "ragline.cache", span->detail);
    else
        add_server(w, about);
    end_span(w, NULL, "");
}

static void write_retrieval(writer_t *w, size_t at)
{
    const timeline_t *t = w->timeline;
    char id[17];
    bool one = strcmp(t->collection, "several") != 0;
    const char *error = error_of_step(t, at);
    trace_span_id(t->span_id, TRACE_RETRIEVAL, 0, id);
    begin_span(w, id, t->span_id, OTLP_INTERNAL, "retrieval", one ? t->collection : NULL,
               step_interval(t, at));
    otlp_text(&w->json, "gen_ai.operation.name", "retrieval");
    otlp_text(&w->json, "gen_ai.provider.name", "ragline");
    otlp_text(&w->json, "gen_ai.data_source.id", one ? t->collection : NULL);
    otlp_text(&w->json, "ragline.cache", t->cache); // "answer": all of it was given before
    end_span(w, error, error ? error : "");
    unsigned embeddings = 0, searches = 0;
    for (size_t nth = 0; nth < t->spans_size; nth++) {
        if (t->spans[nth].stage == STAGE_EMBED)
            write_embedding(w, &t->spans[nth], id, embeddings++);
        else if (t->spans[nth].stage == STAGE_SEARCH_WORK)
            write_search(w, &t->spans[nth], id, searches++);
    }
}

static void write_rewrite(writer_t *w, size_t at)
{
    const timeline_t *t = w->timeline;
    char id[17];
    const char *error = error_of_step(t, at);
    trace_span_id(t->span_id, TRACE_REWRITE, 0, id);
    begin_span(w, id, t->span_id, OTLP_CLIENT, "chat", w->about->llm.model, step_interval(t, at));
    otlp_text(&w->json, "gen_ai.operation.name", "chat");
    otlp_text(&w->json, "gen_ai.provider.name", "openai");
    otlp_text(&w->json, "gen_ai.request.model", w->about->llm.model);
    add_server(w, &w->about->llm);
    otlp_text(&w->json, "ragline.stage", "rewrite");
    end_span(w, error, error ? error : "");
}

// ---- generation ---------------------------------------------------------------------------------

// An answer at one generator: a state of generating, and of streaming after it.
typedef struct generation {
    unsigned nth;
    interval_t when, chat; // chat: with the LLM
    uint64_t from_us;  // its parts begin from here on (the task leaves before the state changes)
    uint64_t first_us; // the LLM's first token, 0 if none is known of
    const char *worker;
    bool last;
} generation_t;

static bool is_part(const generation_t *self, const span_t *span)
{
    bool of_generator = span->stage >= STAGE_GENERATOR_QUEUE && span->stage <= STAGE_TOKENS &&
                        span->stage != STAGE_RELAY;
    return of_generator && span->start_us >= self->from_us && span->start_us <= self->when.end_us;
}

static bool is_llm(stage_t stage)
{
    return stage == STAGE_CONNECT || stage == STAGE_SEND || stage == STAGE_PREFILL ||
           stage == STAGE_TOKENS;
}

// Its worker, and when the LLM was called, by its parts.
static void read_parts(const timeline_t *t, generation_t *self)
{
    bool asked = false;
    for (size_t at = 0; at < t->spans_size; at++) {
        const span_t *span = &t->spans[at];
        interval_t part = interval_of(span);
        if (span->stage == STAGE_GENERATE_LOST && span->start_us >= self->from_us &&
            span->start_us <= self->when.end_us)
            self->worker = span->worker;
        if (!is_part(self, span))
            continue;
        self->worker = span->worker;
        if (part.start_us < self->when.start_us)
            self->when.start_us = part.start_us;
        if (span->stage == STAGE_PREFILL)
            self->first_us = part.end_us;
        if (!is_llm(span->stage))
            continue;
        if (!asked || part.start_us < self->chat.start_us)
            self->chat.start_us = part.start_us;
        if (!asked || part.end_us > self->chat.end_us)
            self->chat.end_us = part.end_us;
        asked = true;
    }
    if (!asked)
        self->chat = self->when;
}

// Of "host:port", "[::1]:port" or "host".
static otlp_server_t read_server(const char *peer)
{
    otlp_server_t out = {.address = ""};
    const char *colon = strrchr(peer, ':');
    if (colon && strchr(colon, ']'))
        colon = NULL; // within an IPv6 address
    size_t size = colon ? (size_t)(colon - peer) : strlen(peer);
    bool six = *peer == '[' && size > 2;
    snprintf(out.address, sizeof out.address, "%.*s", (int)(six ? size - 2 : size), peer + six);
    out.port = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
    return out;
}

static void write_chat(writer_t *w, const generation_t *self, const char *id, const char *parent,
                       const char *error)
{
    const timeline_t *t = w->timeline;
    bool extractive = strcmp(t->upstream, "extractive") == 0;
    begin_span(w, id, parent, extractive ? OTLP_INTERNAL : OTLP_CLIENT, "chat", t->model,
               self->chat);
    otlp_text(&w->json, "gen_ai.operation.name", "chat");
    otlp_text(&w->json, "gen_ai.provider.name", extractive ? "ragline" : "openai");
    otlp_text(&w->json, "gen_ai.request.model", t->model);
    if (!extractive)
        otlp_true(&w->json, "gen_ai.request.stream");
    if (self->first_us > self->chat.start_us)
        otlp_seconds(&w->json, "gen_ai.response.time_to_first_chunk",
                     self->first_us - self->chat.start_us);
    if (self->last && t->outcome == REQUEST_DONE) {
        const otlp_server_t answered = read_server(t->server);
        add_server(w, &answered);
        otlp_text(&w->json, "gen_ai.response.model", t->model);
        otlp_list(&w->json, "gen_ai.response.finish_reasons", t->finish);
        otlp_number(&w->json, "gen_ai.usage.input_tokens", t->prompt_tokens);
        otlp_number(&w->json, "gen_ai.usage.output_tokens", t->completion_tokens);
        if (t->cached_known)
            otlp_number(&w->json, "gen_ai.usage.cache_read.input_tokens", t->cached_tokens);
        if (t->prefill_ms >= 0)
            otlp_seconds(&w->json, "ragline.server_prefill_seconds",
                         (uint64_t)(t->prefill_ms * 1000));
    }
    end_span(w, error, error ? error : "");
}

static void write_parts(writer_t *w, const generation_t *self, const char *id, const char *chat)
{
    const timeline_t *t = w->timeline;
    for (size_t at = 0; at < t->spans_size; at++) {
        const span_t *span = &t->spans[at];
        char part[17];
        if (!is_part(self, span))
            continue;
        trace_span_id(t->span_id, TRACE_PART, self->nth * STAGES + (unsigned)span->stage, part);
        begin_span(w, part, is_llm(span->stage) ? chat : id, OTLP_INTERNAL,
                   stage_names[span->stage], NULL, interval_of(span));
        end_span(w, NULL, "");
    }
}

static void write_generation(writer_t *w, size_t at, unsigned nth)
{
    const timeline_t *t = w->timeline;
    char id[17], chat[17];
    size_t end = at;
    while (end + 1 < t->steps_size && t->steps[end + 1].state == REQUEST_STREAMING)
        end++;
    generation_t self = {.nth = nth,
                         .when = {t->steps[at].start_us, step_interval(t, end).end_us},
                         .from_us = at > 0 ? t->steps[at - 1].start_us : 0,
                         .worker = "",
                         .last = end + 2 >= t->steps_size};
    const char *error = self.last ? error_of_step(t, end) : "generator_lost";
    read_parts(t, &self);
    trace_span_id(t->span_id, TRACE_GENERATION, nth, id);
    trace_span_id(t->span_id, TRACE_CHAT, nth, chat);
    begin_span(w, id, t->span_id, OTLP_INTERNAL, "generation", NULL, self.when);
    otlp_text(&w->json, "ragline.worker", self.worker);
    if (self.last && t->tokens_trimmed)
        otlp_number(&w->json, "ragline.prompt.tokens_trimmed", t->tokens_trimmed);
    end_span(w, error, error ? error : "");
    write_chat(w, &self, chat, id, error);
    write_parts(w, &self, id, chat);
}

// ---- states -------------------------------------------------------------------------------------

static void write_state(writer_t *w, const char *name, size_t at)
{
    const timeline_t *t = w->timeline;
    char id[17];
    const char *error = error_of_step(t, at);
    trace_span_id(t->span_id, TRACE_STATE, (unsigned)at, id);
    begin_span(w, id, t->span_id, OTLP_INTERNAL, name, NULL, step_interval(t, at));
    end_span(w, error, error ? error : "");
}

size_t otlp_write_spans(const timeline_t *timeline, const otlp_about_t *about, rl_buf_t *out)
{
    writer_t w = {.json = {.out = out}, .timeline = timeline, .about = about};
    unsigned generations = 0;
    write_answer(&w);
    for (size_t at = 0; at < timeline->steps_size; at++) {
        switch (timeline->steps[at].state) {
        case REQUEST_REWRITING:
            write_rewrite(&w, at);
            break;
        case REQUEST_SEARCHING:
            write_retrieval(&w, at);
            break;
        case REQUEST_MERGING:
            write_state(&w, "merge", at);
            break;
        case REQUEST_WAITING:
            write_state(&w, "wait", at);
            break;
        case REQUEST_GENERATING:
            write_generation(&w, at, generations++);
            break;
        default:
            break;
        }
    }
    return w.json.spans;
}
