// recording_read: one timeline's JSON as a record. What is there of another type, negative or not
// finite counts as not there: a recording is foreign bytes.
#include "recording_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static const double MOST_MS = 1e9; // eleven days: no answer lasts longer

static bool read_number(const json_t *object, const char *key, double *out)
{
    const json_t *value = json_object_get(object, key);
    double found = json_number_value(value);
    if (!json_is_number(value) || !isfinite(found) || found < 0)
        return false;
    *out = found;
    return true;
}

static float ms_of(const json_t *object, const char *key, double otherwise)
{
    double found;
    return (float)(read_number(object, key, &found) && found <= MOST_MS ? found : otherwise);
}

static uint32_t name_of(names_t *names, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) && json_string_length(value) > 0
               ? names_number(names, json_string_value(value), json_string_length(value))
               : (uint32_t)RECORDING_NONE;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_search(const json_t *span)
{
    const char *stage = text_of(span, "stage");
    return strcmp(stage, "search") == 0 || strcmp(stage, "search_work") == 0;
}

static void read_seek(names_t *names, const json_t *span, seek_t *out)
{
    float dispatch = ms_of(span, "dispatch_ms", 0);
    out->source = name_of(names, span, "source");
    out->worker = name_of(names, span, "worker");
    out->start_ms = ms_of(span, "start_ms", 0);
    out->took_ms = ms_of(span, "ms", 0);
    out->queue_ms = ms_of(span, "queue_ms", 0);
    out->work_ms = ms_of(span, "work_ms", 0);
    out->missing = json_object_get(span, "missing") != NULL ||
                   json_object_get(span, "work_ms") == NULL ||
                   out->worker == (uint32_t)RECORDING_NONE;
    if (out->start_ms > dispatch)
        out->start_ms -= dispatch;
    float inside = out->queue_ms + out->work_ms;
    out->network_ms = out->missing || out->took_ms < inside ? 0 : out->took_ms - inside;
}

// The generator's parts, which follow one another, and the embedding.
static void read_span(names_t *names, const json_t *span, answer_record_t *out)
{
    const char *stage = text_of(span, "stage");
    float took = ms_of(span, "ms", 0);
    if (strcmp(stage, "embed") == 0) {
        out->embed_start_ms = ms_of(span, "start_ms", 0);
        out->embed_ms = took;
    } else if (strcmp(stage, "generator_queue") == 0) {
        out->queue_ms = took;
        out->generator = name_of(names, span, "worker");
    } else if (strcmp(stage, "prompt") == 0 || strcmp(stage, "connect") == 0 ||
               strcmp(stage, "send") == 0) {
        out->ask_ms += took;
    } else if (strcmp(stage, "prefill") == 0) {
        out->prefill_ms = took;
        out->generator = name_of(names, span, "worker");
    } else if (strcmp(stage, "tokens") == 0) {
        out->tokens_ms = took;
    }
}

// When retrieval began, and when a generator was waited for and had it, from the states.
static void read_states(const json_t *states, answer_record_t *out, float *waiting_ms)
{
    const json_t *state;
    size_t at;
    float waited = 0;
    *waiting_ms = -1;
    json_array_foreach(states, at, state)
    {
        const char *name = text_of(state, "state");
        float start = ms_of(state, "start_ms", 0), took = ms_of(state, "ms", 0);
        if (strcmp(name, "searching") == 0) {
            out->search_ms = start;
        } else if (strcmp(name, "waiting") == 0) {
            if (*waiting_ms < 0)
                *waiting_ms = start;
            if (out->first_ms < 0 || start <= out->first_ms)
                waited += took;
        } else if (strcmp(name, "generating") == 0 &&
                   (out->first_ms < 0 || start <= out->first_ms)) {
            out->generate_ms = start; // the last before the first token
            if (*waiting_ms < 0)
                *waiting_ms = start;
            out->wait_ms = waited;
        }
    }
    float lost = out->generate_ms - *waiting_ms - out->wait_ms;
    out->lost_ms = out->generate_ms >= 0 && lost > 0 ? lost : 0;
}

static float found_ms(const answer_record_t *self)
{
    float last = self->search_ms;
    if (self->embed_ms >= 0 && self->embed_start_ms + self->embed_ms > last)
        last = self->embed_start_ms + self->embed_ms;
    for (size_t at = 0; at < self->seeks_size; at++) {
        float end = self->seeks[at].start_ms + self->seeks[at].took_ms;
        last = end > last ? end : last;
    }
    return last;
}

static void derive_times(answer_record_t *self, float waiting_ms)
{
    self->found_ms = found_ms(self);
    self->merge_ms = waiting_ms > self->found_ms ? waiting_ms - self->found_ms : 0;
    float told = self->generate_ms + self->queue_ms + self->ask_ms + self->prefill_ms;
    self->relay_ms = self->first_ms > told && self->generate_ms >= 0 ? self->first_ms - told : 0;
}

static size_t count_seeks(const json_t *spans)
{
    const json_t *span;
    size_t at, size = 0;
    json_array_foreach(spans, at, span) size += is_search(span) && size < RECORDING_MAX_OF_ANSWER;
    return size;
}

static void read_charges(names_t *names, const json_t *path, charge_t *out, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        const json_t *step = json_array_get(path, at);
        const char *stage = text_of(step, "stage");
        out[at] = (charge_t){.stage = names_number(names, stage, strlen(stage)),
                             .source = name_of(names, step, "source"),
                             .ms = ms_of(step, "ms", 0),
                             .without_ms = ms_of(step, "first_token_without_ms", MOST_MS)};
    }
}

// When the question came, by the gateway's own date: answers are put in order by it.
static double arrival_of(const json_t *trace)
{
    double found;
    return read_number(trace, "unix_ms", &found) && found < 1e15 ? found : NAN; // the year 33,658
}

answer_record_t *recording_read(names_t *names, const json_t *trace)
{
    const json_t *inside = json_object_get(trace, "timings");
    const json_t *timeline = json_is_object(inside) ? inside : trace;
    const json_t *states = json_object_get(timeline, "states"),
                 *spans = json_object_get(timeline, "spans"),
                 *path = json_object_get(timeline, "critical_path");
    double total;
    if (!read_number(timeline, "total_ms", &total) || total > MOST_MS || !json_is_array(states))
        return NULL;
    size_t seeks = count_seeks(spans), charges = json_array_size(path);
    charges = charges < RECORDING_MAX_STEPS ? charges : RECORDING_MAX_STEPS;
    answer_record_t *self =
        rl_alloc(sizeof *self + seeks * sizeof(seek_t) + charges * sizeof(charge_t));
    seek_t *seek = (seek_t *)(self + 1);
    charge_t *charge = (charge_t *)(seek + seeks);
    float waiting_ms;
    *self = (answer_record_t){.at_ms = arrival_of(trace),
                              .total_ms = (float)total,
                              .first_ms = ms_of(timeline, "first_token_ms", -1),
                              .embed_ms = -1,
                              .generate_ms = -1,
                              .generator = (uint32_t)RECORDING_NONE,
                              .tokens = (uint32_t)ms_of(trace, "tokens", 0),
                              .seeks = seek,
                              .charges = charge,
                              .charges_size = (uint32_t)charges};
    const json_t *span;
    size_t at;
    json_array_foreach(spans, at, span)
    {
        if (is_search(span) && self->seeks_size < seeks)
            read_seek(names, span, &seek[self->seeks_size++]);
        else
            read_span(names, span, self);
    }
    read_states(states, self, &waiting_ms);
    derive_times(self, waiting_ms);
    read_charges(names, path, charge, charges);
    return self;
}
