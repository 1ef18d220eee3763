// request_again: an answer that was given before is given again (cache.answers_mb): to exactly the
// same question, from the same passages, while a generator would ask the same model the same.
//
// The key holds what the passages depend on and the rights of the caller (request_share.c), the
// question and the conversation to the byte, the fields for the LLM, and the writer: what a
// generator says of its server, its model and its settings. An answer is found as long as one of
// the generators that are there has the writer that wrote it.
#include "request_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "drafts.h"
#include "utf8.h"

enum {
    MAX_WRITERS = 8,      // generators of different settings that are looked after
    PIECES_A_TURN = 512,  // given again before others have their turn
    MAX_PIECES = 1 << 20, // of an answer that is kept
    PARTS = 5 + 2 * RL_MAX_TURNS,
};

static bool may_use(const request_t *self)
{
    question_form_t form = self->question->form;
    return lru_is_on(self->pipeline->answers) && (form == FORM_ASK || form == FORM_CHAT);
}

// ---- keys ---------------------------------------------------------------------------------------

// Of everything but the writer.
static void make_key(request_t *self)
{
    const question_t *question = self->question;
    const char *parts[PARTS];
    char limits[80];
    size_t size = 0;
    snprintf(limits, sizeof limits, "%u,%ld,%zu", question->max_tokens,
             question->target_first_token_ms, question->turns_size);
    parts[size++] = self->share.key;
    parts[size++] = question->text;
    parts[size++] = question->params;
    parts[size++] = limits;
    for (size_t at = 0; at < question->turns_size && size + 2 <= PARTS; at++) {
        parts[size++] = question->turns[at].role;
        parts[size++] = question->turns[at].content;
    }
    lru_key(self->again.key, parts, size);
}

static void key_of(const request_t *self, const char *writer, char out[LRU_KEY])
{
    const char *const parts[] = {self->again.key, writer};
    lru_key(out, parts, 2);
}

// ---- finding ------------------------------------------------------------------------------------

bool request_again_find(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    const char *writers[MAX_WRITERS];
    char key[LRU_KEY];
    if (!may_use(self))
        return false;
    bool looked = *self->again.key; // it waited for another's passages since
    make_key(self);
    if (looked || self->question->fresh)
        return false;
    size_t size = registry_fingerprints(pipeline->registry, writers, MAX_WRITERS);
    for (size_t at = 0; at < size && !self->again.answer; at++) {
        key_of(self, writers[at], key);
        self->again.answer = answer_cache_find(pipeline->answers, key);
    }
    metrics_count(pipeline->metrics,
                  self->again.answer ? COUNT_ANSWER_CACHE_HITS : COUNT_ANSWER_CACHE_MISSES, 1);
    return self->again.answer != NULL;
}

// ---- giving again -------------------------------------------------------------------------------

static void give_citations(request_t *self)
{
    const cached_answer_t *from = self->again.answer;
    answer_t *answer = &self->answer;
    while (answer->citations_size < from->citations_size &&
           from->citations[answer->citations_size].end <= self->text_length)
        self->face->ops->cite(self->face, &answer->citations[answer->citations_size++]);
}

static bool give_piece(request_t *self)
{
    const cached_answer_t *from = self->again.answer;
    size_t start = self->answer.text.size, end = from->ends[self->again.given++];
    if (rl_buf_add(&self->answer.text, from->text + start, end - start) != 0)
        return false; // cannot be: it fitted before
    self->text_length += rl_utf8_length(from->text + start, end - start);
    self->face->ops->token(self->face, from->text + start, end - start);
    give_citations(self);
    return true;
}

static char *copy_of(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        abort();
    return copy;
}

