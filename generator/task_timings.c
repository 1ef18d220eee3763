// task_timings: where the time of an answer went, as DONE tells it, and how fast its server reads.
#include "clock.h"
#include "json_write.h"
#include "task_private.h"

// What is 0 is not known, and left out.
static void add_mark(rl_buf_t *out, const char *name, uint64_t us)
{
    if (us > 0)
        rl_json_count(out, name, us);
}

void task_write_timings(const task_t *self, const backend_end_t *end, const backend_times_t *times,
                        rl_buf_t *out)
{
    uint64_t from = self->at_us[TASK_RECEIVED];
    uint64_t queued = self->at_us[TASK_PROMPTED] ? self->at_us[TASK_PROMPTED] - from : 0;
    uint64_t asked = self->at_us[TASK_ASKING] ? self->at_us[TASK_ASKING] - from : 0;
    rl_json_open(out, NULL, '{');
    rl_json_count(out, "queue_us", queued);
    add_mark(out, "prompt_us", self->waited ? self->built_us - from : asked);
    if (self->waited)
        add_mark(out, "ahead_us", asked);
    if (times->first_byte_us) {
        add_mark(out, "connect_us", asked + times->connect_us);
        add_mark(out, "sent_us", asked + times->sent_us);
        add_mark(out, "first_byte_us", asked + times->first_byte_us);
    }
    add_mark(out, "first_token_us", self->first_token_us ? self->first_token_us - from : 0);
    add_mark(out, "total_us", rl_now_us() - from);
    add_mark(out, "retries", self->retries);
    if (end->cached_tokens >= 0)
        rl_json_count(out, "cached_tokens", (uint64_t)end->cached_tokens);
    if (end->prefill_ms >= 0)
        rl_buf_addf(out, ",\"prefill_ms\":%.3f", end->prefill_ms);
    if (end->read_tokens >= 0)
        rl_json_count(out, "read_tokens", (uint64_t)end->read_tokens);
    if (end->server)
        rl_json_text(out, "server", end->server);
    if (self->prompt_hash)
        rl_buf_addf(out, ",\"prompt_hash\":\"%016llx\"", (unsigned long long)self->prompt_hash);
    add_mark(out, "passages_repeated", self->repeated);
    add_mark(out, "passages_cut", self->cut);
    add_mark(out, "tokens_trimmed", self->tokens_trimmed);
    add_mark(out, "prompt_tokens", end->counted ? end->prompt_tokens : self->prompt_tokens);
}

void task_measure_reading(const task_t *self, const backend_end_t *end,
                          const backend_times_t *times)
{
    double cached = end->cached_tokens > 0 ? (double)end->cached_tokens : 0;
    double prompt = (double)end->prompt_tokens, seconds = end->prefill_ms / 1000;
    if (!end->counted || end->prompt_tokens == 0 || !self->prompt_tokens)
        return;
    double read = end->read_tokens >= 0 ? (double)end->read_tokens : prompt - cached;
    if (end->prefill_ms < 0) { // by our own clock
        uint64_t sent = self->at_us[TASK_ASKING] + times->sent_us;
        if (!times->sent_us || self->first_token_us <= sent)
            return;
        seconds = (double)(self->first_token_us - sent) / 1e6;
    }
    // in tokens as prompts are counted before they are sent
    upstream_measured(self->upstream, read * (double)self->prompt_tokens / prompt, seconds);
}
