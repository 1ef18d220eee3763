// otlp_spans: a timeline becomes spans in OTLP's JSON: names in lowerCamelCase, ids in hexadecimal,
// 64-bit numbers as text (OpenTelemetry protocol specification, "JSON Protobuf Encoding").
#include "otlp_spans.h"

#include <stdlib.h>
#include <string.h>

#include "trace_context.h"
#include "utf8.h"

// Span.SpanKind and Status.StatusCode of opentelemetry/proto/trace/v1/trace.proto.
typedef enum span_kind {
    KIND_INTERNAL = 1,
    KIND_SERVER = 2,
    KIND_CLIENT = 3,
} span_kind_t;

enum {
    STATUS_ERROR = 2,
    NAME_MAX_BYTES = 1024, // of a span
    // Span.flags above the W3C's: whether the parent is another process's, and that this is known
    FLAG_HAS_REMOTE = 0x100,
    FLAG_REMOTE = 0x200,
};

typedef struct writer {
    const timeline_t *timeline;
    const otlp_about_t *about;
    rl_buf_t *out;
    rl_buf_t name; // scratch
    size_t spans;
    bool attributes; // of the span at hand, some are written
} writer_t;

// A stretch of the answer.
typedef struct stretch {
    uint64_t start_us, end_us;
} stretch_t;

// ------------------------------------------------------------------------------------ attributes

static void key(writer_t *w, const char *name)
{
    rl_buf_addf(w->out, "%s{\"key\":\"%s\",\"value\":{", w->attributes ? "," : "", name);
    w->attributes = true;
}

// A collector refuses a whole batch for one byte that is not UTF-8.
static void json_text(rl_buf_t *out, const char *value, size_t size)
{
    if (rl_utf8_valid(value, size)) {
        rl_buf_add_json(out, value, size);
        return;
    }
    char *good = rl_utf8_repair(value, size, &size);
    rl_buf_add_json(out, good ? good : "", good ? size : 0);
    free(good);
}

static void text(writer_t *w, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    key(w, name);
    rl_buf_adds(w->out, "\"stringValue\":");
    json_text(w->out, value, strlen(value));
    rl_buf_adds(w->out, "}}");
}

static void number(writer_t *w, const char *name, uint64_t value)
{
    key(w, name);
    rl_buf_addf(w->out, "\"intValue\":\"%llu\"}}", (unsigned long long)value);
}

static void seconds(writer_t *w, const char *name, double value)
{
    key(w, name);
    rl_buf_addf(w->out, "\"doubleValue\":%.6f}}", value);
}

static void truth(writer_t *w, const char *name)
{
    key(w, name);
    rl_buf_adds(w->out, "\"boolValue\":true}}");
}

static void list_of_one(writer_t *w, const char *name, const char *value)
{
    if (!*value)
        return;
    key(w, name);
    rl_buf_adds(w->out, "\"arrayValue\":{\"values\":[{\"stringValue\":");
    json_text(w->out, value, strlen(value));
    rl_buf_adds(w->out, "}]}}}");
}

void otlp_write_text(rl_buf_t *out, const char *name, const char *value)
{
    rl_buf_adds(out, "{\"key\":");
    rl_buf_add_json(out, name, strlen(name));
    rl_buf_adds(out, ",\"value\":{\"stringValue\":");
    rl_buf_add_json(out, value, strlen(value));
    rl_buf_adds(out, "}}");
}

static void server(writer_t *w, const otlp_server_t *server)
{
    text(w, "server.address", server->address);
    if (server->address[0] && server->port)
        number(w, "server.port", server->port);
}

// ----------------------------------------------------------------------------------------- spans

static unsigned long long unix_ns(const writer_t *w, uint64_t us)
{
    return ((unsigned long long)w->timeline->wall_us + us) * 1000;
}

static void times(writer_t *w, stretch_t when)
{
    uint64_t end = w->timeline->end_us;
    if (when.end_us > end)
        when.end_us = end;
    if (when.start_us > when.end_us)
        when.start_us = when.end_us;
    rl_buf_addf(w->out, ",\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\"",
                unix_ns(w, when.start_us), unix_ns(w, when.end_us));
}

