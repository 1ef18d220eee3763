// response: what all forms of an answer have in common: their parts as JSON.
#include "response_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "mem.h"

enum {
    MAX_EVENT = 48 << 20, // bytes; passages of 8 MiB frames, each byte escaped, fit
    KEPT = 1024,          // memory that stays with an open stream for its next event
};

// ---- new, destroy -------------------------------------------------------------------------------

static const response_form_t *choose_form(const question_t *question)
{
    if (question->form == FORM_CHAT)
        return question->stream ? &response_openai_ops : &response_openai_whole_ops;
    if (question->form == FORM_DRAFT)
        return &response_draft_ops;
    return question->form == FORM_ASK && question->stream ? &response_ask_ops : &response_json_ops;
}

response_t *response_new(http_req_t **req_p, const question_t *question, replay_t *replay)
{
    response_t *self = rl_new(*self);
    *self = (response_t){.ops = choose_form(question),
                         .req = *req_p,
                         .replay = replay,
                         .question = question,
                         .next_id = 1,
                         .out = rl_buf_make(MAX_EVENT),
                         .created = (int64_t)time(NULL),
                         .prefix = rl_buf_make(2 * KEPT)};
    *req_p = NULL;
    return self;
}

void response_destroy(response_t **self_p)
{
    response_t *self = *self_p;
    if (!self)
        return;
    if (self->req)
        http_drop(&self->req);
    replay_destroy(&self->replay);
    rl_buf_free(&self->out);
    rl_buf_free(&self->prefix);
    free(self);
    *self_p = NULL;
}

// ---- sending ------------------------------------------------------------------------------------

bool response_begun(const response_t *self)
{
    return self->replay ? !self->req : http_stream_begun(self->req);
}

uint64_t response_blocked_us(const response_t *self)
{
    return self->req ? http_blocked_us(self->req) : 0;
}

size_t response_backlog(const response_t *self)
{
    if (self->replay)
        return replay_backlog(self->replay);
    return self->req ? http_stream_backlog(self->req) : 0;
}

void response_end(response_t *self)
{
    if (self->replay)
        replay_end(&self->replay);
    else
        http_stream_end(&self->req);
}

void response_send(response_t *self)
{
    if (self->replay && self->req)
        replay_attach(self->replay, &self->req, 0);
    if (!response_begun(self))
        http_stream_begin(self->req);
    if (self->out.full)
        rl_log(RL_LOG_ERROR, self->replay ? replay_id(self->replay) : http_id(self->req),
               "an event of more than %d bytes is left out", MAX_EVENT);
    else if (self->replay)
        replay_add(self->replay, self->out.data, self->out.size);
    else
        http_stream_send(self->req, self->out.data, self->out.size);
    if (self->out.room > KEPT)
        rl_buf_free(&self->out);
    else
        rl_buf_clear(&self->out);
}

static void add_server_timing(response_t *self, const timeline_t *timeline)
{
    rl_buf_t header = rl_buf_make(MAX_EVENT);
    timeline_write_header(timeline, &header);
    if (!header.full)
        http_set_header(self->req, "Server-Timing", header.data);
    rl_buf_free(&header);
}

void response_reply(response_t *self, const answer_t *answer)
{
    add_server_timing(self, answer->timeline);
    rl_buf_adds(&self->out, "\n");
    if (self->out.full)
        http_reply_error(&self->req, 500, "answer_too_large", NULL, 0,
                         "The answer does not fit into %d bytes.", MAX_EVENT);
    else
        http_reply(&self->req, 200, "application/json", self->out.data, self->out.size);
}

void response_reply_error(response_t *self, const answer_t *answer, const answer_error_t *error)
{
    (void)answer;
    http_reply_error(&self->req, error->status, error->code, NULL, error->retry_after_s, "%s",
                     error->message);
}

// ---- values -------------------------------------------------------------------------------------

static void add_number(rl_buf_t *out, const char *name, double number)
{
    rl_json_name(out, name);
    rl_buf_addf(out, "%.7g", isfinite(number) ? number : 0.0);
}

// ---- parts of an answer -------------------------------------------------------------------------

static void add_kinds(rl_buf_t *out, const bool *kinds)
{
    rl_json_open(out, "kinds", '[');
    for (int kind = 0; kind < KINDS; kind++)
        if (kinds[kind])
            rl_json_text(out, NULL, kind_names[kind]);
    rl_json_close(out, ']');
}

// The document's other fields: JSON from the index, which is looked at before it is passed on.
static void add_meta(rl_buf_t *out, const char *meta)
{
    json_t *object = meta && *meta ? json_loads(meta, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json_is_object(object)) {
        rl_json_value(out, "meta", object);
    } else {
        rl_json_open(out, "meta", '{');
        rl_json_close(out, '}');
    }
    json_decref(object);
}

