#include "cached_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_cache.h"
#include "clock.h"
#include "coalesce.h"
#include "mem.h"
#include "request_private.h"
#include "utf8.h"

enum {
    MAX_FINGERPRINTS = 8, // generators of different settings that are looked after
    PIECES_A_TURN = 512,  // given again before others have their turn
    MAX_PIECES = 1 << 20, // of an answer that is kept
    PARTS = 5 + 2 * RL_MAX_TURNS,
};

typedef struct cached_reply {
    char key[LRU_KEY];       // of the question, without the fingerprint
    cached_answer_t *answer; // that is given again, NULL: a new one is written
    size_t given;            // pieces of it
    bool begun, paused;      // paused: the client is behind
    uint32_t *ends;          // of the pieces that came, in bytes
    size_t ends_size;
    bool left_out; // too many of them
} cached_reply_t;

static bool may_use(const request_t *self)
{
    question_form_t form = self->question->form;
    return lru_is_on(self->pipeline->answer_cache) && (form == FORM_ASK || form == FORM_CHAT);
}

bool cached_reply_is_there(const request_t *self)
{
    return self->cached_reply && self->cached_reply->answer;
}

// ---- keys ---------------------------------------------------------------------------------------

// Of everything but the fingerprint.
static void make_key(request_t *self)
{
    const question_t *question = self->question;
    const char *parts[PARTS];
    char limits[80];
    size_t size = 0;
    snprintf(limits, sizeof limits, "%u,%ld,%zu", question->max_tokens,
             question->target_first_token_ms, question->turns_size);
    parts[size++] = coalesce_key(self);
    parts[size++] = question->text;
    parts[size++] = question->params;
    parts[size++] = limits;
    for (size_t at = 0; at < question->turns_size && size + 2 <= PARTS; at++) {
        parts[size++] = question->turns[at].role;
        parts[size++] = question->turns[at].content;
    }
    lru_key(self->cached_reply->key, parts, size);
}

static void key_of(const request_t *self, const char *fingerprint, char out[LRU_KEY])
{
    const char *const parts[] = {self->cached_reply->key, fingerprint};
    lru_key(out, parts, 2);
}

// ---- finding ------------------------------------------------------------------------------------

passage_set_t *cached_reply_find(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    const char *fingerprints[MAX_FINGERPRINTS];
    char key[LRU_KEY];
    if (!may_use(self))
        return NULL;
    bool looked = self->cached_reply; // it waited for another's passages since
    if (!looked)
        self->cached_reply = rl_new(*self->cached_reply);
    cached_reply_t *own = self->cached_reply;
    make_key(self);
    if (looked || self->question->fresh)
        return NULL;
    size_t size = registry_fingerprints(pipeline->registry, fingerprints, MAX_FINGERPRINTS);
    for (size_t at = 0; at < size && !own->answer; at++) {
        key_of(self, fingerprints[at], key);
        own->answer = answer_cache_find(pipeline->answer_cache, key);
    }
    metrics_count(pipeline->metrics,
                  own->answer ? COUNT_ANSWER_CACHE_HITS : COUNT_ANSWER_CACHE_MISSES, 1);
    return own->answer ? own->answer->passage_set : NULL;
}

// ---- giving again -------------------------------------------------------------------------------

static void send_citations(request_t *self)
{
    const cached_answer_t *from = self->cached_reply->answer;
    answer_t *answer = &self->answer;
    while (answer->citations_size < from->citations_size &&
           from->citations[answer->citations_size].end <= self->text_length)
        self->response->ops->cite(self->response, &answer->citations[answer->citations_size++]);
}

static bool send_piece(request_t *self)
{
    cached_reply_t *own = self->cached_reply;
    const cached_answer_t *from = own->answer;
    size_t start = self->answer.text.size, end = from->ends[own->given++];
    if (rl_buf_add(&self->answer.text, from->text + start, end - start) != 0)
        return false; // cannot be: it fitted before
    self->text_length += rl_utf8_length(from->text + start, end - start);
    self->response->ops->token(self->response, from->text + start, end - start);
    send_citations(self);
    return true;
}