// Begins a span, whose name is one word or two; its attributes follow, then end_span.
static void begin_span(writer_t *w, const char *id, const char *parent, span_kind_t kind,
                       const char *name, const char *of, stretch_t when)
{
    const timeline_t *timeline = w->timeline;
    bool root = strcmp(id, timeline->span_id) == 0;
    unsigned flags = TRACE_SAMPLED | FLAG_HAS_REMOTE | (root && *parent ? FLAG_REMOTE : 0);
    rl_buf_addf(w->out, "%s{\"traceId\":\"%s\",\"spanId\":\"%s\"", w->spans++ ? "," : "",
                timeline->trace_id, id);
    if (*parent)
        rl_buf_addf(w->out, ",\"parentSpanId\":\"%s\"", parent);
    rl_buf_clear(&w->name);
    rl_buf_adds(&w->name, name);
    if (of && *of && rl_buf_adds(&w->name, " ") == 0)
        rl_buf_adds(&w->name, of);
    rl_buf_addf(w->out, ",\"flags\":%u,\"kind\":%d,\"name\":", flags, (int)kind);
    json_text(w->out, w->name.data, w->name.size);
    times(w, when);
    rl_buf_adds(w->out, ",\"attributes\":[");
    w->attributes = false;
}

// `error` is a short code, or NULL where nothing went wrong.
static void end_attributes(writer_t *w, const char *error)
{
    if (error)
        text(w, "error.type", *error ? error : "_OTHER");
    rl_buf_adds(w->out, "]");
}

// `words` say what the error means.
static void end_status(writer_t *w, const char *error, const char *words)
{
    if (error) {
        rl_buf_addf(w->out, ",\"status\":{\"code\":%d,\"message\":", STATUS_ERROR);
        json_text(w->out, words, strlen(words));
        rl_buf_adds(w->out, "}");
    }
    rl_buf_adds(w->out, "}");
}

static void end_span(writer_t *w, const char *error, const char *words)
{
    end_attributes(w, error);
    end_status(w, error, words);
}

static stretch_t stretch_of(const span_t *span)
{
    return (stretch_t){span->start_us, span->start_us + span->took_us};
}

// From this step to the one after it.
static stretch_t step_stretch(const timeline_t *timeline, size_t at)
{
    return (stretch_t){timeline->steps[at].start_us, at + 1 < timeline->steps_size
                                                         ? timeline->steps[at + 1].start_us
                                                         : timeline->end_us};
}

// What was under way when the answer failed has failed.
static const char *error_of_step(const timeline_t *timeline, size_t at)
{
    bool last = at + 2 >= timeline->steps_size; // one more says how it ended
    return last && timeline->outcome == REQUEST_FAILED ? timeline->error : NULL;
}

// ------------------------------------------------------------------------------------- the answer

static void event(writer_t *w, const char *name, uint64_t us, bool *some)
{
    if (us == 0)
        return;
    rl_buf_addf(w->out, "%s{\"timeUnixNano\":\"%llu\",\"name\":\"%s\"}", *some ? "," : "",
                unix_ns(w, us), name);
    *some = true;
}

static const char *route_of(const char *form)
{
    return strcmp(form, "chat") == 0     ? "/v1/chat/completions"
           : strcmp(form, "search") == 0 ? "/v1/search"
                                         : "/v1/ask";
}