static void add_passage(rl_buf_t *out, size_t number, const merged_passage_t *found)
{
    const rl_passage_t *passage = found->passage;
    char id[256];
    snprintf(id, sizeof id, "%.200s/%llu/%llu", found->collection, (unsigned long long)found->shard,
             (unsigned long long)passage->id);
    rl_json_open(out, NULL, '{');
    rl_json_count(out, "n", number);
    rl_json_text(out, "id", id);
    rl_json_text(out, "doc", passage->doc);
    rl_json_text(out, "title", passage->title);
    rl_json_text(out, "heading", passage->heading);
    rl_json_text(out, "source", passage->source);
    rl_json_text(out, "text", passage->text);
    rl_json_count(out, "start", passage->start);
    rl_json_count(out, "end", passage->end);
    add_number(out, "score", found->score);
    add_kinds(out, found->kinds);
    rl_json_text(out, "collection", found->collection);
    add_meta(out, passage->meta);
    rl_json_close(out, '}');
}

void response_add_passages(rl_buf_t *out, const char *name, const answer_t *answer)
{
    rl_json_open(out, name, '[');
    for (size_t at = 0; at < answer->passages_size; at++)
        add_passage(out, at + 1, &answer->passages[at]);
    rl_json_close(out, ']');
}

void response_add_coverage(rl_buf_t *out, const answer_t *answer)
{
    rl_json_open(out, "coverage", '{');
    rl_json_count(out, "answered", answer->answered);
    rl_json_count(out, "of", answer->of);
    rl_json_open(out, "missing", '[');
    for (size_t at = 0; at < answer->missing_size; at++) {
        rl_json_open(out, NULL, '{');
        rl_json_text(out, "source", answer->missing[at].source);
        rl_json_text(out, "reason", answer->missing[at].reason);
        rl_json_close(out, '}');
    }
    rl_json_close(out, ']');
    rl_json_close(out, '}');
}

void response_add_awaited(rl_buf_t *out, const answer_t *answer)
{
    rl_json_open(out, "awaited", '[');
    for (size_t at = 0; at < answer->awaited_size; at++)
        rl_json_text(out, NULL, answer->awaited[at].source);
    rl_json_close(out, ']');
}

void response_add_preview(rl_buf_t *out, const answer_preview_t *preview)
{
    rl_json_text(out, "text", preview->text);
    rl_json_count(out, "passage", preview->passage);
    add_number(out, "score", preview->score);
}

void response_add_citations(rl_buf_t *out, const answer_t *answer)
{
    rl_json_open(out, "citations", '[');
    for (size_t at = 0; at < answer->citations_size; at++) {
        const answer_citation_t *citation = &answer->citations[at];
        rl_json_open(out, NULL, '{');
        rl_json_count(out, "passage", citation->passage);
        rl_json_count(out, "start", citation->start);
        rl_json_count(out, "end", citation->end);
        add_number(out, "score", citation->score);
        rl_json_close(out, '}');
    }
    rl_json_close(out, ']');
}

void response_add_usage(rl_buf_t *out, const answer_t *answer)
{
    rl_json_open(out, "usage", '{');
    rl_json_count(out, "prompt_tokens", answer->prompt_tokens);
    rl_json_count(out, "completion_tokens", answer->completion_tokens);
    rl_json_count(out, "total_tokens", answer->prompt_tokens + answer->completion_tokens);
    rl_json_close(out, '}');
}

void response_add_outcome(rl_buf_t *out, const answer_t *answer)
{
    rl_json_text(out, "finish_reason", answer->finish);
    rl_json_text(out, "model", answer->model);
    rl_json_text(out, "upstream", answer->upstream);
    response_add_usage(out, answer);
}

void response_add_timings(rl_buf_t *out, const answer_t *answer)
{
    rl_json_name(out, "timings");
    timeline_write(answer->timeline, out);
}

// ---- citations in the text ----------------------------------------------------------------------

void citation_marks_feed(citation_marks_t *self, const char *text, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        char c = text[at];
        if (c == '[') {
            self->open = true;
            self->number = 0;
        } else if (self->open && c >= '0' && c <= '9' && self->number < 64) {
            self->number = self->number * 10 + (unsigned)(c - '0');
        } else if (self->open && (c == ']' || c == ',')) {
            if (self->number < 64)
                self->cited |= UINT64_C(1) << self->number;
            self->open = c == ','; // "[1, 2]"
            self->number = 0;
        } else if (c != ' ') {
            self->open = false;
        }
    }
    if (size > 0)
        self->last = text[size - 1];
}

const char *citation_marks_cite(citation_marks_t *self, uint64_t passage, char *room,
                                size_t room_size)
{
    bool there = passage < 64 && (self->cited & UINT64_C(1) << passage);
    bool space = self->last == ' ' || self->last == '\n';
    self->cited = 0;
    if (there)
        return "";
    snprintf(room, room_size, space ? "[%llu] " : " [%llu]", (unsigned long long)passage);
    return room;
}

// ---- forms that stream nothing
// ------------------------------------------------------------------------------------

void response_no_status(response_t *self, const char *state, const char *message,
                        const json_t *detail)
{
    (void)self;
    (void)state;
    (void)message;
    (void)detail;
}

void response_no_sources(response_t *self, const answer_t *answer)
{
    (void)self;
    (void)answer;
}

void response_no_token(response_t *self, const char *text, size_t size)
{
    (void)self;
    (void)text;
    (void)size;
}

void response_no_cite(response_t *self, const answer_citation_t *citation)
{
    (void)self;
    (void)citation;
}
