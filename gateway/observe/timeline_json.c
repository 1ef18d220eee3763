// timeline_json: a timeline as JSON, and as a Server-Timing header. Written by hand into a buffer:
// every answer carries one, and as a tree of values it was a sixth of the gateway's instructions.
#include "timeline.h"

#include <stdio.h>
#include <string.h>

static void add_us(rl_buf_t *out, uint64_t us)
{
    char text[32], *at = text + sizeof text;
    uint64_t rest = us % 1000, whole = us / 1000;
    for (int digit = 0; digit < 3; digit++, rest /= 10)
        *--at = (char)('0' + rest % 10);
    *--at = '.';
    do
        *--at = (char)('0' + whole % 10);
    while ((whole /= 10) > 0);
    rl_buf_add(out, at, (size_t)(text + sizeof text - at));
}

// "," unless it is the first member, then "name": with the value in milliseconds.
static void add_ms(rl_buf_t *out, const char *name, uint64_t us)
{
    rl_buf_adds(out, ",\"");
    rl_buf_adds(out, name);
    rl_buf_adds(out, "\":");
    add_us(out, us);
}

static void add_text(rl_buf_t *out, const char *name, const char *text)
{
    rl_buf_adds(out, ",\"");
    rl_buf_adds(out, name);
    rl_buf_adds(out, "\":");
    rl_buf_add_json(out, text, strlen(text));
}

static void add_number(rl_buf_t *out, const char *name, uint64_t number)
{
    rl_buf_addf(out, ",\"%s\":%llu", name, (unsigned long long)number);
}

// Puts {, drops the comma that the first member brought.
static size_t begin_object(rl_buf_t *out)
{
    size_t at = out->size;
    rl_buf_adds(out, "{");
    return at;
}

static void end_object(rl_buf_t *out, size_t at)
{
    if (!out->full && out->size > at + 1) {
        memmove(out->data + at + 1, out->data + at + 2, out->size - at - 2);
        out->size--;
    }
    rl_buf_adds(out, "}");
}

static void add_comma(rl_buf_t *out, bool more)
{
    if (more)
        rl_buf_adds(out, ",");
}

static void add_source(rl_buf_t *out, const span_t *span)
{
    char source[160];
    snprintf(source, sizeof source, "%.100s/%llu/%s", span->collection,
             (unsigned long long)span->shard, kind_names[span->kind]);
    add_text(out, "source", source);
}

static void write_states(const timeline_t *self, uint64_t total, rl_buf_t *out)
{
    rl_buf_adds(out, ",\"states\":[");
    for (size_t at = 0; at < self->steps_size && self->steps[at].state < REQUEST_DONE; at++) {
        const timeline_step_t *step = &self->steps[at];
        uint64_t until = at + 1 < self->steps_size ? self->steps[at + 1].start_us : total;
        add_comma(out, at > 0);
        size_t from = begin_object(out);
        add_text(out, "state", request_state_names[step->state]);
        add_ms(out, "start_ms", step->start_us);
        add_ms(out, "ms", until > step->start_us ? until - step->start_us : 0);
        end_object(out, from);
    }
    rl_buf_adds(out, "]");
}

static void write_search(const span_t *span, rl_buf_t *out)
{
    uint64_t inside = span->queue_us + span->work_us;
    add_source(out, span);
    if (span->missing) {
        add_text(out, "missing", span->missing);
    } else {
        add_ms(out, "queue_ms", span->queue_us);
        add_ms(out, "work_ms", span->work_us);
        add_ms(out, "network_ms", span->took_us > inside ? span->took_us - inside : 0);
    }
    if (span->effort_kind && *span->effort_kind) {
        add_text(out, "effort", span->effort_kind);
        add_number(out, "effort_used", span->effort);
        if (span->effort < span->effort_wanted)
            add_number(out, "effort_lowered_from", span->effort_wanted);
    }
    if (span->hedged)
        add_text(out, "hedged",
                 span->hedge_won ? "the second answered first" : "the first answered first");
    if (span->tries > 1)
        add_number(out, "tries", span->tries);
}

