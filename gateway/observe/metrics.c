// metrics: counts and times, and what an answer's timeline adds to them.
#include "metrics_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "utf8.h"

const uint64_t metrics_bounds[METRICS_BOUNDS] = {
    100,    250,    500,     1000,    2500,    5000,     10000,    25000,    50000,    100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 25000000, 60000000, 120000000};

// Codes of errors: what answers end with, and what workers and LLM servers fail with.
const char *const metrics_codes[] = {"other", // must be the first
                                     "answer_too_fast",
                                     "answer_too_long",
                                     "bad_filter",
                                     "bad_message",
                                     "bad_request",
                                     "busy",
                                     "cancelled",
                                     "content_filter",
                                     "deadline",
                                     "engine_failed",
                                     "engine_gone",
                                     "generator_busy",
                                     "generator_lost",
                                     "incomplete",
                                     "index_gone",
                                     "leaving",
                                     "length_reached",
                                     "llm_bad_request",
                                     "llm_broken_answer",
                                     "llm_busy",
                                     "llm_empty_answer",
                                     "llm_failed",
                                     "llm_lost",
                                     "llm_not_found",
                                     "llm_timeout",
                                     "llm_unauthorized",
                                     "llm_unreachable",
                                     "message_refused",
                                     "no_generator",
                                     "no_metadata",
                                     "no_retriever",
                                     "out_of_memory",
                                     "question_too_large",
                                     "question_too_long",
                                     "response_format_unsupported",
                                     "retrieval_failed",
                                     "search_failed",
                                     "shutting_down",
                                     "thinking_too_long",
                                     "timeout",
                                     "upstream_resting",
                                     "worker_lost",
                                     "wrong_dimension"};
_Static_assert(sizeof metrics_codes / sizeof *metrics_codes == METRICS_CODES, "METRICS_CODES");

metrics_t *metrics_new(void)
{
    metrics_t *self = rl_new(*self);
    return self;
}

static void free_values(metrics_values_t *values)
{
    for (size_t at = 0; at < values->size; at++)
        free(values->names[at]);
}

void metrics_destroy(metrics_t **self_p)
{
    metrics_t *self = *self_p;
    if (!self)
        return;
    for (size_t value = 0; value <= METRICS_MAX_VALUES; value++)
        for (int stage = 0; stage < STAGES; stage++)
            for (int kind = 0; kind <= KINDS; kind++)
                free(self->stages[value][stage][kind]);
    free_values(&self->collections);
    free_values(&self->models);
    free(self);
    *self_p = NULL;
}

void metrics_count(metrics_t *self, counter_t counter, uint64_t more)
{
    self->counters[counter] += more;
}

uint64_t metrics_value(const metrics_t *self, counter_t counter)
{
    return self->counters[counter];
}

const char *metrics_counter_name(counter_t counter)
{
    static char names[COUNTERS][32]; // the constants in lower case
    static const char *const constants[COUNTERS] = {
#define COUNTER(constant, family, labels, help) #constant,
#define LIVE_COUNTER(constant, family, labels, help, name) #constant,
#include "metrics_counters.h"
#undef COUNTER
#undef LIVE_COUNTER
    };
    for (size_t at = 0; !names[counter][at] && constants[counter][at]; at++)
        names[counter][at] = (char)tolower(constants[counter][at]);
    return names[counter];
}

// ---- labels whose values come from outside ------------------------------------------------------

// Where this value has its series; METRICS_MAX_VALUES where there are too many of them.
static size_t place_of(metrics_values_t *values, const char *name)
{
    enum {
        MAX_BYTES = 64
    };
    size_t size = strnlen(name, MAX_BYTES + 1);
    size = size > MAX_BYTES ? rl_utf8_whole(name, MAX_BYTES) : size;
    for (size_t at = 0; at < values->size; at++)
        if (strncmp(values->names[at], name, size) == 0 && !values->names[at][size])
            return at;
    if (values->size == METRICS_MAX_VALUES)
        return METRICS_MAX_VALUES;
    char *copy = rl_strndup(name, size);
    values->names[values->size] = copy;
    return values->size++;
}

const char *metrics_name_at(const metrics_values_t *values, size_t at)
{
    return at < values->size ? values->names[at] : "other";
}

const char *metrics_collection(metrics_t *self, const char *collection)
{
    return metrics_name_at(&self->collections, place_of(&self->collections, collection));
}

static size_t code_of(const char *code)
{
    for (size_t at = 1; at < METRICS_CODES; at++)
        if (strcmp(metrics_codes[at], code) == 0)
            return at;
    return 0;
}

void metrics_count_failure(metrics_t *self, failure_t failure, const char *code)
{
    self->failures[failure][code_of(code)]++;
}

