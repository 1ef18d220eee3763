// timeline_help: timelines made by hand.
#include "timeline_help.h"

#include <stdlib.h>
#include <string.h>

static void enter(timeline_t *self, request_state_t state, uint64_t ms)
{
    timeline_enter(self, state, MADE_RECEIVED_US + ms * 1000);
}

static span_t *add(timeline_t *self, stage_t stage, uint64_t from_us, uint64_t to_us,
                   const char *worker)
{
    span_t *span = timeline_add(self, stage, MADE_RECEIVED_US + from_us, MADE_RECEIVED_US + to_us);
    if (!span)
        abort();
    span->worker = timeline_text(self, worker);
    return span;
}

static void add_search(timeline_t *self, kind_t kind, uint64_t shard, uint64_t from_us,
                       uint64_t took_us, const char *missing)
{
    span_t *span = add(self, STAGE_SEARCH_WORK, from_us, from_us + took_us,
                       kind == KIND_DENSE ? "dense-1" : "lexical-1");
    span->collection = "docs";
    span->shard = shard;
    span->kind = kind;
    span->tries = 1;
    span->missing = missing;
    if (missing)
        return;
    span->queue_us = took_us / 10;
    span->work_us = took_us / 2;
}

static timeline_t *begin(const char *traceparent)
{
    timeline_t *self = timeline_new("answer-1", MADE_RECEIVED_US, traceparent);
    self->wall_us = MADE_WALL_US;
    self->form = "chat";
    self->caller = timeline_text(self, "alice \"a\"");
    self->collection = timeline_text(self, "docs");
    self->first_status_us = 900;
    enter(self, REQUEST_SEARCHING, 1);
    return self;
}

static void add_searches(timeline_t *self)
{
    add(self, STAGE_EMBED, 1100, 21100, "")->detail = "server";
    add_search(self, KIND_LEXICAL, 0, 1200, 8000, NULL);
    add_search(self, KIND_DENSE, 1, 21200, 18000, NULL);
    self->answered = self->of = 2;
    self->sources_us = 42500;
    enter(self, REQUEST_MERGING, 41);
}

// By the generator's account from where it was sent, shortly before the state.
static void add_generation(timeline_t *self, uint64_t from_us, const char *worker)
{
    static const struct {
        stage_t stage;
        uint64_t from_us, to_us;
    } parts[] = {{STAGE_GENERATOR_QUEUE, 0, 3000}, {STAGE_PROMPT, 3000, 5000},
                 {STAGE_CONNECT, 5000, 6000},      {STAGE_SEND, 6000, 6500},
                 {STAGE_PREFILL, 6500, 99000},     {STAGE_TOKENS, 99000, 450000}};
    for (size_t at = 0; at < sizeof parts / sizeof *parts; at++)
        add(self, parts[at].stage, from_us + parts[at].from_us, from_us + parts[at].to_us, worker);
}

static void end(timeline_t *self)
{
    self->model = timeline_text(self, "tiny-llm");
    self->upstream = timeline_text(self, "openai");
    self->server = timeline_text(self, "[::1]:8081");
    self->finish = timeline_text(self, "stop");
    self->tokens = 40;
    self->prompt_tokens = 300;
    self->completion_tokens = 41;
    self->cached_known = true;
    self->cached_tokens = 120;
    self->prefill_ms = 90.5;
    enter(self, REQUEST_DONE, 500);
}

timeline_t *make_timeline(const char *traceparent)
{
    timeline_t *self = begin(traceparent);
    add_searches(self);
    enter(self, REQUEST_WAITING, 43);
    enter(self, REQUEST_GENERATING, 45);
    enter(self, REQUEST_STREAMING, 145);
    self->first_token_us = 145000;
    add_generation(self, 44900, "generator-1");
    end(self);
    return self;
}

timeline_t *make_timeline_retried(void)
{
    timeline_t *self = begin(NULL);
    add_searches(self);
    enter(self, REQUEST_WAITING, 43);
    enter(self, REQUEST_GENERATING, 45);
    add(self, STAGE_GENERATE_LOST, 44900, 55000, "generator-1");
    enter(self, REQUEST_WAITING, 55);
    enter(self, REQUEST_GENERATING, 56);
    enter(self, REQUEST_STREAMING, 156);
    self->first_token_us = 156000;
    self->retries = 1;
    add_generation(self, 55900, "generator-2");
    end(self);
    return self;
}

timeline_t *make_timeline_failed(void)
{
    timeline_t *self = begin(NULL);
    self->of = 1;
    self->error = timeline_text(self, "timeout");
    add_search(self, KIND_LEXICAL, 0, 1200, 80000, "no answer within 80 ms");
    enter(self, REQUEST_FAILED, 81);
    return self;
}
