#include "provisional.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "generation.h"
#include "mem.h"
#include "request_private.h"
#include "search.h"

enum {
    MAX_EARLY = 4096, // messages; a generator's window is 1,024 at most
    MAX_SAVED = 10,   // beginnings that a quiet time can save up
};

typedef struct provisional {
    rl_timer_t *timer;          // when sources are late enough
    bool due;                   // they are
    bool running;               // a generation from `hits` is at work, and its words wait
    passage_set_t *passage_set; // what it was begun with; NULL: it was not
    rl_msg_t **early;           // the early buffer, from first_early on
    size_t early_size, first_early;
} provisional_t;

static bool may_begin(const request_t *self)
{
    const pipeline_t *pipeline = self->pipeline;
    question_form_t form = self->question->form;
    return pipeline->settings.provisional_ms > 0 && (form == FORM_ASK || form == FORM_CHAT) &&
           !self->provisional->passage_set && pipeline->provisional_budget >= 1 &&
           pipeline->waiting_size == 0;
}

// At least `quorum` of all sources, and at least one.
static bool enough_have_answered(const request_t *self)
{
    size_t answered = search_answered(self);
    return answered > 0 && (double)answered >= self->pipeline->settings.provisional_quorum *
                                                   (double)search_count(self);
}

static void begin_early(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    size_t size;
    if (!generation_choose_idle(self))
        return; // it would stand in the way of others
    merged_passage_t *passages = search_merge_now(self, &size);
    self->provisional->passage_set = passage_set_new(passages, size, (unsigned)search_count(self));
    if (size == 0)
        return;
    self->answer.passages = passages;
    self->answer.passages_size = size;
    if (generation_send(self)) {
        pipeline->provisional_budget -= 1;
        self->provisional->running = true;
        metrics_count(pipeline->metrics, COUNT_PROVISIONAL, 1);
    }
    self->answer.passages_size = 0;
    self->answer.passages = NULL;
}

static void on_time(void *arg)
{
    request_t *self = arg;
    self->provisional->due = true;
    request_wake(self);
}

void provisional_arm(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    long ms = pipeline->settings.provisional_ms;
    pipeline->provisional_budget += pipeline->settings.provisional_share;
    if (pipeline->provisional_budget > MAX_SAVED)
        pipeline->provisional_budget = MAX_SAVED;
    if (ms == 0 || self->provisional)
        return;
    self->provisional = rl_new(*self->provisional);
    request_set_timer(self, &self->provisional->timer, (int64_t)ms * 1000, on_time, self);
}

// Its generator was lost: the final passages go to another.
static void note_loss(request_t *self)
{
    self->provisional->running = false;
    self->timeline->provisional = "failed";
    generation_abandon(self);
    provisional_drop_early(self);
}

void provisional_look(request_t *self)
{
    provisional_t *own = self->provisional;
    if (!own)
        return;
    if (own->running && generation_is_lost(self))
        note_loss(self);
    if (own->due && may_begin(self) && enough_have_answered(self))
        begin_early(self);
}

// ---- the early buffer ---------------------------------------------------------------------------

bool provisional_take(request_t *self, rl_msg_t *msg)
{
    provisional_t *own = self->provisional;
    if (!own || !own->running)
        return false;
    if (own->early_size == MAX_EARLY)
        return true; // never so many, but a generator may say anything; the gap will be seen
    if ((own->early_size & (own->early_size - 1)) == 0)
        own->early =
            rl_realloc(own->early, own->early_size ? own->early_size * 2 : 1, sizeof *own->early);
    own->early[own->early_size++] = rl_must(rl_msg_move(msg));
    return true;
}

const rl_msg_t *provisional_early(const request_t *self)
{
    const provisional_t *own = self->provisional;
    bool any = own && !own->running && own->first_early < own->early_size;
    return any ? own->early[own->first_early] : NULL;
}

void provisional_drop_first(request_t *self)
{
    provisional_t *own = self->provisional;
    if (own->first_early < own->early_size)
        rl_msg_free(&own->early[own->first_early++]);
    if (own->first_early == own->early_size)
        provisional_drop_early(self);
}

void provisional_drop_early(request_t *self)
{
    provisional_t *own = self->provisional;
    if (!own)
        return;
    for (size_t at = own->first_early; at < own->early_size; at++)
        rl_msg_free(&own->early[at]);
    free(own->early);
    own->early = NULL;
    own->early_size = own->first_early = 0;
}

// ---- when the passages are complete -------------------------------------------------------------

static bool same_passages(const passage_set_t *a, const passage_set_t *b)
{
    if (a->passages_size != b->passages_size)
        return false;
    for (size_t at = 0; at < a->passages_size; at++) {
        const merged_passage_t *x = &a->passages[at], *y = &b->passages[at];
        if (strcmp(x->collection, y->collection) != 0 || x->shard != y->shard ||
            x->passage->id != y->passage->id || strcmp(x->passage->text, y->passage->text) != 0)
            return false;
    }
    return true;
}

static bool has_words(const provisional_t *self)
{
    for (size_t at = 0; at < self->early_size; at++)
        if (self->early[at]->type == RL_TOKEN)
            return true;
    return false;
}

bool provisional_keep(request_t *self)
{
    provisional_t *own = self->provisional;
    if (own && own->running && generation_is_lost(self))
        note_loss(self);
    if (!own || !own->running)
        return false;
    own->running = false;
    if (!same_passages(own->passage_set, self->passage_set)) {
        self->timeline->provisional = "restarted";
        generation_restart(self);
        provisional_drop_early(self);
        return false;
    }
    metrics_count(self->pipeline->metrics, COUNT_PROVISIONAL_KEPT, 1);
    self->timeline->provisional = "kept";
    self->previewed |= has_words(own);
    return true;
}

void provisional_end(request_t *self)
{
    if (!self->provisional)
        return;
    provisional_drop_early(self);
    request_set_timer(self, &self->provisional->timer, -1, NULL, NULL);
    passage_set_unref(&self->provisional->passage_set);
    free(self->provisional);
    self->provisional = NULL;
}