// ---- an answer ----------------------------------------------------------------------------------

static size_t bucket_of(uint64_t us)
{
    size_t at = 0;
    while (at < METRICS_BOUNDS && us > metrics_bounds[at])
        at++;
    return at;
}

static void add_duration(metrics_histogram_t *histogram, uint64_t us)
{
    histogram->buckets[bucket_of(us)]++;
    histogram->sum_us += us;
}

static void observe_time(metrics_t *self, const timeline_t *timeline, metrics_time_t time,
                         uint64_t us)
{
    metrics_form_t *form = &self->forms[time][metrics_form(timeline->form)];
    add_duration(&form->histogram, us);
    if (!timeline->sampled)
        return;
    metrics_exemplar_t *exemplar = &form->exemplars[bucket_of(us)];
    memcpy(exemplar->trace_id, timeline->trace_id, sizeof exemplar->trace_id);
    exemplar->us = us;
    exemplar->wall_us = timeline->wall_us + (int64_t)timeline->end_us;
}

static void observe_stage(metrics_t *self, size_t collection, stage_t stage, int kind, uint64_t us)
{
    metrics_histogram_t **histogram = &self->stages[collection][stage][kind];
    if (!*histogram)
        *histogram = rl_new(**histogram);
    add_duration(*histogram, us);
}

// How long the answer was in the state, as far as that was before `until_us`.
static uint64_t time_in(const timeline_t *timeline, request_state_t state, uint64_t until_us)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < timeline->steps_size; at++) {
        uint64_t start = timeline->steps[at].start_us;
        uint64_t end =
            at + 1 < timeline->steps_size ? timeline->steps[at + 1].start_us : timeline->end_us;
        end = end < until_us ? end : until_us;
        if (timeline->steps[at].state == state && end > start)
            sum += end - start;
    }
    return sum;
}

static bool has_been_in(const timeline_t *timeline, request_state_t state)
{
    for (size_t at = 0; at < timeline->steps_size; at++)
        if (timeline->steps[at].state == state)
            return true;
    return false;
}

// Searches of a client that went away before its passages came say nothing about their sources.
static bool is_searched(const timeline_t *timeline)
{
    return timeline->outcome != REQUEST_CANCELLED || timeline->sources_us > 0;
}

// A search has stages of its own, under its own collection and kind.
static void observe_search(metrics_t *self, const span_t *span)
{
    size_t collection = place_of(&self->collections, span->collection);
    self->searches[collection][span->kind][span->missing ? 1 : 0]++;
    if (span->missing) {
        observe_stage(self, collection, STAGE_MISSING, span->kind, span->took_us);
        return;
    }
    uint64_t inside = span->queue_us + span->work_us;
    uint64_t network = span->took_us > inside ? span->took_us - inside : 0;
    observe_stage(self, collection, STAGE_DISPATCH, span->kind, span->dispatch);
    observe_stage(self, collection, STAGE_SEARCH_NETWORK, span->kind, network);
    observe_stage(self, collection, STAGE_SEARCH_QUEUE, span->kind, span->queue_us);
    observe_stage(self, collection, STAGE_SEARCH_WORK, span->kind, span->work_us);
}

// Stages are charged once an answer, however often it came to them, and each search for itself.
// Times of whole states are taken from the steps, those inside a state from the spans, the rest
// from the critical path.
static void observe_stages(metrics_t *self, const timeline_t *timeline)
{
    static const struct {
        request_state_t state;
        stage_t stage;
    } states[] = {{REQUEST_RECEIVED, STAGE_RECEIVE},
                  {REQUEST_REWRITING, STAGE_REWRITE},
                  {REQUEST_MERGING, STAGE_MERGE},
                  {REQUEST_WAITING, STAGE_WAIT},
                  {REQUEST_STREAMING, STAGE_TOKENS}};
    uint64_t took[STAGES] = {0};
    bool seen[STAGES] = {false}, searched = is_searched(timeline);
    for (size_t at = 0; at < sizeof states / sizeof *states; at++) {
        took[states[at].stage] = time_in(timeline, states[at].state, UINT64_MAX);
        seen[states[at].stage] = has_been_in(timeline, states[at].state);
    }
    for (size_t at = 0; at < timeline->spans_size; at++) {
        const span_t *span = &timeline->spans[at];
        if (span->collection) {
            if (searched)
                observe_search(self, span);
        } else if (span->stage == STAGE_EMBED || span->stage == STAGE_CACHE ||
                   (span->stage >= STAGE_GENERATE_LOST && span->stage <= STAGE_PREFILL)) {
            took[span->stage] += span->took_us;
            seen[span->stage] = true;
        }
    }
    path_step_t path[TIMELINE_MAX_PATH];
    size_t path_size = timeline_path(timeline, path);
    for (size_t at = 0; at < path_size; at++) {
        stage_t stage = path[at].stage;
        if (timeline->first_token_us)
            self->path_us[stage] += path[at].took_us;
        if (stage == STAGE_PLAN || stage == STAGE_RELAY) {
            took[stage] += path[at].took_us;
            seen[stage] = true;
        }
    }
    took[STAGE_CLIENT] = timeline->client_us;
    seen[STAGE_CLIENT] = timeline->client_us > 0;
    size_t collection = place_of(&self->collections, timeline->collection);
    for (int stage = 0; stage < STAGES; stage++)
        if (seen[stage])
            observe_stage(self, collection, (stage_t)stage, METRICS_NO_KIND, took[stage]);
}

