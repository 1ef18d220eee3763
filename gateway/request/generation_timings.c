// generation_timings: what a request's timeline keeps of its generation.
#include <string.h>

#include "clock.h"
#include "generation_private.h"
#include "json.h"

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
// A number of the object, at most `most`; `none` if there is none or it is negative.
static double number_of(rl_json_t object, const char *name, double most, double none)
{
    double number = -1;
    rl_json_number(rl_json_get(object, name), &number);
    return number < 0 ? none : number < most ? number : most;
}

static uint64_t count_of(rl_json_t object, const char *name)
{
    return (uint64_t)number_of(object, name, 1e12, 0);
}

// A text of the object, of these characters and shorter than `max`; "" if there is none.
static const char *text_of(timeline_t *timeline, rl_json_t object, const char *name,
                           const char *characters, size_t max)
{
    size_t size;
    const char *text = rl_json_string(rl_json_get(object, name), &size);
    bool right = text && size < max && strspn(text, characters) == size;
    return timeline_text(timeline, right ? text : "");
}

static void take_values(timeline_t *timeline, rl_json_t timings)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_[]%";
    timeline->cached_known = number_of(timings, "cached_tokens", 1, -1) >= 0;
    timeline->cached_tokens = count_of(timings, "cached_tokens");
    timeline->passages_repeated = count_of(timings, "passages_repeated");
    timeline->passages_cut = count_of(timings, "passages_cut");
    timeline->tokens_trimmed = count_of(timings, "tokens_trimmed");
    timeline->prefill_ms = number_of(timings, "prefill_ms", 1e9, -1);
    timeline->prompt_hash = text_of(timeline, timings, "prompt_hash", digits, 33);
    timeline->server = text_of(timeline, timings, "server", letters, 256);
}

// The generator's durations, one after the other from where the task was sent.
void generation_note_timings(request_t *self, const rl_done_t *done)
{
    timeline_t *timeline = self->timeline;
    const char *why;
    rl_json_doc_t *doc = rl_json_parse(done->timings, strlen(done->timings), &why);
    rl_json_t timings = rl_json_root(doc);
    if (doc)
        take_values(timeline, timings);
    uint64_t last = 0, most = rl_now_us() - self->generation->sent_us;
    for (size_t at = 0; at < sizeof marks / sizeof *marks; at++) {
        // a worker's clock may run otherwise, and a worker may say anything
        uint64_t to = (uint64_t)number_of(timings, marks[at].name, (double)most, 0);
        if (to < last || to == 0)
            continue;
        span_t *span = timeline_add(timeline, marks[at].stage, self->generation->sent_us + last,
                                    self->generation->sent_us + to);
        if (span)
            span->worker = timeline_text(timeline, self->generation->worker);
        last = to;
    }
    rl_json_free(&doc);
    const answer_t *answer = &self->answer;
    timeline->model = timeline_text(timeline, answer->model);
    timeline->upstream = timeline_text(timeline, answer->upstream);
    timeline->finish = timeline_text(timeline, answer->finish);
    timeline->prompt_tokens = answer->prompt_tokens;
    timeline->completion_tokens = answer->completion_tokens;
}

void generation_note_loss(request_t *self)
{
    span_t *span =
        timeline_add(self->timeline, STAGE_GENERATE_LOST, self->generation->sent_us, rl_now_us());
    if (span)
        span->worker = timeline_text(self->timeline, self->generation->worker);
}
