// response_json: one JSON object at the end: /v1/ask with "stream": false, and /v1/search.
#include "response_private.h"

static void reply_done(response_t *self, const answer_t *answer)
{
    rl_buf_t *out = &self->out;
    rl_json_open(out, NULL, '{');
    rl_json_text(out, "id", answer->id);
    if (self->question->form == FORM_ASK) {
        rl_json_bytes(out, "answer", answer->text.data, answer->text.size);
    }
    response_add_passages(out, "passages", answer);
    response_add_coverage(out, answer);
    if (self->question->form == FORM_ASK) {
        response_add_citations(out, answer);
        response_add_outcome(out, answer);
        rl_json_count(out, "passages_used", answer->passages_used);
    }
    response_add_timings(out, answer);
    rl_json_close(out, '}');
    response_reply(self, answer);
}

static void reply_draft(response_t *self, const answer_t *answer)
{
    rl_buf_t *out = &self->out;
    rl_json_open(out, NULL, '{');
    rl_json_text(out, "id", answer->id);
    rl_json_text(out, "state", "found");
    rl_json_count(out, "passages", answer->passages_size);
    rl_json_flag(out, "settled", answer->settled);
    rl_json_text(out, "prefill", answer->prefill ? answer->prefill : "skipped");
    response_add_coverage(out, answer);
    response_add_timings(out, answer);
    rl_json_close(out, '}');
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
