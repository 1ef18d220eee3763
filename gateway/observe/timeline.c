// timeline: made, filled in and freed.
#include "timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "clock.h"
#include "hex.h"
#include "mem.h"
#include "trace_context.h"

enum {
    TEXT_CHUNK = 496, // bytes of text that are allocated at a time
    SPANS_AT_FIRST = 8,
};

struct timeline_text {
    struct timeline_text *next;
    size_t used, room;
    char data[];
};

const char *const request_state_names[REQUEST_STATES] = {
    "received",   "rewriting", "searching", "merging", "waiting",
    "generating", "streaming", "done",      "failed",  "cancelled"};

const char *const stage_names[STAGES] = {
    [STAGE_RECEIVE] = "receive",
    [STAGE_REWRITE] = "rewrite",
    [STAGE_PLAN] = "plan",
    [STAGE_CACHE] = "cache",
    [STAGE_EMBED] = "embed",
    [STAGE_DISPATCH] = "dispatch",
    [STAGE_SEARCH_NETWORK] = "search_network",
    [STAGE_SEARCH_QUEUE] = "search_queue",
    [STAGE_SEARCH_WORK] = "search_work",
    [STAGE_MISSING] = "missing",
    [STAGE_MERGE] = "merge",
    [STAGE_WAIT] = "wait",
    [STAGE_GENERATE_LOST] = "generate_lost",
    [STAGE_GENERATOR_QUEUE] = "generator_queue",
    [STAGE_PROMPT] = "prompt",
    [STAGE_CONNECT] = "connect",
    [STAGE_SEND] = "send",
    [STAGE_PREFILL] = "prefill",
    [STAGE_RELAY] = "relay",
    [STAGE_TOKENS] = "tokens",
    [STAGE_CLIENT] = "client",
};

// ---- ids ----------------------------------------------------------------------------------------

static bool take_traceparent(timeline_t *self, const char *header)
{
    unsigned flags;
    if (!trace_context_read(header, self->trace_id, self->parent_id, &flags))
        return false;
    snprintf(self->traceparent, sizeof self->traceparent, "00-%s-%s-%02x", self->trace_id,
             self->parent_id, flags);
    self->sampled = flags & TRACE_SAMPLED;
    return true;
}

// ---- new ----------------------------------------------------------------------------------------

timeline_t *timeline_new(const char *id, uint64_t received_us, const char *traceparent)
{
    timeline_t *self = rl_new(*self);
    struct timeval now;
    gettimeofday(&now, NULL);
    uint64_t passed = rl_now_us() - received_us;
    *self = (timeline_t){.received_us = received_us,
                         .wall_us = (int64_t)now.tv_sec * 1000000 + now.tv_usec - (int64_t)passed,
                         .tracestate = "",
                         .form = "",
                         .caller = "",
                         .collection = "",
                         .error = "",
                         .model = "",
                         .upstream = "",
                         .server = "",
                         .prompt_hash = "",
                         .finish = "",
                         .sampled = true,
                         .prefill_ms = -1,
                         .outcome = REQUEST_RECEIVED};
    snprintf(self->id, sizeof self->id, "%s", id);
    if (!take_traceparent(self, traceparent))
        rl_random_hex(self->trace_id, 16);
    rl_random_hex(self->span_id, 8);
    timeline_enter(self, REQUEST_RECEIVED, received_us);
    return self;
}

void timeline_destroy(timeline_t **self_p)
{
    timeline_t *self = *self_p;
    if (!self)
        return;
    for (struct timeline_text *chunk = self->texts, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(self->spans);
    free(self);
    *self_p = NULL;
}

// ---- filling ------------------------------------------------------------------------------------

const char *timeline_text(timeline_t *self, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 1;
    if (size == 1)
        return "";
    struct timeline_text *chunk = self->texts;
    if (!chunk || chunk->room - chunk->used < size) {
        size_t room = size > TEXT_CHUNK ? size : TEXT_CHUNK;
        chunk = rl_must(malloc(sizeof *chunk + room));
        *chunk = (struct timeline_text){.next = self->texts, .room = room};
        self->texts = chunk;
    }
    char *copy = chunk->data + chunk->used;
    memcpy(copy, text, size);
    chunk->used += size;
    return copy;
}

uint64_t timeline_at(const timeline_t *self, uint64_t us)
{
    return us > self->received_us ? us - self->received_us : 0;
}

void timeline_enter(timeline_t *self, request_state_t state, uint64_t now_us)
{
    uint64_t at = timeline_at(self, now_us);
    // Changes between waiting and generating can fill the row: the last step then lasts to the end.
    if (self->steps_size < TIMELINE_MAX_STEPS)
        self->steps[self->steps_size++] = (timeline_step_t){state, at};
    if (state >= REQUEST_DONE) {
        self->end_us = at;
        self->outcome = state;
    }
}

span_t *timeline_add(timeline_t *self, stage_t stage, uint64_t start_us, uint64_t end_us)
{
    if (self->spans_size == TIMELINE_MAX_SPANS) {
        self->spans_lost++;
        return NULL;
    }
    if (self->spans_size == self->spans_room) {
        size_t room = self->spans_room ? self->spans_room * 2 : SPANS_AT_FIRST;
        span_t *spans = rl_realloc(self->spans, room, sizeof *spans);
        self->spans = spans;
        self->spans_room = room;
    }
    span_t *span = &self->spans[self->spans_size++];
    *span = (span_t){.stage = stage,
                     .start_us = timeline_at(self, start_us),
                     .took_us = end_us > start_us ? end_us - start_us : 0,
                     .worker = ""};
    return span;
}
