// request_timings: what a request's timeline keeps of its searches and of its generation.
#include "request_private.h"

#include <string.h>

#include "clock.h"
#include "json_scan.h"

// Once: when the passages are there, or the request ends before.
void request_note_searches(request_t *self)
{
    timeline_t *timeline = self->timeline;
    uint64_t now = rl_now_us();
    for (size_t at = 0; at < self->searches_size; at++) {
        const search_t *search = &self->searches[at];
        uint64_t done = search->done_us ? search->done_us : now;
        span_t *span = timeline_add(timeline, STAGE_SEARCH_WORK,
                                    search->sent_us ? search->sent_us : done, done);
        if (!span)
            continue;
        span->worker = timeline_text(timeline, search->worker);
        span->collection = timeline_text(timeline, search->source.collection);
        span->shard = search->source.shard;
        span->kind = search->source.kind;
        span->queue_us = search->queue_us;
        span->work_us = search->work_us;
        if (search->sent_us > search->asked_us)
            span->dispatch = search->sent_us - search->asked_us;
        span->effort_kind = timeline_text(timeline, search->effort_kind);
        span->effort = search->effort;
        span->effort_wanted = search->effort_wanted;
        span->tries = search->tries;
        span->hedged = search->hedged;
        span->hedge_won = search->hedge_won;
        if (search->state != SEARCH_ANSWERED)
            span->missing =
                timeline_text(timeline, search->reason ? search->reason : "not awaited");
        timeline->of++;
        timeline->answered += search->state == SEARCH_ANSWERED;
    }
    request_cancel_searches(self);
    request_forget_searches(self);
}

// ---- generation ---------------------------------------------------------------------------------

// Marks of rl_done_t.timings, in the order of the path; each ends its stage.
static const struct {
    const char *name;
    stage_t stage;
} marks[] = {
    {"queue_us", STAGE_GENERATOR_QUEUE},
    {"prompt_us", STAGE_PROMPT},
    {"ahead_us", STAGE_PREFILL},
    {"connect_us", STAGE_CONNECT},
    {"sent_us", STAGE_SEND},
    {"first_token_us", STAGE_PREFILL},
    {"total_us", STAGE_TOKENS},
};
enum {
    MARKS = sizeof marks / sizeof *marks
};

static bool is(const char *name, size_t size, const char *wanted)
{
    return strlen(wanted) == size && memcmp(name, wanted, size) == 0;
}

static void take_member(timeline_t *timeline, double values[MARKS], const char *name, size_t size,
                        double number)
{
    for (size_t at = 0; at < MARKS; at++)
        if (is(name, size, marks[at].name))
            values[at] = number;
    if (is(name, size, "prefill_ms"))
        timeline->prefill_ms = number < 1e9 ? number : 1e9;
    uint64_t count = number < 1e12 ? (uint64_t)number : 0;
    if (is(name, size, "cached_tokens")) {
        timeline->cached_known = true;
        timeline->cached_tokens = count;
    }
    if (is(name, size, "passages_repeated"))
        timeline->passages_repeated = count;
    if (is(name, size, "passages_cut"))
        timeline->passages_cut = count;
    if (is(name, size, "tokens_trimmed"))
        timeline->tokens_trimmed = count;
}

// The prompt's hash: hexadecimal digits, nothing else. The server's address.
static void take_text(timeline_t *timeline, const char *name, size_t size, rl_scan_t *scan)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_[]%";
    char copy[256];
    const char *text;
    size_t length;
    bool hash = is(name, size, "prompt_hash"), server = is(name, size, "server");
    if ((!hash && !server) || rl_scan_peek(scan) != '"' || !rl_scan_string(scan, &text, &length)) {
        rl_scan_skip(scan);
        return;
    }
    if (length >= (hash ? 33 : sizeof copy))
        return;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (hash && strspn(copy, digits) == length)
        timeline->prompt_hash = timeline_text(timeline, copy);
    if (server && strspn(copy, letters) == length)
        timeline->server = timeline_text(timeline, copy);
}

// The generator's durations, one after the other from where the task was sent.
void request_note_generation(request_t *self, const rl_done_t *done)
{
    timeline_t *timeline = self->timeline;
    double values[MARKS] = {0};
    rl_scan_t scan = rl_scan_make(done->timings, strlen(done->timings));
    const char *name;
    size_t size;
    if (rl_scan_enter_object(&scan))
        while (rl_scan_member(&scan, &name, &size)) {
            double number;
            bool numeric = strchr("-0123456789", rl_scan_peek(&scan)) != NULL;
            if (!numeric)
                take_text(timeline, name, size, &scan);
            else if (rl_scan_number(&scan, &number) && number >= 0)
                take_member(timeline, values, name, size, number);
        }
    uint64_t last = 0, most = rl_now_us() - self->generate_sent_us;
    for (size_t at = 0; at < MARKS && !scan.bad; at++) {
        if (values[at] < (double)last || values[at] == 0)
            continue;
        // a worker's clock may run otherwise, and a worker may say anything
        uint64_t to = values[at] < (double)most ? (uint64_t)values[at] : most;
        span_t *span = timeline_add(timeline, marks[at].stage, self->generate_sent_us + last,
                                    self->generate_sent_us + to);
        if (span)
            span->worker = timeline_text(timeline, self->generator);
        last = to;
    }
    const answer_t *answer = &self->answer;
    timeline->model = timeline_text(timeline, answer->model);
    timeline->upstream = timeline_text(timeline, answer->upstream);
    timeline->finish = timeline_text(timeline, answer->finish);
    timeline->prompt_tokens = answer->prompt_tokens;
    timeline->completion_tokens = answer->completion_tokens;
}

void request_note_lost_generation(request_t *self)
{
    span_t *span =
        timeline_add(self->timeline, STAGE_GENERATE_LOST, self->generate_sent_us, rl_now_us());
    if (span)
        span->worker = timeline_text(self->timeline, self->generator);
}
