// timeline_json: a timeline as JSON, and as a Server-Timing header. Written by hand into a buffer:
// every answer carries one, and as a tree of values it was a sixth of the gateway's instructions.
#include <stdio.h>

#include "json_write.h"
#include "timeline.h"

// Members that are left out where there is nothing to say: 0, NULL or "".
static void add_count(rl_buf_t *out, const char *name, uint64_t count)
{
    if (count > 0)
        rl_json_count(out, name, count);
}

static void add_ms(rl_buf_t *out, const char *name, uint64_t us)
{
    if (us > 0)
        rl_json_ms(out, name, us);
}

static void add_text(rl_buf_t *out, const char *name, const char *text)
{
    if (text && *text)
        rl_json_text(out, name, text);
}

static void add_source(rl_buf_t *out, const span_t *span)
{
    char source[160];
    snprintf(source, sizeof source, "%.100s/%llu/%s", span->collection,
             (unsigned long long)span->shard, kind_names[span->kind]);
    rl_json_text(out, "source", source);
}

static void write_states(const timeline_t *self, uint64_t total, rl_buf_t *out)
{
    rl_json_open(out, "states", '[');
    for (size_t at = 0; at < self->steps_size && self->steps[at].state < REQUEST_DONE; at++) {
        const timeline_step_t *step = &self->steps[at];
        uint64_t until = at + 1 < self->steps_size ? self->steps[at + 1].start_us : total;
        rl_json_open(out, NULL, '{');
        rl_json_text(out, "state", request_state_names[step->state]);
        rl_json_ms(out, "start_ms", step->start_us);
        rl_json_ms(out, "ms", until > step->start_us ? until - step->start_us : 0);
        rl_json_close(out, '}');
    }
    rl_json_close(out, ']');
}

static void write_search(const span_t *span, rl_buf_t *out)
{
    uint64_t inside = span->queue_us + span->work_us;
    add_source(out, span);
    if (span->missing) {
        rl_json_text(out, "missing", span->missing);
    } else {
        rl_json_ms(out, "queue_ms", span->queue_us);
        rl_json_ms(out, "work_ms", span->work_us);
        rl_json_ms(out, "network_ms", span->took_us > inside ? span->took_us - inside : 0);
    }
    if (span->effort_kind && *span->effort_kind) {
        rl_json_text(out, "effort", span->effort_kind);
        rl_json_count(out, "effort_used", span->effort);
        if (span->effort < span->effort_wanted)
            rl_json_count(out, "effort_lowered_from", span->effort_wanted);
    }
    if (span->hedged)
        rl_json_text(out, "hedged",
                     span->hedge_won ? "the second answered first" : "the first answered first");
    if (span->tries > 1)
        rl_json_count(out, "tries", span->tries);
}

static void write_spans(const timeline_t *self, rl_buf_t *out)
{
    rl_json_open(out, "spans", '[');
    for (size_t at = 0; at < self->spans_size; at++) {
        const span_t *span = &self->spans[at];
        rl_json_open(out, NULL, '{');
        rl_json_text(out, "stage", span->collection ? "search" : stage_names[span->stage]);
        rl_json_ms(out, "start_ms", span->start_us);
        rl_json_ms(out, "ms", span->took_us);
        if (*span->worker || span->collection)
            rl_json_text(out, "worker", span->worker);
        add_text(out, "how", span->detail);
        if (span->collection)
            write_search(span, out);
        rl_json_close(out, '}');
    }
    rl_json_close(out, ']');
    add_count(out, "spans_left_out", self->spans_lost);
}

static void write_path(const timeline_t *self, rl_buf_t *out)
{
    path_step_t path[TIMELINE_MAX_PATH];
    size_t size = timeline_path(self, path);
    rl_json_open(out, "critical_path", '[');
    for (size_t at = 0; at < size; at++) {
        rl_json_open(out, NULL, '{');
        rl_json_text(out, "stage", stage_names[path[at].stage]);
        if (path[at].span && path[at].span->collection)
            add_source(out, path[at].span);
        if (path[at].span && *path[at].span->worker)
            rl_json_text(out, "worker", path[at].span->worker);
        rl_json_ms(out, "start_ms", path[at].start_us);
        rl_json_ms(out, "ms", path[at].took_us);
        rl_json_ms(out, "first_token_without_ms", path[at].without_us);
        rl_json_close(out, '}');
    }
    rl_json_close(out, ']');
}

static uint64_t unattributed_us(const timeline_t *self, uint64_t total)
{
    uint64_t first = self->steps_size > 0 ? self->steps[0].start_us : total;
    return first < total ? first : total; // states follow each other without a gap
}

void timeline_write(const timeline_t *self, rl_buf_t *out)
{
    uint64_t total = self->end_us;
    rl_json_open(out, NULL, '{');
    rl_json_text(out, "trace_id", self->trace_id);
    rl_json_ms(out, "total_ms", total);
    add_ms(out, "first_status_ms", self->first_status_us);
    if (self->found) {
        rl_json_ms(out, "found_ms", self->found_us);
        rl_json_count(out, "found_times", self->found);
    }
    add_ms(out, "sources_ms", self->sources_us);
    add_ms(out, "quick_answer_ms", self->preview_us);
    add_ms(out, "first_token_ms", self->first_token_us);
    add_text(out, "provisional", self->provisional);
    add_text(out, "retrieval", self->cache);
    if (self->answer) {
        rl_json_text(out, "answer", self->answer);
        rl_json_ms(out, "answer_age_ms", self->answer_age_us);
    }
    rl_json_ms(out, "client_ms", self->client_us);
    rl_json_ms(out, "unattributed_ms", unattributed_us(self, total));
    if (self->prefill_ms >= 0)
        rl_json_ms(out, "llm_prefill_ms", (uint64_t)(self->prefill_ms * 1000));
    add_count(out, "prompt_tokens", self->prompt_tokens);
    if (self->cached_known)
        rl_json_count(out, "cached_tokens", self->cached_tokens);
    add_text(out, "prompt_hash", self->prompt_hash);
    if (self->tokens_trimmed) {
        rl_json_count(out, "passages_repeated", self->passages_repeated);
        rl_json_count(out, "passages_cut", self->passages_cut);
        rl_json_count(out, "tokens_trimmed", self->tokens_trimmed);
    }
    add_count(out, "passages_left_out", self->passages_left_out);
    add_count(out, "hedges", self->hedges);
    add_count(out, "retries", self->retries);
    add_count(out, "continuations", self->continuations);
    write_states(self, total, out);
    write_spans(self, out);
    write_path(self, out);
    rl_json_close(out, '}');
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
        rl_json_add_ms(out, sums[stage]);
        rl_buf_adds(out, ", ");
    }
    rl_buf_adds(out, "total;dur=");
    rl_json_add_ms(out, self->end_us);
}
