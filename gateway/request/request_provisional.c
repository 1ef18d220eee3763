// request_provisional: the answer is begun while a slow source is still awaited. Once enough
// sources have answered, and those that have not take longer than is usual, a generator gets what
// there is. What it writes is held back. If the late ones change nothing, the words are there when
// the passages are complete; if they do, the generation is cancelled and begun again with the final
// passages. It is a bounded share of all questions, and only while generators have room to spare.
#include "request_private.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

enum {
    MAX_HELD = 4096, // messages; a generator's window is 1,024 at most
    MAX_SAVED = 10,  // beginnings that a quiet time can save up
};

static bool may_begin(const request_t *self)
{
    const pipeline_t *pipeline = self->pipeline;
    question_form_t form = self->question->form;
    return pipeline->settings.provisional_ms > 0 && self->state == REQUEST_SEARCHING &&
           (form == FORM_ASK || form == FORM_CHAT) && !self->provisional.hits &&
           pipeline->provisional_budget >= 1 && pipeline->waiting_size == 0;
}

// At least `quorum` of all sources, and at least one.
static bool enough_have_answered(const request_t *self)
{
    size_t answered = 0;
    for (size_t at = 0; at < self->searches_size; at++)
        answered += self->searches[at].state == SEARCH_ANSWERED;
    return answered > 0 && (double)answered >= self->pipeline->settings.provisional_quorum *
                                                   (double)self->searches_size;
}

static void begin(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    worker_t *worker = registry_pick_generator(pipeline->registry, NULL);
    if (!worker || worker->outstanding >= (worker->slots + 1) / 2)
        return; // it would stand in the way of others
    size_t size;
    merged_passage_t *passages = request_merge_now(self, &size);
    self->provisional.hits = passage_set_new(passages, size, (unsigned)self->searches_size);
    if (size == 0)
        return;
    self->answer.passages = passages;
    self->answer.passages_size = size;
    if (request_send_generate(self, worker)) {
        pipeline->provisional_budget -= 1;
        self->provisional.running = true;
        metrics_count(pipeline->metrics, COUNT_PROVISIONAL, 1);
    }
    self->answer.passages_size = 0;
    self->answer.passages = NULL;
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    request_t *self = arg;
    (void)fd;
    (void)what;
    self->provisional.due = true;
    request_provisional_look(self);
}

void request_provisional_later(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    long ms = pipeline->settings.provisional_ms;
    pipeline->provisional_budget += pipeline->settings.provisional_share;
    if (pipeline->provisional_budget > MAX_SAVED)
        pipeline->provisional_budget = MAX_SAVED;
    if (ms == 0 || self->provisional.timer)
        return;
    struct timeval wait = {ms / 1000, ms % 1000 * 1000};
    self->provisional.timer = event_new(rl_proc_base(pipeline->proc), -1, 0, on_time, self);
    if (!self->provisional.timer || event_add(self->provisional.timer, &wait) != 0)
        abort();
}

void request_provisional_look(request_t *self)
{
    if (may_begin(self) && self->provisional.due && enough_have_answered(self))
        begin(self);
}

// ---- what it writes -----------------------------------------------------------------------------

bool request_hold(task_t *task, rl_msg_t *msg)
{
    request_t *self = task->request;
    provisional_t *provisional = &self->provisional;
    if (!provisional->running)
        return false;
    self->heard_us = rl_now_us();
    if (provisional->held_size == MAX_HELD)
        return true; // never so many, but a generator may say anything; the gap will be seen
    if ((provisional->held_size & (provisional->held_size - 1)) == 0) {
        size_t room = provisional->held_size ? provisional->held_size * 2 : 1;
        provisional->held = realloc(provisional->held, room * sizeof *provisional->held);
        if (!provisional->held)
            abort();
    }
    provisional->held[provisional->held_size++] = rl_msg_move(msg);
    return true;
}

static void forget(provisional_t *self)
{
    for (size_t at = 0; at < self->held_size; at++)
        rl_msg_free(&self->held[at]);
    free(self->held);
    self->held = NULL;
    self->held_size = 0;
}

// The request may end meanwhile: nothing of it is touched.
static void let_go(pipeline_t *pipeline, rl_msg_t **held, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        request_take_generated(pipeline, held[at]);
        rl_msg_free(&held[at]);
    }
    free(held);
}

static bool same(const passage_set_t *a, const passage_set_t *b)
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

static bool has_words(rl_msg_t *const *held, size_t size)
{
    for (size_t at = 0; at < size; at++)
        if (held[at]->type == RL_TOKEN)
            return true;
    return false;
}

bool request_provisional_decide(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    provisional_t *provisional = &self->provisional;
    if (!provisional->running)
        return false;
    provisional->running = false;
    if (!self->generation || !same(provisional->hits, self->hits)) {
        self->generator_tries = 0;
        self->timeline->provisional = "restarted";
        request_cancel_generation(self);
        forget(provisional);
        return false;
    }
    metrics_count(pipeline->metrics, COUNT_PROVISIONAL_KEPT, 1);
    self->timeline->provisional = "kept";
    request_enter(self, REQUEST_WAITING);
    request_enter(self, REQUEST_GENERATING);
    rl_msg_t **held = provisional->held;
    size_t size = provisional->held_size;
    if (!has_words(held, size))
        request_quick_answer(self);
    provisional->held = NULL;
    provisional->held_size = 0;
    let_go(pipeline, held, size);
    return true;
}

// Its generator is lost, or could not do it: the final passages go to another.
bool request_provisional_failed(request_t *self)
{
    if (!self->provisional.running)
        return false;
    self->provisional.running = false;
    self->timeline->provisional = "failed";
    tasks_end(self->pipeline->tasks, &self->generation);
    forget(&self->provisional);
    return true;
}

void request_provisional_end(request_t *self)
{
    if (self->provisional.timer)
        event_free(self->provisional.timer);
    self->provisional.timer = NULL;
    forget(&self->provisional);
    passage_set_unref(&self->provisional.hits);
}
