// response_ask: the events of POST /v1/ask: status, found, sources, quick_answer, token, timings,
// done, error.
#include "response_private.h"

#include <string.h>

// Every event ends with a blank line and has a number, from 1 by one.
static void begin_event(response_t *self, const char *name, size_t name_size)
{
    rl_buf_add(&self->out, "event: ", 7);
    rl_buf_add(&self->out, name, name_size);
    rl_buf_add(&self->out, "\nid: ", 5);
    rl_json_add_count(&self->out, self->next_id++);
    rl_buf_add(&self->out, "\ndata: ", 7);
}

static void end_event(response_t *self)
{
    rl_buf_add(&self->out, "\n\n", 2);
    response_send(self);
}

static void send_status(response_t *self, const char *state, const char *message,
                        const json_t *detail)
{
    const char *name;
    json_t *value;
    begin_event(self, "status", 6);
    rl_json_open(&self->out, NULL, '{');
    rl_json_text(&self->out, "state", state);
    rl_json_text(&self->out, "message", message);
    json_object_foreach((json_t *)detail, name, value)
    {
        if (strcmp(name, "state") == 0 || strcmp(name, "message") == 0)
            continue;
        rl_json_value(&self->out, name, value);
    }
    rl_json_close(&self->out, '}');
    end_event(self);
}

static void send_sources(response_t *self, const answer_t *answer)
{
    begin_event(self, "sources", 7);
    rl_json_open(&self->out, NULL, '{');
    rl_json_text(&self->out, "message", answer->headline);
    response_add_passages(&self->out, "passages", answer);
    response_add_coverage(&self->out, answer);
    rl_json_close(&self->out, '}');
    end_event(self);
}

static void send_found(response_t *self, const answer_t *answer)
{
    begin_event(self, "found", 5);
    rl_json_open(&self->out, NULL, '{');
    rl_json_text(&self->out, "message", answer->headline);
    rl_json_flag(&self->out, "final", false);
    response_add_passages(&self->out, "passages", answer);
    response_add_coverage(&self->out, answer);
    response_add_awaited(&self->out, answer);
    rl_json_close(&self->out, '}');
    end_event(self);
}

static void send_preview(response_t *self, const answer_preview_t *preview)
{
    begin_event(self, "quick_answer", 12);
    rl_json_open(&self->out, NULL, '{');
    response_add_preview(&self->out, preview);
    rl_json_close(&self->out, '}');
    end_event(self);
}

static void send_token(response_t *self, const char *text, size_t size)
{
    begin_event(self, "token", 5);
    rl_buf_add(&self->out, "{\"text\":", 8);
    rl_buf_add_json(&self->out, text, size);
    rl_buf_add(&self->out, "}", 1);
    end_event(self);
}

static void send_cite(response_t *self, const answer_citation_t *citation)
{
    begin_event(self, "token", 5);
    rl_buf_addf(&self->out, "{\"text\":\"\",\"cite\":%llu,\"score\":%.4g}",
                (unsigned long long)citation->passage, citation->score);
    end_event(self);
}

static void send_done(response_t *self, const answer_t *answer)
{
    rl_buf_t *out = &self->out;
    begin_event(self, "timings", 7);
    timeline_write(answer->timeline, out);
    end_event(self);
    begin_event(self, "done", 4);
    rl_json_open(out, NULL, '{');
    rl_json_text(out, "id", answer->id);
    response_add_outcome(out, answer);
    response_add_citations(out, answer);
    rl_json_count(out, "passages_used", answer->passages_used);
    response_add_coverage(out, answer);
    rl_json_close(out, '}');
    end_event(self);
    response_end(self);
}

static void send_error(response_t *self, const answer_t *answer, const answer_error_t *error)
{
    if (!response_begun(self)) {
        response_reply_error(self, answer, error);
        return;
    }
    json_t *body = http_error_json(error->status, error->code, NULL, error->message);
    begin_event(self, "error", 5);
    rl_json_value(&self->out, NULL, body);
    json_decref(body);
    end_event(self);
    response_end(self);
}

const response_form_t response_ask_ops = {
    .name = "ask",
    .status = send_status,
    .found = send_found,
    .sources = send_sources,
    .preview = send_preview,
    .token = send_token,
    .cite = send_cite,
    .done = send_done,
    .error = send_error,
};
