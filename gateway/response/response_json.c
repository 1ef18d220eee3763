// response_json: one JSON object at the end: /v1/ask with "stream": false, and /v1/search.
#include "response_private.h"

static void reply_done(response_t *self, const answer_t *answer)
{
    rl_buf_t *out = &self->out;
    rl_buf_adds(out, "{");
    response_add_string(out, "id", answer->id);
    rl_buf_adds(out, ",");
    if (self->question->form == FORM_ASK) {
        rl_buf_adds(out, "\"answer\":");
        rl_buf_add_json(out, answer->text.data ? answer->text.data : "", answer->text.size);
        rl_buf_adds(out, ",");
    }
    response_add_passages(out, "passages", answer);
    rl_buf_adds(out, ",");
    response_add_coverage(out, answer);
    rl_buf_adds(out, ",");
    if (self->question->form == FORM_ASK) {
        response_add_citations(out, answer);
        rl_buf_adds(out, ",");
        response_add_outcome(out, answer);
        rl_buf_addf(out, ",\"passages_used\":%llu,", (unsigned long long)answer->passages_used);
    }
    response_add_timings(out, answer);
    rl_buf_adds(out, "}");
    response_reply(self, answer);
}

static void reply_draft(response_t *self, const answer_t *answer)
{
    rl_buf_t *out = &self->out;
    rl_buf_adds(out, "{");
    response_add_string(out, "id", answer->id);
    rl_buf_addf(out, ",\"state\":\"found\",\"passages\":%zu,\"settled\":%s,\"prefill\":\"%s\",",
                answer->passages_size, answer->settled ? "true" : "false",
                answer->prefill ? answer->prefill : "skipped");
    response_add_coverage(out, answer);
    rl_buf_adds(out, ",");
    response_add_timings(out, answer);
    rl_buf_adds(out, "}");
    response_reply(self, answer);
}

const response_form_t response_draft_ops = {
    .name = "draft",
    .status = response_no_status,
    .sources = response_no_sources,
    .token = response_no_token,
    .cite = response_no_cite,
    .done = reply_draft,
    .error = response_reply_error,
};

const response_form_t response_json_ops = {
    .name = "json",
    .status = response_no_status,
    .sources = response_no_sources,
    .token = response_no_token,
    .cite = response_no_cite,
    .done = reply_done,
    .error = response_reply_error,
};