static void take_outcome(request_t *self)
{
    const cached_answer_t *from = self->cached_reply->answer;
    answer_t *answer = &self->answer;
    timeline_t *timeline = self->timeline;
    answer->finish = rl_strdup(from->finish);
    answer->model = rl_strdup(from->model);
    answer->upstream = rl_strdup(from->upstream);
    answer->prompt_tokens = from->prompt_tokens;
    answer->completion_tokens = from->completion_tokens;
    answer->passages_used = from->passages_used;
    // the timeline has what was spent on this one: no tokens
    timeline->model = timeline_text(timeline, from->model);
    timeline->upstream = timeline_text(timeline, from->upstream);
    timeline->finish = timeline_text(timeline, from->finish);
}

static void begin_reply(request_t *self)
{
    const cached_answer_t *from = self->cached_reply->answer;
    timeline_t *timeline = self->timeline;
    timeline->answer = "cache";
    timeline->answer_age_us = rl_now_us() - from->written_us;
    timeline->first_token_us = timeline->steps[timeline->steps_size - 1].start_us;
    self->answer.citations = rl_alloc_array(from->citations_size + 1, sizeof *from->citations);
    for (size_t at = 0; at < from->citations_size; at++)
        self->answer.citations[at] = from->citations[at];
    json_t *detail = json_pack("{s:f}", "age_ms", (double)timeline->answer_age_us / 1000);
    request_status(self, "answered", "This was answered before: here it is again.", detail);
    json_decref(detail);
    send_citations(self); // of nothing, in case there are any before the first word
    self->cached_reply->begun = true;
}

static void on_turn(void *arg)
{
    request_wake(arg);
}

request_state_t cached_reply_send(request_t *self)
{
    cached_reply_t *own = self->cached_reply;
    size_t most = self->pipeline->settings.client_buffer / 2;
    if (!own->begun)
        begin_reply(self);
    for (unsigned given = 0; own->given < own->answer->ends_size; given++) {
        if (response_backlog(self->response) > most) {
            own->paused = true; // until cached_reply_resume
            return REQUEST_STREAMING;
        }
        if (given == PIECES_A_TURN) {
            request_set_phase(self, 0, on_turn);
            return REQUEST_STREAMING;
        }
        if (!send_piece(self))
            return request_fail(self, 500, "answer_too_long", 0,
                                "the answer that was kept does not fit into %zu bytes",
                                self->answer.text.max);
    }
    take_outcome(self);
    return REQUEST_DONE;
}

void cached_reply_resume(request_t *self)
{
    if (!cached_reply_is_there(self) || !self->cached_reply->paused)
        return;
    self->cached_reply->paused = false;
    request_set_phase(self, 0, on_turn); // the call comes from where its output is written
}

// ---- keeping ------------------------------------------------------------------------------------

// Where the pieces end is remembered as they come.
void cached_reply_note(request_t *self)
{
    cached_reply_t *own = self->cached_reply;
    if (!own || own->left_out)
        return;
    if (own->ends_size == MAX_PIECES) {
        own->left_out = true;
        return;
    }
    if ((own->ends_size & (own->ends_size - 1)) == 0)
        own->ends =
            rl_realloc(own->ends, own->ends_size ? own->ends_size * 2 : 1, sizeof *own->ends);
    own->ends[own->ends_size++] = (uint32_t)self->answer.text.size;
}

// Only what is whole: all sources, one generator from the first word to the last, which was the one
// that is asked first and ended by itself.
void cached_reply_keep(request_t *self, const char *fingerprint)
{
    cached_reply_t *own = self->cached_reply;
    const char *cache = self->timeline->cache;
    char key[LRU_KEY];
    if (!may_use(self) || !own || own->left_out || !*fingerprint || !self->passage_set->sound ||
        (cache && strcmp(cache, "semantic") == 0) || self->answer.missing_size > 0 ||
        self->timeline->continuations > 0 || own->ends_size == 0 ||
        strcmp(self->answer.finish, "stop") != 0)
        return;
    key_of(self, fingerprint, key);
    answer_cache_put(
        self->pipeline->answer_cache, key,
        cached_answer_new(&self->answer, self->passage_set, own->ends, own->ends_size));
    own->ends = NULL;
    own->ends_size = 0;
}

void cached_reply_end(request_t *self)
{
    cached_reply_t *own = self->cached_reply;
    if (!own)
        return;
    cached_answer_unref(&own->answer);
    free(own->ends);
    free(own);
    self->cached_reply = NULL;
}