// The time to the first token without the waits for a slot: for a generator's in the gateway, for
// the LLM server's in the generator.
static uint64_t unqueued_us(const timeline_t *timeline)
{
    uint64_t queued = time_in(timeline, REQUEST_WAITING, timeline->first_token_us);
    for (size_t at = 0; at < timeline->spans_size; at++) {
        const span_t *span = &timeline->spans[at];
        if (span->stage == STAGE_GENERATOR_QUEUE && span->start_us < timeline->first_token_us)
            queued += span->took_us;
    }
    return timeline->first_token_us > queued ? timeline->first_token_us - queued : 0;
}

static void observe_times(metrics_t *self, const timeline_t *timeline)
{
    metrics_time_t end = timeline->outcome == REQUEST_DONE        ? TIME_DONE
                         : timeline->outcome == REQUEST_CANCELLED ? TIME_CANCELLED
                                                                  : TIME_FAILED;
    observe_time(self, timeline, end, timeline->end_us);
    if (timeline->first_status_us)
        observe_time(self, timeline, TIME_FIRST_STATUS, timeline->first_status_us);
    if (timeline->sources_us)
        observe_time(self, timeline, TIME_FIRST_SOURCE, timeline->sources_us);
    if (!timeline->first_token_us)
        return;
    observe_time(self, timeline, TIME_FIRST_TOKEN, timeline->first_token_us);
    observe_time(self, timeline, TIME_UNQUEUED, unqueued_us(timeline));
    // those after the first; where the LLM server did not count them, the messages
    uint64_t tokens =
        timeline->completion_tokens > 1 ? timeline->completion_tokens : timeline->tokens;
    if (timeline->outcome == REQUEST_DONE && tokens > 1)
        observe_time(self, timeline, TIME_PER_TOKEN,
                     (timeline->end_us - timeline->first_token_us) / (tokens - 1));
}

static void count_tokens(metrics_t *self, const timeline_t *timeline)
{
    if (!timeline->prompt_tokens && !timeline->completion_tokens)
        return;
    metrics_tokens_t *tokens = &self->tokens[place_of(&self->models, timeline->model)];
    tokens->prompt += timeline->prompt_tokens;
    tokens->completion += timeline->completion_tokens;
    tokens->trimmed += timeline->tokens_trimmed;
    if (timeline->cached_known) {
        tokens->cached += timeline->cached_tokens;
        tokens->cached_of += timeline->prompt_tokens;
    }
}

static void count_outcome(metrics_t *self, const timeline_t *timeline)
{
    metrics_count(self,
                  timeline->outcome == REQUEST_DONE        ? COUNT_DONE
                  : timeline->outcome == REQUEST_CANCELLED ? COUNT_CANCELLED
                                                           : COUNT_FAILED,
                  1);
    if (timeline->outcome == REQUEST_FAILED)
        self->failed_answers[code_of(timeline->error)]++;
    metrics_count(self, COUNT_CONTINUATIONS, timeline->continuations);
    metrics_count(self, COUNT_PASSAGES_REPEATED, timeline->passages_repeated);
    metrics_count(self, COUNT_PASSAGES_CUT, timeline->passages_cut);
    if (!is_searched(timeline))
        return;
    metrics_count(self, COUNT_ASKED, timeline->of);
    metrics_count(self, COUNT_ANSWERED, timeline->answered);
    if (timeline->outcome == REQUEST_DONE && timeline->answered < timeline->of)
        metrics_count(self, COUNT_INCOMPLETE, 1);
}

// A draft is no question: nobody waits for its answer, so that it has no outcome.
void metrics_answer(metrics_t *self, const timeline_t *timeline)
{
    if (strcmp(timeline->form, "draft") != 0)
        count_outcome(self, timeline);
    count_tokens(self, timeline);
    observe_times(self, timeline);
    observe_stages(self, timeline);
}