static void end(request_t *self)
{
    const cached_answer_t *from = self->again.answer;
    answer_t *answer = &self->answer;
    timeline_t *timeline = self->timeline;
    answer->finish = copy_of(from->finish);
    answer->model = copy_of(from->model);
    answer->upstream = copy_of(from->upstream);
    answer->prompt_tokens = from->prompt_tokens;
    answer->completion_tokens = from->completion_tokens;
    answer->passages_used = from->passages_used;
    // the timeline has what was spent on this one: no tokens
    timeline->model = timeline_text(timeline, from->model);
    timeline->upstream = timeline_text(timeline, from->upstream);
    timeline->finish = timeline_text(timeline, from->finish);
    request_complete(self);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    request_again_go_on(arg);
}

void request_again_go_on(request_t *self)
{
    const cached_answer_t *from = self->again.answer;
    size_t most = self->pipeline->settings.client_buffer / 2;
    for (unsigned given = 0; self->again.given < from->ends_size; given++) {
        if (response_backlog(self->face) > most) {
            self->paused = true; // request_client_caught_up comes back to it
            return;
        }
        if (given == PIECES_A_TURN) {
            request_phase_timer(self, 0, on_turn);
            return;
        }
        if (!give_piece(self)) {
            request_fail(self, 500, "answer_too_long", 0,
                         "the answer that was kept does not fit into %zu bytes",
                         self->answer.text.max);
            return;
        }
    }
    end(self);
}

void request_again_later(request_t *self)
{
    request_phase_timer(self, 0, on_turn);
}

static void say_so(request_t *self)
{
    json_t *detail = json_pack("{s:f}", "age_ms", (double)self->timeline->answer_age_us / 1000);
    request_status(self, "answered", "This was answered before: here it is again.", detail);
    json_decref(detail);
}

// The passages have gone out.
void request_again_begin(request_t *self)
{
    const cached_answer_t *from = self->again.answer;
    timeline_t *timeline = self->timeline;
    size_t size = from->citations_size * sizeof *from->citations;
    timeline->answer = "cache";
    timeline->answer_age_us = rl_now_us() - from->written_us;
    self->answer.citations = malloc(size > 0 ? size : 1);
    if (!self->answer.citations)
        abort();
    if (size > 0)
        memcpy(self->answer.citations, from->citations, size);
    say_so(self);
    request_enter(self, REQUEST_STREAMING);
    timeline->first_token_us = timeline->steps[timeline->steps_size - 1].start_us;
    give_citations(self); // of nothing, in case there are any before the first word
    request_again_go_on(self);
}

// ---- keeping ------------------------------------------------------------------------------------

// Where the pieces end is remembered as they come.
void request_again_note(request_t *self)
{
    again_t *again = &self->again;
    if (!*again->key || again->left_out)
        return;
    if (again->ends_size == MAX_PIECES) {
        again->left_out = true;
        return;
    }
    if ((again->ends_size & (again->ends_size - 1)) == 0) {
        size_t room = again->ends_size ? again->ends_size * 2 : 1;
        again->ends = realloc(again->ends, room * sizeof *again->ends);
        if (!again->ends)
            abort();
    }
    again->ends[again->ends_size++] = (uint32_t)self->answer.text.size;
}

// Only what is whole: all sources, one generator from the first word to the last, which was the one
// that is asked first and ended by itself.
void request_again_keep(request_t *self, const char *writer)
{
    again_t *again = &self->again;
    char key[LRU_KEY];
    if (!may_use(self) || !*again->key || again->left_out || !*writer || !again->sound ||
        self->answer.missing_size > 0 || self->continuations > 0 || again->ends_size == 0 ||
        strcmp(self->answer.finish, "stop") != 0)
        return;
    key_of(self, writer, key);
    answer_cache_put(self->pipeline->answers, key,
                     cached_answer_new(&self->answer, self->hits, again->ends, again->ends_size));
    again->ends = NULL;
    again->ends_size = 0;
}

void request_again_end(request_t *self)
{
    cached_answer_unref(&self->again.answer);
    free(self->again.ends);
    self->again.ends = NULL;
}