static void write_spans(const timeline_t *self, rl_buf_t *out)
{
    rl_buf_adds(out, ",\"spans\":[");
    for (size_t at = 0; at < self->spans_size; at++) {
        const span_t *span = &self->spans[at];
        add_comma(out, at > 0);
        size_t from = begin_object(out);
        add_text(out, "stage", span->collection ? "search" : stage_names[span->stage]);
        add_ms(out, "start_ms", span->start_us);
        add_ms(out, "ms", span->took_us);
        if (*span->worker || span->collection)
            add_text(out, "worker", span->worker);
        if (span->detail)
            add_text(out, "how", span->detail);
        if (span->collection)
            write_search(span, out);
        end_object(out, from);
    }
    rl_buf_adds(out, "]");
    if (self->spans_lost)
        add_number(out, "spans_left_out", self->spans_lost);
}

static void write_path(const timeline_t *self, rl_buf_t *out)
{
    path_step_t path[TIMELINE_MAX_PATH];
    size_t size = timeline_path(self, path);
    rl_buf_adds(out, ",\"critical_path\":[");
    for (size_t at = 0; at < size; at++) {
        add_comma(out, at > 0);
        size_t from = begin_object(out);
        add_text(out, "stage", stage_names[path[at].stage]);
        if (path[at].span && path[at].span->collection)
            add_source(out, path[at].span);
        if (path[at].span && *path[at].span->worker)
            add_text(out, "worker", path[at].span->worker);
        add_ms(out, "start_ms", path[at].start_us);
        add_ms(out, "ms", path[at].took_us);
        add_ms(out, "first_token_without_ms", path[at].without_us);
        end_object(out, from);
    }
    rl_buf_adds(out, "]");
}

static uint64_t unattributed_us(const timeline_t *self, uint64_t total)
{
    uint64_t first = self->steps_size > 0 ? self->steps[0].start_us : total;
    return first < total ? first : total; // states follow each other without a gap
}

void timeline_write(const timeline_t *self, rl_buf_t *out)
{
    uint64_t total = self->end_us;
    size_t from = begin_object(out);
    add_text(out, "trace_id", self->trace_id);
    add_ms(out, "total_ms", total);
    if (self->first_status_us)
        add_ms(out, "first_status_ms", self->first_status_us);
    if (self->found) {
        add_ms(out, "found_ms", self->found_us);
        add_number(out, "found_times", self->found);
    }
    if (self->sources_us)
        add_ms(out, "sources_ms", self->sources_us);
    if (self->preview_us)
        add_ms(out, "quick_answer_ms", self->preview_us);
    if (self->first_token_us)
        add_ms(out, "first_token_ms", self->first_token_us);
    if (self->provisional)
        add_text(out, "provisional", self->provisional);
    if (self->cache)
        add_text(out, "retrieval", self->cache);
    if (self->answer) {
        add_text(out, "answer", self->answer);
        add_ms(out, "answer_age_ms", self->answer_age_us);
    }
    add_ms(out, "client_ms", self->client_us);
    add_ms(out, "unattributed_ms", unattributed_us(self, total));
    if (self->prefill_ms >= 0)
        add_ms(out, "llm_prefill_ms", (uint64_t)(self->prefill_ms * 1000));
    if (self->prompt_tokens)
        add_number(out, "prompt_tokens", self->prompt_tokens);
    if (self->cached_known)
        add_number(out, "cached_tokens", self->cached_tokens);
    if (*self->prompt_hash)
        add_text(out, "prompt_hash", self->prompt_hash);
    if (self->tokens_trimmed) {
        add_number(out, "passages_repeated", self->passages_repeated);
        add_number(out, "passages_cut", self->passages_cut);
        add_number(out, "tokens_trimmed", self->tokens_trimmed);
    }
    if (self->hedges)
        add_number(out, "hedges", self->hedges);
    if (self->retries)
        add_number(out, "retries", self->retries);
    if (self->continuations)
        add_number(out, "continuations", self->continuations);
    write_states(self, total, out);
    write_spans(self, out);
    write_path(self, out);
    end_object(out, from);
}

// https://www.w3.org/TR/server-timing/: name;dur=milliseconds, separated by commas.
void timeline_write_header(const timeline_t *self, rl_buf_t *out)
{
    path_step_t path[TIMELINE_MAX_PATH];
    uint64_t sums[STAGES] = {0};
    size_t size = timeline_path(self, path);
    for (size_t at = 0; at < size; at++)
        sums[path[at].stage] += path[at].took_us;
    for (stage_t stage = 0; stage < STAGES; stage++) {
        if (sums[stage] == 0)
            continue;
        rl_buf_addf(out, "%s;dur=", stage_names[stage]);
        add_us(out, sums[stage]);
        rl_buf_adds(out, ", ");
    }
    rl_buf_adds(out, "total;dur=");
    add_us(out, self->end_us);
}