static void write_answer(writer_t *w)
{
    const timeline_t *t = w->timeline;
    const char *route = route_of(t->form);
    bool failed = t->outcome == REQUEST_FAILED, some = false;
    begin_span(w, t->span_id, t->parent_id, KIND_SERVER, "POST", route, (stretch_t){0, t->end_us});
    text(w, "http.request.method", "POST");
    text(w, "http.route", route);
    text(w, "ragline.answer", t->id);
    text(w, "ragline.outcome", request_state_names[t->outcome]);
    text(w, "ragline.caller", t->caller);
    text(w, "ragline.collection", t->collection);
    number(w, "ragline.sources.answered", t->answered);
    number(w, "ragline.sources.asked", t->of);
    number(w, "ragline.tokens", t->tokens);
    number(w, "ragline.client_wait_us", t->client_us);
    if (t->hedges)
        number(w, "ragline.hedges", t->hedges);
    if (t->retries)
        number(w, "ragline.retries", t->retries);
    if (t->continuations)
        number(w, "ragline.continuations", t->continuations);
    if (t->spans_lost)
        number(w, "ragline.spans_lost", t->spans_lost);
    end_attributes(w, failed ? t->error : NULL);
    rl_buf_adds(w->out, ",\"events\":[");
    event(w, "ragline.first_status", t->first_status_us, &some);
    event(w, "ragline.sources", t->sources_us, &some);
    event(w, "ragline.first_token", t->first_token_us, &some);
    rl_buf_adds(w->out, "]");
    end_status(w, failed ? t->error : NULL, t->error);
}

// ------------------------------------------------------------------------------------- retrieval

static void write_search(writer_t *w, const span_t *span, const char *parent, unsigned nth)
{
    char id[17], part[17];
    stretch_t when = stretch_of(span);
    uint64_t queued = when.start_us + span->queue_us, worked = queued + span->work_us;
    trace_span_id(w->timeline->span_id, TRACE_SEARCH, nth, id);
    begin_span(w, id, parent, KIND_INTERNAL, "search", kind_names[span->kind], when);
    text(w, "ragline.collection", span->collection);
    number(w, "ragline.shard", span->shard);
    text(w, "ragline.kind", kind_names[span->kind]);
    text(w, "ragline.worker", span->worker);
    if (span->dispatch)
        number(w, "ragline.dispatch_us", span->dispatch);
    if (span->tries > 1)
        number(w, "ragline.tries", span->tries);
    if (span->hedged)
        truth(w, "ragline.hedged");
    if (span->hedge_won)
        truth(w, "ragline.hedge_won");
    end_span(w, span->missing ? "source_missing" : NULL, span->missing ? span->missing : "");
    if (span->missing || (!span->queue_us && !span->work_us))
        return;
    trace_span_id(w->timeline->span_id, TRACE_SEARCH_QUEUE, nth, part);
    begin_span(w, part, id, KIND_INTERNAL, "queue", NULL, (stretch_t){when.start_us, queued});
    end_span(w, NULL, "");
    trace_span_id(w->timeline->span_id, TRACE_SEARCH_WORK, nth, part);
    begin_span(w, part, id, KIND_INTERNAL, "work", NULL, (stretch_t){queued, worked});
    end_span(w, NULL, "");
}

static void write_embedding(writer_t *w, const span_t *span, const char *parent, unsigned nth)
{
    char id[17];
    const otlp_server_t *about = &w->about->embed;
    bool cached = span->detail && strcmp(span->detail, "cache") == 0;
    trace_span_id(w->timeline->span_id, TRACE_EMBED, nth, id);
    begin_span(w, id, parent, cached ? KIND_INTERNAL : KIND_CLIENT, "embeddings", about->model,
               stretch_of(span));
    text(w, "gen_ai.operation.name", "embeddings");
    text(w, "gen_ai.provider.name", "openai");
    text(w, "gen_ai.request.model", about->model);
    if (cached)
        truth(w, "ragline.cached");
    else
        server(w, about);
    end_span(w, NULL, "");
}

static void write_retrieval(writer_t *w, size_t at)
{
    const timeline_t *t = w->timeline;
    char id[17];
    bool one = strcmp(t->collection, "several") != 0;
    const char *error = error_of_step(t, at);
    trace_span_id(t->span_id, TRACE_RETRIEVAL, 0, id);
    begin_span(w, id, t->span_id, KIND_INTERNAL, "retrieval", one ? t->collection : NULL,
               step_stretch(t, at));
    text(w, "gen_ai.operation.name", "retrieval");
    text(w, "gen_ai.provider.name", "ragline");
    text(w, "gen_ai.data_source.id", one ? t->collection : NULL);
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
    begin_span(w, id, t->span_id, KIND_CLIENT, "chat", w->about->llm.model, step_stretch(t, at));
    text(w, "gen_ai.operation.name", "chat");
    text(w, "gen_ai.provider.name", "openai");
    text(w, "gen_ai.request.model", w->about->llm.model);
    server(w, &w->about->llm);
    text(w, "ragline.stage", "rewrite");
    end_span(w, error, error ? error : "");
}

