// request_merge: retrieval ends: what has come becomes the answer's passages, what has not is
// named, and the question goes on to a generator.
#include "request_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "drafts.h"

bool request_is_stale(const request_t *self, const search_t *search)
{
    if (!search->hits)
        return false;
    for (size_t at = 0; at < self->searches_size; at++) {
        const search_t *other = &self->searches[at];
        if (other->hits && other->source.collection == search->source.collection &&
            registry_compare_generations(other->hits->hits.generation,
                                         search->hits->hits.generation) > 0)
            return true;
    }
    return false;
}

// A question sees one generation of each collection: what came from an older one is left out, and
// named as missing.
static void leave_out_stale(request_t *self)
{
    for (size_t at = 0; at < self->searches_size; at++) {
        search_t *search = &self->searches[at];
        if (search->state == SEARCH_ANSWERED && request_is_stale(self, search))
            request_miss(self, search, "it still serves an older index generation, %.32s",
                         search->hits->hits.generation);
    }
    for (size_t at = 0; at < self->searches_size; at++)
        if (self->searches[at].state == SEARCH_MISSING)
            rl_msg_free(&self->searches[at].hits);
}

void request_name_source(const source_t *source, char *out, size_t size)
{
    snprintf(out, size, "%.64s/%llu/%s", source->collection, (unsigned long long)source->shard,
             kind_names[source->kind]);
}

static void list_missing(request_t *self)
{
    size_t size = 0;
    for (size_t at = 0; at < self->searches_size; at++)
        size += self->searches[at].state != SEARCH_ANSWERED;
    self->missing = size > 0 ? calloc(size, sizeof *self->missing) : NULL;
    if (size > 0 && !self->missing)
        abort();
    for (size_t at = 0; at < self->searches_size; at++) {
        const search_t *search = &self->searches[at];
        if (search->state == SEARCH_ANSWERED)
            continue;
        missing_source_t *missing = &self->missing[self->answer.missing_size++];
        request_name_source(&search->source, missing->source, sizeof missing->source);
        snprintf(missing->reason, sizeof missing->reason, "%s", search->reason);
    }
    self->answer.missing = self->missing;
    self->answer.of = (unsigned)self->searches_size;
    self->answer.answered = self->answer.of - (unsigned)self->answer.missing_size;
}

merged_passage_t *request_merge_now(const request_t *self, size_t *passages_size)
{
    const settings_t *settings = &self->pipeline->settings;
    merge_input_t *inputs = calloc(self->searches_size, sizeof *inputs);
    merge_settings_t how = {.fusion = settings->fusion,
                            .candidates = request_candidates_wanted(self),
                            .k = request_passages_wanted(self)};
    size_t size = 0;
    if (!inputs)
        abort();
    for (int kind = 0; kind < KINDS; kind++)
        how.weights[kind] = self->question->weights[kind] >= 0 ? self->question->weights[kind]
                                                               : settings->weights[kind];
    for (size_t at = 0; at < self->searches_size; at++) {
        const search_t *search = &self->searches[at];
        if (search->hits && !request_is_stale(self, search))
            inputs[size++] = (merge_input_t){search->source.collection, search->source.shard,
                                             search->source.kind, &search->hits->hits};
    }
    merged_passage_t *passages = merge_inputs(inputs, size, &how, passages_size);
    free(inputs);
    return passages;
}

static void merge_hits(request_t *self)
{
    size_t size;
    merged_passage_t *passages = request_merge_now(self, &size);
    self->hits = passage_set_new(passages, size, self->answer.of);
    bool current = request_share_current(self);
    self->again.sound = self->hits->sound =
        current && self->answer.missing_size == 0 && !self->share.lowered;
    // the best are copied; an open stream need not hold the rest
    request_note_searches(self);
    request_share_found(self, current);
    free(self->vector);
    self->vector = NULL;
}

static void fail_without_hits(request_t *self)
{
    const char *reason = self->missing[0].reason;
    request_fail(self, 503, "retrieval_failed", 1, "none of %u sources answered; the first, %s: %s",
                 self->answer.of, self->missing[0].source, reason);
}

void request_merge(request_t *self)
{
    request_phase_timer(self, -1, NULL);
    request_enter(self, REQUEST_MERGING);
    leave_out_stale(self);
    list_missing(self);
    if (self->answer.answered == 0) {
        fail_without_hits(self);
        return;
    }
    if (self->question->require_all && self->answer.missing_size > 0) {
        request_fail(self, 503, "incomplete", 1,
                     "%u of %u sources answered and all were required; missing: %s: %s",
                     self->answer.answered, self->answer.of, self->missing[0].source,
                     self->missing[0].reason);
        return;
    }
    merge_hits(self);
    request_show_sources(self);
}

static void note_draft(request_t *self)
{
    self->answer.settled = self->answer.missing_size == 0 &&
                           drafts_found(self->pipeline->drafts, self->caller, self->question->draft,
                                        self->search_text, self->share.rest, self->hits);
}

void request_show_sources(request_t *self)
{
    question_form_t form = self->question->form;
    request_progressive_end(self);
    self->answer.passages = self->hits->passages;
    self->answer.passages_size = self->hits->passages_size;
    if (form == FORM_DRAFT)
        note_draft(self);
    snprintf(self->answer.headline, sizeof self->answer.headline,
             "%zu passage%s from %u of %u source%s", self->answer.passages_size,
             self->answer.passages_size == 1 ? "" : "s", self->answer.answered, self->answer.of,
             self->answer.of == 1 ? "" : "s");
    self->face->ops->sources(self->face, &self->answer);
    self->timeline->sources_us = timeline_at(self->timeline, rl_now_us());
    if (form == FORM_SEARCH)
        request_complete(self);
    else if (form == FORM_DRAFT)
        request_prefill(self);
    else
        request_generate(self);
}
