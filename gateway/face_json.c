// face_json: one JSON object at the end: /v1/ask with "stream": false, and /v1/search.
#include "face_private.h"

static void reply_done(face_t *self, const answer_t *answer)
{
    rl_buf_t *out = &self->out;
    rl_buf_adds(out, "{");
    face_add_string(out, "id", answer->id);
    rl_buf_adds(out, ",");
    if (self->question->form == FORM_ASK) {
        rl_buf_adds(out, "\"answer\":");
        rl_buf_add_json(out, answer->text.data ? answer->text.data : "", answer->text.size);
        rl_buf_adds(out, ",");
    }
    face_add_passages(out, "passages", answer);
    rl_buf_adds(out, ",");
    face_add_coverage(out, answer);
    rl_buf_adds(out, ",");
    if (self->question->form == FORM_ASK) {
        face_add_citations(out, answer);
        rl_buf_adds(out, ",");
        face_add_outcome(out, answer);
        rl_buf_addf(out, ",\"passages_used\":%llu,", (unsigned long long)answer->passages_used);
    }
    face_add_timings(out, answer);
    rl_buf_adds(out, "}");
    face_reply(self, answer);
}

static void reply_draft(face_t *self, const answer_t *answer)
{
    rl_buf_t *out = &self->out;
    rl_buf_adds(out, "{");
    face_add_string(out, "id", answer->id);
    rl_buf_addf(out, ",\"state\":\"found\",\"passages\":%zu,\"settled\":%s,\"prefill\":\"%s\",",
                answer->passages_size, answer->settled ? "true" : "false",
                answer->prefill ? answer->prefill : "skipped");
    face_add_coverage(out, answer);
    rl_buf_adds(out, ",");
    face_add_timings(out, answer);
    rl_buf_adds(out, "}");
    face_reply(self, answer);
}

const face_ops_t face_draft_ops = {
    .name = "draft",
    .status = face_no_status,
    .sources = face_no_sources,
    .token = face_no_token,
    .cite = face_no_cite,
    .done = reply_draft,
    .error = face_reply_error,
};

const face_ops_t face_json_ops = {
    .name = "json",
    .status = face_no_status,
    .sources = face_no_sources,
    .token = face_no_token,
    .cite = face_no_cite,
    .done = reply_done,
    .error = face_reply_error,
};