// ------------------------------------------------------------------------------------ generation

// An answer at one generator: a state of generating, and of streaming after it.
typedef struct generation {
    unsigned nth;
    stretch_t when, chat; // chat: with the LLM
    uint64_t from_us;     // its parts begin from here on (the task leaves before the state changes)
    uint64_t first_us;    // the LLM's first token, 0 if none is known of
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

// Learns from its parts: which worker, when the LLM was asked.
static void look_at_parts(const timeline_t *t, generation_t *self)
{
    bool asked = false;
    for (size_t at = 0; at < t->spans_size; at++) {
        const span_t *span = &t->spans[at];
        stretch_t part = stretch_of(span);
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

static void write_chat(writer_t *w, const generation_t *self, const char *id, const char *parent,
                       const char *error)
{
    const timeline_t *t = w->timeline;
    bool extractive = strcmp(t->upstream, "extractive") == 0;
    begin_span(w, id, parent, extractive ? KIND_INTERNAL : KIND_CLIENT, "chat", t->model,
               self->chat);
    text(w, "gen_ai.operation.name", "chat");
    text(w, "gen_ai.provider.name", extractive ? "ragline" : "openai");
    text(w, "gen_ai.request.model", t->model);
    if (!extractive)
        truth(w, "gen_ai.request.stream");
    if (self->first_us > self->chat.start_us)
        seconds(w, "gen_ai.response.time_to_first_chunk",
                (double)(self->first_us - self->chat.start_us) / 1e6);
    if (self->last && t->outcome == REQUEST_DONE) {
        text(w, "gen_ai.response.model", t->model);
        list_of_one(w, "gen_ai.response.finish_reasons", t->finish);
        number(w, "gen_ai.usage.input_tokens", t->prompt_tokens);
        number(w, "gen_ai.usage.output_tokens", t->completion_tokens);
        if (t->cached_known)
            number(w, "gen_ai.usage.cache_read.input_tokens", t->cached_tokens);
        if (t->prefill_ms >= 0)
            seconds(w, "ragline.server_prefill_seconds", t->prefill_ms / 1000);
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
        begin_span(w, part, is_llm(span->stage) ? chat : id, KIND_INTERNAL,
                   stage_names[span->stage], NULL, stretch_of(span));
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
                         .when = {t->steps[at].start_us, step_stretch(t, end).end_us},
                         .from_us = at > 0 ? t->steps[at - 1].start_us : 0,
                         .worker = "",
                         .last = end + 2 >= t->steps_size};
    const char *error = self.last ? error_of_step(t, end) : "generator_lost";
    look_at_parts(t, &self);
    trace_span_id(t->span_id, TRACE_GENERATION, nth, id);
    trace_span_id(t->span_id, TRACE_CHAT, nth, chat);
    begin_span(w, id, t->span_id, KIND_INTERNAL, "generation", NULL, self.when);
    text(w, "ragline.worker", self.worker);
    end_span(w, error, error ? error : "");
    write_chat(w, &self, chat, id, error);
    write_parts(w, &self, id, chat);
}

// ----------------------------------------------------------------------------------------- states

static void write_state(writer_t *w, const char *name, size_t at)
{
    const timeline_t *t = w->timeline;
    char id[17];
    const char *error = error_of_step(t, at);
    trace_span_id(t->span_id, TRACE_STATE, (unsigned)at, id);
    begin_span(w, id, t->span_id, KIND_INTERNAL, name, NULL, step_stretch(t, at));
    end_span(w, error, error ? error : "");
}

size_t otlp_write_spans(const timeline_t *timeline, const otlp_about_t *about, rl_buf_t *out)
{
    writer_t w = {
        .timeline = timeline, .about = about, .out = out, .name = rl_buf_make(NAME_MAX_BYTES)};
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
    rl_buf_free(&w.name);
    return w.spans;
}
