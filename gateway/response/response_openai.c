// response_openai: POST /v1/chat/completions as OpenAI's clients expect it: chunks, or one object.
// https://platform.openai.com/docs/api-reference/chat-streaming
//
// Extras are members of the chunks, which OpenAI's clients keep: "citations", "coverage",
// "upstream", and for those who ask "progress", "quick_answer", "timings". "model" is the one asked
// for while the answer is being written, and at its end the one that wrote it.
#include "response_private.h"

#include <string.h>

// The id as OpenAI's clients know it: "chatcmpl-" and the digits of the request's.
static const char *digits_of(const char *id)
{
    const char *line = strchr(id, '_');
    return line ? line + 1 : id;
}

static void add_head(rl_buf_t *out, const response_t *self, const char *object, const char *model)
{
    rl_buf_addf(out, "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%lld",
                digits_of(http_id(self->req)), object, (long long)self->created);
    rl_json_text(out, "model", model);
}

// ---- chunks -------------------------------------------------------------------------------------

static void add_prefix(rl_buf_t *out, const response_t *self, const char *model)
{
    rl_buf_adds(out, "data: ");
    add_head(out, self, "chat.completion.chunk", model);
    rl_buf_adds(out, ",\"choices\":[{\"index\":0,\"delta\":{");
}

// A chunk up to the inside of its delta. The prefix is written once: it is the same in each.
static void begin_chunk(response_t *self)
{
    if (!self->prefix.size)
        add_prefix(&self->prefix, self, self->question->model);
    rl_buf_add(&self->out, self->prefix.data, self->prefix.size);
}

// The rest of a chunk's choice; further members of the chunk may follow.
static void end_choice(response_t *self, const char *finish)
{
    if (finish) {
        rl_buf_adds(&self->out, "},\"logprobs\":null");
        rl_json_text(&self->out, "finish_reason", finish);
        rl_buf_adds(&self->out, "}]");
    } else {
        static const char rest[] = "},\"logprobs\":null,\"finish_reason\":null}]";
        rl_buf_add(&self->out, rest, sizeof rest - 1);
    }
    if (self->question->want_usage)
        rl_buf_adds(&self->out, ",\"usage\":null");
}

static void end_chunk(response_t *self)
{
    rl_buf_add(&self->out, "}\n\n", 3);
    response_send(self);
}

