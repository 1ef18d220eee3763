// request_timings: a request's timeline as JSON: its states, which partition the total, and the
// spans of work below them, which overlap. Milliseconds from the question's first byte; workers'
// durations are their own, put where the gateway saw the task leave.
#include "request_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

static json_t *ms(uint64_t us)
{
    return json_real((double)us / 1000);
}

static uint64_t since(const request_t *self, uint64_t us)
{
    return us > self->received_us ? us - self->received_us : 0;
}

static json_t *span(const request_t *self, const char *stage, uint64_t start_us, uint64_t end_us)
{
    json_t *out = json_object();
    json_object_set_new(out, "stage", json_string(stage));
    json_object_set_new(out, "start_ms", ms(since(self, start_us)));
    json_object_set_new(out, "ms", ms(end_us > start_us ? end_us - start_us : 0));
    return out;
}

// Each state lasts until the next begins: they partition the total.
static json_t *states_json(const request_t *self, uint64_t end_us)
{
    json_t *list = json_array();
    for (size_t at = 0; at < self->steps_size; at++) {
        const step_t *step = &self->steps[at];
        if (step->state >= REQUEST_DONE)
            break;
        uint64_t until = at + 1 < self->steps_size ? self->steps[at + 1].start_us : end_us;
        json_t *out = json_object();
        json_object_set_new(out, "state", json_string(request_state_names[step->state]));
        json_object_set_new(out, "start_ms", ms(since(self, step->start_us)));
        json_object_set_new(out, "ms", ms(until - step->start_us));
        json_array_append_new(list, out);
    }
    return list;
}

static void add_search_span(const request_t *self, const search_t *search, json_t *spans)
{
    char source[160];
    if (!search->sent_us)
        return;
    snprintf(source, sizeof source, "%s/%llu/%s", search->source.collection,
             (unsigned long long)search->source.shard, kind_names[search->source.kind]);
    json_t *out = span(self, "search", search->sent_us, search->done_us);
    json_object_set_new(out, "source", json_string(source));
    json_object_set_new(out, "worker", json_string(search->worker ? search->worker : ""));
    if (search->state == SEARCH_ANSWERED) {
        uint64_t took = search->done_us - search->sent_us,
                 inside = search->queue_us + search->work_us;
        json_object_set_new(out, "queue_ms", ms(search->queue_us));
        json_object_set_new(out, "work_ms", ms(search->work_us));
        json_object_set_new(out, "network_ms", ms(took > inside ? took - inside : 0));
    } else {
        json_object_set_new(out, "missing", json_string(search->reason ? search->reason : ""));
    }
    if (search->hedged)
        json_object_set_new(out, "hedged",
                            json_string(search->hedge_won ? "the second answered first"
                                                          : "the first answered first"));
    if (search->tries > 1)
        json_object_set_new(out, "tries", json_integer(search->tries));
    json_array_append_new(spans, out);
}

// The generator's own durations, one after the other from where the task was sent.
static void add_generator_spans(const request_t *self, json_t *spans)
{
    static const struct {
        const char *from, *to, *stage; // between two of the generator's marks
    } parts[] = {
        {NULL, "queue_us", "generator_queue"},    {"queue_us", "prompt_us", "prompt"},
        {"prompt_us", "connect_us", "connect"},   {"connect_us", "sent_us", "send"},
        {"sent_us", "first_token_us", "prefill"}, {"first_token_us", "total_us", "tokens"},
    };
    json_t *timings = self->generator_timings ? json_loads(self->generator_timings, 0, NULL) : NULL;
    if (!json_is_object(timings)) {
        json_decref(timings);
        return;
    }
    uint64_t last = 0;
    for (size_t at = 0; at < sizeof parts / sizeof *parts; at++) {
        const json_t *mark = json_object_get(timings, parts[at].to);
        if (!json_is_number(mark) || json_number_value(mark) < 0)
            continue;
        uint64_t to = (uint64_t)json_number_value(mark);
        if (to < last)
            continue;
        json_t *out =
            span(self, parts[at].stage, self->generate_sent_us + last, self->generate_sent_us + to);
        json_object_set_new(out, "worker", json_string(self->generator));
        if (strcmp(parts[at].stage, "prefill") == 0)
            json_object_set(out, "detail", timings);
        json_array_append_new(spans, out);
        last = to;
    }
    json_decref(timings);
}

json_t *request_timings(const request_t *self)
{
    uint64_t end = self->end_us ? self->end_us : rl_now_us();
    json_t *out = json_object(), *spans = json_array();
    json_object_set_new(out, "total_ms", ms(since(self, end)));
    if (self->first_status_us)
        json_object_set_new(out, "first_status_ms", ms(since(self, self->first_status_us)));
    if (self->sources_us)
        json_object_set_new(out, "sources_ms", ms(since(self, self->sources_us)));
    if (self->first_token_us)
        json_object_set_new(out, "first_token_ms", ms(since(self, self->first_token_us)));
    json_object_set_new(out, "states", states_json(self, end));
    if (self->embed_start_us)
        json_array_append_new(spans, span(self, "embed", self->embed_start_us,
                                          self->embed_end_us ? self->embed_end_us : end));
    for (size_t at = 0; at < self->searches_size; at++)
        add_search_span(self, &self->searches[at], spans);
    add_generator_spans(self, spans);
    json_object_set_new(out, "spans", spans);
    return out;
}
