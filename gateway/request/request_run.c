// A question's way from state to state. Each state has one step, which does what can be done now
// and returns the state that comes next, or the same: then an event is waited for, which records
// what came in its part and calls request_run again.
//
//   received → (rewriting) → searching → merging → waiting → generating → streaming → done
//                                                                   at any time: failed, cancelled
//
//   /v1/search       ends after merging
//   a draft          goes from merging to generating (its passages are read ahead), or ends
//   a cached answer  goes from merging to streaming
//   a lost generator takes it back to waiting, before the first word or behind the last one
#include "request_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "cached_reply.h"
#include "clock.h"
#include "coalesce.h"
#include "drafts.h"
#include "generation.h"
#include "hedge.h"
#include "live.h"
#include "preview.h"
#include "probes.h"
#include "progressive.h"
#include "provisional.h"
#include "revalidate.h"
#include "rewriting.h"
#include "search.h"
#include "traces.h"

static request_state_t step_received(request_t *self)
{
    rewriting_take_text(self);
    return rewriting_is_wanted(self) ? REQUEST_REWRITING : REQUEST_SEARCHING;
}

static request_state_t step_rewriting(request_t *self)
{
    return rewriting_is_over(self) ? REQUEST_SEARCHING : REQUEST_REWRITING;
}

// ---- searching ----------------------------------------------------------------------------------

static bool plan_search(request_t *self)
{
    if (!search_plan(self))
        return false;
    json_t *detail = self->question->resumable ? json_pack("{s:s}", "id", self->id) : NULL;
    request_status(self, "searching", "Searching…", detail);
    json_decref(detail);
    return true;
}

static void ask_sources(request_t *self)
{
    search_ask_all(self);
    provisional_arm(self);
    progressive_arm(self);
}

// Before a source is asked: what others have found or are looking for may do. Where it might, the
// sources whose indexes take changes first say what is in force.
static request_state_t find_shared(request_t *self)
{
    bool usable = coalesce_is_on(self) && revalidate_state(self) != REVALIDATE_FAILED;
    if (usable && revalidate_state(self) != REVALIDATE_ASKING) {
        coalesce_make_keys(self);
        if (revalidate_state(self) == REVALIDATE_NONE && coalesce_may_find(self))
            usable = revalidate_begin(self);
    }
    if (usable && revalidate_state(self) == REVALIDATE_ASKING)
        return REQUEST_SEARCHING;
    if (usable && coalesce_find(self, cached_reply_find(self)))
        return REQUEST_MERGING;
    if (usable && coalesce_follow(self))
        progressive_arm(self);
    else
        ask_sources(self);
    return REQUEST_SEARCHING;
}

// It waits for what another question finds.
static request_state_t follow_leader(request_t *self)
{
    if (coalesce_adopt_found(self))
        return REQUEST_MERGING;
    if (coalesce_is_waiting(self)) {
        progressive_look(self, coalesce_leader(self));
        return REQUEST_SEARCHING;
    }
    self->retrieval_us = rl_now_us(); // the retrievers' time was the other's
    return find_shared(self);
}

static void show_progress(request_t *self)
{
    progressive_look(self, self);
    for (request_t *other = coalesce_first_follower(self); other;
         other = coalesce_next_follower(other))
        progressive_look(other, self);
}

static request_state_t step_searching(request_t *self)
{
    if (!self->search && !plan_search(self))
        return request_fail(
            self, 503, "no_retriever", 1,
            "no retriever serves what was asked for; start ragline-retriever and check its "
            "cluster.gateways, or look at kinds and collections (GET /v1/workers)");
    if (!search_has_asked(self)) {
        request_state_t next = coalesce_is_follower(self) ? follow_leader(self) : find_shared(self);
        if (next != REQUEST_SEARCHING || !search_has_asked(self))
            return next;
    }
    if (search_has_embedded(self)) {
        if (revalidate_state(self) != REVALIDATE_FAILED && coalesce_find_near(self))
            return REQUEST_MERGING;
        search_ask_dense(self);
    }
    search_ask_again(self);
    hedge_late(self);
    if (search_is_over(self))
        return REQUEST_MERGING;
    provisional_look(self);
    show_progress(self);
    return REQUEST_SEARCHING;
}

// ---- passages -----------------------------------------------------------------------------------

static request_state_t merge_searches(request_t *self)
{
    search_list_missing(self);
    const answer_t *answer = &self->answer;
    const missing_source_t *first = self->missing;
    if (answer->answered == 0)
        return request_fail(self, 503, "retrieval_failed", 1,
                            "none of %u sources answered; the first, %s: %s", answer->of,
                            first->source, first->reason);
    if (self->question->require_all && answer->missing_size > 0)
        return request_fail(self, 503, "incomplete", 1,
                            "%u of %u sources answered and all were required; missing: %s: %s",
                            answer->answered, answer->of, first->source, first->reason);
    bool current = coalesce_is_current(self) && search_is_current(self);
    search_merge(self, current);
    coalesce_give(self, current);
    search_end(self); // the best are copied; an open stream need not hold the rest
    return REQUEST_MERGING;
}

static void note_draft(request_t *self)
{
    const char *rest = coalesce_rest(self);
    self->answer.settled = self->answer.missing_size == 0 &&
                           drafts_found(self->pipeline->drafts, self->caller, self->question->draft,
                                        self->search_text, rest, self->passage_set);
}