// The role comes first, once. The stream begins when the passages are there (or with the first
// progress, for clients that ask for it): errors before that have their HTTP status.
static void begin_stream(response_t *self)
{
    if (response_begun(self))
        return;
    begin_chunk(self);
    rl_buf_adds(&self->out, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    end_choice(self, NULL);
    end_chunk(self);
}

static void send_content(response_t *self, const char *text, size_t size)
{
    begin_chunk(self);
    rl_buf_add(&self->out, "\"content\":", 10);
    rl_buf_add_json(&self->out, text, size);
    end_choice(self, NULL);
    end_chunk(self);
}

// A chunk with an empty delta, up to the members that follow its choice.
static void begin_extra(response_t *self)
{
    begin_stream(self);
    begin_chunk(self);
    end_choice(self, NULL);
}

static void send_status(response_t *self, const char *state, const char *message,
                        const json_t *detail)
{
    (void)detail;
    if (!self->question->want_progress)
        return;
    begin_extra(self);
    rl_json_open(&self->out, "progress", '{');
    rl_json_text(&self->out, "state", state);
    rl_json_text(&self->out, "message", message);
    rl_json_close(&self->out, '}');
    end_chunk(self);
}

// Inside "progress": what stands in "citations" is final.
static void send_found(response_t *self, const answer_t *answer)
{
    begin_extra(self);
    rl_json_open(&self->out, "progress", '{');
    rl_json_text(&self->out, "state", "found");
    rl_json_text(&self->out, "message", answer->headline);
    response_add_passages(&self->out, "passages", answer);
    response_add_coverage(&self->out, answer);
    response_add_awaited(&self->out, answer);
    rl_json_close(&self->out, '}');
    end_chunk(self);
}

static void send_sources(response_t *self, const answer_t *answer)
{
    begin_extra(self);
    response_add_passages(&self->out, "citations", answer);
    response_add_coverage(&self->out, answer);
    end_chunk(self);
}

static void send_preview(response_t *self, const answer_preview_t *preview)
{
    begin_extra(self);
    rl_json_open(&self->out, "quick_answer", '{');
    response_add_preview(&self->out, preview);
    rl_json_close(&self->out, '}');
    end_chunk(self);
}

static void send_token(response_t *self, const char *text, size_t size)
{
    if (self->question->inline_citations)
        citation_marks_feed(&self->marks, text, size);
    send_content(self, text, size);
}

static void send_cite(response_t *self, const answer_citation_t *citation)
{
    char room[32];
    if (!self->question->inline_citations)
        return;
    const char *mark = citation_marks_cite(&self->marks, citation->passage, room, sizeof room);
    if (*mark)
        send_content(self, mark, strlen(mark));
}

// The usage chunk has no choice.
static void send_usage(response_t *self, const answer_t *answer)
{
    rl_buf_adds(&self->out, "data: ");
    add_head(&self->out, self, "chat.completion.chunk", answer->model);
    rl_buf_adds(&self->out, ",\"choices\":[]");
    response_add_usage(&self->out, answer);
    end_chunk(self);
}

static void end_stream(response_t *self)
{
    rl_buf_adds(&self->out, "data: [DONE]\n\n");
    response_send(self);
    response_end(self);
}

// What the answer says about itself besides OpenAI's members.
static void add_extras(response_t *self, const answer_t *answer)
{
    response_add_coverage(&self->out, answer);
    rl_json_text(&self->out, "upstream", answer->upstream);
    if (!self->question->want_timings)
        return;
    response_add_timings(&self->out, answer);
}

static void send_done(response_t *self, const answer_t *answer)
{
    begin_stream(self);
    add_prefix(&self->out, self, answer->model);
    end_choice(self, answer->finish);
    add_extras(self, answer);
    end_chunk(self);
    if (self->question->want_usage)
        send_usage(self, answer);
    end_stream(self);
}

// OpenAI's clients raise an APIError at a chunk with an "error".
static void send_error(response_t *self, const answer_t *answer, const answer_error_t *error)
{
    if (!response_begun(self)) {
        response_reply_error(self, answer, error);
        return;
    }
    json_t *body = http_error_json(error->status, error->code, NULL, error->message);
    rl_buf_adds(&self->out, "data: ");
    rl_json_value(&self->out, NULL, body);
    json_decref(body);
    rl_buf_adds(&self->out, "\n\n");
    response_send(self);
    response_end(self);
}

const response_form_t response_openai_ops = {
    .name = "openai",
    .status = send_status,
    .found = send_found,
    .sources = send_sources,
    .preview = send_preview,
    .token = send_token,
    .cite = send_cite,
    .done = send_done,
    .error = send_error,
};

// ---- one object ---------------------------------------------------------------------------------

// How many bytes these code points take.
static size_t bytes_of(const char *text, size_t size, uint64_t code_points)
{
    size_t at = 0;
    while (at < size && code_points-- > 0)
        do
            at++;
        while (at < size && (text[at] & 0xc0) == 0x80);
    return at;
}

// The text with "[n]" behind each sentence that a passage supports.
static void add_cited_text(response_t *self, const answer_t *answer)
{
    rl_buf_t text = rl_buf_make(self->out.max);
    const char *from = answer->text.data;
    size_t left = answer->text.size;
    uint64_t done = 0; // code points
    for (size_t at = 0; at < answer->citations_size; at++) {
        const answer_citation_t *citation = &answer->citations[at];
        char room[32];
        size_t size = bytes_of(from, left, citation->end > done ? citation->end - done : 0);
        rl_buf_add(&text, from, size);
        citation_marks_feed(&self->marks, from, size);
        rl_buf_adds(&text, citation_marks_cite(&self->marks, citation->passage, room, sizeof room));
        from += size;
        left -= size;
        done = citation->end > done ? citation->end : done;
    }
    rl_buf_add(&text, from, left);
    rl_buf_add_json(&self->out, text.data, text.size);
    rl_buf_free(&text);
}

static void reply_done(response_t *self, const answer_t *answer)
{
    rl_buf_t *out = &self->out;
    add_head(out, self, "chat.completion", answer->model);
    rl_buf_adds(out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    if (self->question->inline_citations && answer->text.size > 0)
        add_cited_text(self, answer);
    else
        rl_json_bytes(out, NULL, answer->text.data, answer->text.size);
    rl_buf_adds(out, ",\"refusal\":null},\"logprobs\":null");
    rl_json_text(out, "finish_reason", answer->finish);
    rl_buf_adds(out, "}]");
    response_add_usage(out, answer);
    response_add_passages(out, "citations", answer);
    add_extras(self, answer);
    rl_json_close(out, '}');
    response_reply(self, answer);
}

const response_form_t response_openai_whole_ops = {
    .name = "openai_whole",
    .status = response_no_status,
    .sources = response_no_sources,
    .token = response_no_token,
    .cite = response_no_cite,
    .done = reply_done,
    .error = response_reply_error,
};