static void send_sources(request_t *self)
{
    answer_t *answer = &self->answer;
    answer->passages = self->passage_set->passages;
    answer->passages_size = self->passage_set->passages_size;
    if (self->question->form == FORM_DRAFT)
        note_draft(self);
    snprintf(answer->headline, sizeof answer->headline, "%zu passage%s from %u of %u source%s",
             answer->passages_size, answer->passages_size == 1 ? "" : "s", answer->answered,
             answer->of, answer->of == 1 ? "" : "s");
    self->response->ops->sources(self->response, answer);
    self->timeline->sources_us = timeline_at(self->timeline, rl_now_us());
}

static request_state_t step_merging(request_t *self)
{
    request_set_phase(self, -1, NULL);
    if (!self->passage_set && merge_searches(self) != REQUEST_MERGING)
        return self->end;
    progressive_end(self);
    send_sources(self);
    revalidate_end(self);
    coalesce_end(self);
    if (self->question->form == FORM_SEARCH)
        return REQUEST_DONE;
    if (self->question->form == FORM_DRAFT)
        return generation_choose_prefiller(self) ? REQUEST_GENERATING : REQUEST_DONE;
    return cached_reply_is_there(self) ? REQUEST_STREAMING : REQUEST_WAITING;
}

// ---- words --------------------------------------------------------------------------------------

static request_state_t step_waiting(request_t *self)
{
    if (provisional_keep(self))
        return REQUEST_GENERATING; // it was begun while searching
    if (generation_choose(self))
        return REQUEST_GENERATING;
    preview_send(self);
    return REQUEST_WAITING;
}

// What the generator has sent: first the early buffer of one begun while searching.
static request_state_t read_generator(request_t *self)
{
    const rl_msg_t *msg;
    request_state_t next = self->state;
    while (next == self->state && (msg = provisional_early(self))) {
        if (generation_is_first_word(self, msg))
            return REQUEST_STREAMING;
        next = generation_take(self, msg);
        provisional_drop_first(self);
    }
    if (next == self->state && (msg = generation_incoming(self))) {
        if (generation_is_first_word(self, msg))
            return REQUEST_STREAMING;
        next = generation_take(self, msg);
        generation_drop_incoming(self);
    }
    if (next == self->state && generation_is_lost(self))
        next = generation_take_loss(self);
    if (next != self->state)
        provisional_drop_early(self);
    return next;
}

static request_state_t step_generating(request_t *self)
{
    if (!generation_is_sent(self) && !generation_send(self))
        return self->end                            ? self->end
               : self->question->form == FORM_DRAFT ? REQUEST_DONE
                                                    : REQUEST_WAITING;
    preview_send(self); // after the task was sent: it costs the generator no time
    return read_generator(self);
}

static request_state_t step_streaming(request_t *self)
{
    return cached_reply_is_there(self) ? cached_reply_send(self) : read_generator(self);
}

// ---- the end ------------------------------------------------------------------------------------

// Everybody who looks at ended answers is told.
static void report_end(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    RL_PROBE_REQUEST_DONE(self->id, request_state_names[self->state], self->timeline->end_us,
                          self->tokens);
    if (self->question->form != FORM_DRAFT) { // nobody waits for a draft
        metrics_answer(pipeline->metrics, self->timeline);
        live_answer(pipeline->live, self->timeline);
    }
    otlp_answer(pipeline->otlp, self->timeline);
    traces_keep(pipeline->traces, &self->timeline);
}

static void free_request(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    request_set_timer(self, &self->timer, -1, NULL, NULL);
    request_set_timer(self, &self->phase, -1, NULL, NULL);
    coalesce_end(self);
    if (self->drafting)
        drafts_end(pipeline->drafts, self->caller, self->question->draft, self);
    rewriting_end(self);
    revalidate_end(self);
    search_end(self);
    provisional_end(self);
    generation_end(self);
    cached_reply_end(self);
    progressive_end(self);
    TAILQ_REMOVE(&pipeline->requests, self, all);
    pipeline->in_flight--;
    response_destroy(&self->response);
    keys_unref(&self->caller);
    question_destroy(&self->question);
    passage_set_unref(&self->passage_set);
    request_forget_failure(self);
    free(self->missing);
    free(self->search_text);
    free(self->prefilled_by);
    rl_buf_free(&self->answer.text);
    free(self->answer.citations);
    free(self->answer.finish);
    free(self->answer.model);
    free(self->answer.upstream);
    timeline_destroy(&self->timeline);
    free(self);
}

static void finish_request(request_t *self)
{
    search_end(self);
    self->timeline->tokens = self->tokens;
    self->timeline->client_us = response_blocked_us(self->response);
    self->answer.timeline = self->timeline;
    if (self->state == REQUEST_DONE) {
        self->response->ops->done(self->response, &self->answer);
    } else if (self->failure) {
        answer_error_t error = request_error(self);
        self->response->ops->error(self->response, &self->answer, &error);
    }
    report_end(self);
    free_request(self);
}

static request_state_t step(request_t *self)
{
    switch (self->state) {
    case REQUEST_RECEIVED:
        return step_received(self);
    case REQUEST_REWRITING:
        return step_rewriting(self);
    case REQUEST_SEARCHING:
        return step_searching(self);
    case REQUEST_MERGING:
        return step_merging(self);
    case REQUEST_WAITING:
        return step_waiting(self);
    case REQUEST_GENERATING:
        return step_generating(self);
    case REQUEST_STREAMING:
        return step_streaming(self);
    default:
        return self->state; // it has ended
    }
}

void request_run(request_t *self)
{
    if (self->running)
        return; // an event while a step is at work: looked at when that is done
    self->running = true;
    for (;;) {
        request_state_t next = self->end ? self->end : step(self);
        if (next == self->state && self->end)
            continue; // an event has ended it while the step was at work
        if (next == self->state)
            break;
        request_enter(self, next);
        if (next >= REQUEST_DONE) {
            finish_request(self);
            return;
        }
    }
    self->running = false;
}
