// timeline_path: the chain of stages that the first token really waited for.
//
// States partition the total, so the chain is made state by state. Only while searching does work
// run side by side: what counts there is the last thing that was waited for, a search (with the
// embedding before it, if it is a dense one) or the embedding alone.
#include <string.h>

#include "timeline.h"

typedef struct walk {
    const timeline_t *timeline;
    path_step_t *path;
    size_t size;
    uint64_t at, until; // charged so far; the end of the path
} walk_t;

static uint64_t end_of(const span_t *span)
{
    return span->start_us + span->took_us;
}

// Charges the time up to `end` to a stage.
static void charge_step(walk_t *self, stage_t stage, const span_t *span, uint64_t end)
{
    end = end < self->until ? end : self->until;
    if (end <= self->at)
        return;
    uint64_t took = end - self->at;
    path_step_t *last = self->size > 0 ? &self->path[self->size - 1] : NULL;
    if (last && ((last->stage == stage && last->span == span) || self->size == TIMELINE_MAX_PATH))
        last->took_us += took;
    else
        self->path[self->size++] =
            (path_step_t){.stage = stage, .span = span, .start_us = self->at, .took_us = took};
    self->at = end;
}

// ---- searching ----------------------------------------------------------------------------------

static const span_t *span_of(const timeline_t *timeline, stage_t stage)
{
    for (size_t at = 0; at < timeline->spans_size; at++)
        if (timeline->spans[at].stage == stage)
            return &timeline->spans[at];
    return NULL;
}

static const span_t *embed_span(const timeline_t *timeline)
{
    return span_of(timeline, STAGE_EMBED);
}

static uint64_t network_us(const span_t *search)
{
    uint64_t inside = search->queue_us + search->work_us;
    return search->took_us > inside ? search->took_us - inside : 0;
}

// The search that ended last; NULL if there was none.
static const span_t *last_search(const timeline_t *timeline)
{
    const span_t *last = NULL;
    for (size_t at = 0; at < timeline->spans_size; at++) {
        const span_t *span = &timeline->spans[at];
        if (span->collection && (!last || end_of(span) > end_of(last)))
            last = span;
    }
    return last;
}

static void charge_searching(walk_t *self, uint64_t end)
{
    const span_t *cache = span_of(self->timeline, STAGE_CACHE);
    if (cache) { // it may have begun to search before
        charge_step(self, STAGE_PLAN, NULL, cache->start_us);
        charge_step(self, STAGE_CACHE, cache, end);
        return;
    }
    const span_t *embed = embed_span(self->timeline), *search = last_search(self->timeline);
    bool embed_last = embed && (!search || end_of(embed) >= end_of(search));
    if (embed && (embed_last || (search && search->kind == KIND_DENSE))) {
        charge_step(self, STAGE_PLAN, NULL, embed->start_us);
        charge_step(self, STAGE_EMBED, embed, end_of(embed) < end ? end_of(embed) : end);
    }
    if (search && !embed_last) {
        uint64_t sent = search->start_us < end ? search->start_us : end;
        charge_step(self, STAGE_PLAN, NULL, sent > search->dispatch ? sent - search->dispatch : 0);
        charge_step(self, STAGE_DISPATCH, search, sent);
        uint64_t done = end_of(search) < end ? end_of(search) : end;
        if (search->missing) {
            charge_step(self, STAGE_MISSING, search, done);
        } else {
            uint64_t back = done - (network_us(search) < done ? network_us(search) : done);
            charge_step(self, STAGE_SEARCH_QUEUE, search,
                        back - (search->work_us < back ? search->work_us : back));
            charge_step(self, STAGE_SEARCH_WORK, search, back);
            charge_step(self, STAGE_SEARCH_NETWORK, search, done);
        }
    }
    charge_step(self, STAGE_PLAN, NULL, end);
}

// How much of a search belongs to a stage, and would be gone without it.
static uint64_t share_of(const span_t *search, stage_t stage, const span_t *embed)
{
    switch (stage) {
    case STAGE_EMBED:
        return embed && search->kind == KIND_DENSE ? embed->took_us : 0;
    case STAGE_SEARCH_NETWORK:
        return search->missing ? 0 : network_us(search);
    case STAGE_SEARCH_QUEUE:
        return search->missing ? 0 : search->queue_us;
    case STAGE_SEARCH_WORK:
        return search->missing ? 0 : search->work_us;
    case STAGE_MISSING:
        return search->missing ? search->took_us : 0;
    default:
        return 0;
    }
}

// When the last search would have ended if a stage had taken no time in any of them.
static uint64_t searched_without(const timeline_t *timeline, stage_t stage)
{
    const span_t *embed = embed_span(timeline);
    uint64_t last = embed && stage != STAGE_EMBED ? end_of(embed) : 0;
    for (size_t at = 0; at < timeline->spans_size; at++) {
        const span_t *span = &timeline->spans[at];
        if (!span->collection)
            continue;
        uint64_t share = share_of(span, stage, embed), end = end_of(span);
        end = end > share ? end - share : 0;
        last = end > last ? end : last;
    }
    return last;
}

static uint64_t searched_at(const timeline_t *timeline)
{
    return searched_without(timeline, STAGES);
}

static bool runs_beside_others(stage_t stage)
{
    return stage == STAGE_EMBED || stage == STAGE_SEARCH_NETWORK || stage == STAGE_SEARCH_QUEUE ||
           stage == STAGE_SEARCH_WORK || stage == STAGE_MISSING;
}

// ---- generating ---------------------------------------------------------------------------------

static bool is_generators(stage_t stage)
{
    return stage >= STAGE_GENERATOR_QUEUE && stage <= STAGE_PREFILL;
}

// The generator's own spans of the generation that began in [from, to), if it sent any.
static void charge_generating(walk_t *self, uint64_t to)
{
    const timeline_t *timeline = self->timeline;
    uint64_t from = self->at;
    bool told = false;
    for (size_t at = 0; at < timeline->spans_size; at++) {
        const span_t *span = &timeline->spans[at];
        if (!is_generators(span->stage) || end_of(span) < from || span->start_us >= to)
            continue;
        charge_step(self, span->stage, span, end_of(span) < to ? end_of(span) : to);
        told = true;
    }
    bool lost = !told && timeline->first_token_us != to;
    charge_step(self, lost ? STAGE_GENERATE_LOST : STAGE_RELAY, NULL, to);
}

// ---- the whole ----------------------------------------------------------------------------------

static stage_t stage_of_state(request_state_t state)
{
    switch (state) {
    case REQUEST_RECEIVED:
        return STAGE_RECEIVE;
    case REQUEST_REWRITING:
        return STAGE_REWRITE;
    case REQUEST_MERGING:
        return STAGE_MERGE;
    case REQUEST_WAITING:
        return STAGE_WAIT;
    default:
        return STAGE_TOKENS;
    }
}

size_t timeline_path(const timeline_t *self, path_step_t *path)
{
    uint64_t until = self->first_token_us ? self->first_token_us : self->end_us;
    walk_t walk = {.timeline = self, .path = path, .until = until};
    for (size_t at = 0; at < self->steps_size && walk.at < until; at++) {
        const timeline_step_t *step = &self->steps[at];
        uint64_t end = at + 1 < self->steps_size ? self->steps[at + 1].start_us : until;
        end = end < until ? end : until;
        if (step->state == REQUEST_SEARCHING)
            charge_searching(&walk, end);
        else if (step->state == REQUEST_GENERATING)
            charge_generating(&walk, end);
        else if (step->state < REQUEST_DONE)
            charge_step(&walk, stage_of_state(step->state), NULL, end);
    }
    uint64_t searched = searched_at(self);
    for (size_t at = 0; at < walk.size; at++) {
        path_step_t *step = &path[at];
        uint64_t saved = step->took_us;
        if (runs_beside_others(step->stage)) {
            uint64_t without = searched_without(self, step->stage);
            saved = searched > without ? searched - without : 0;
            saved = saved < step->took_us ? saved : step->took_us;
        }
        step->without_us = until > saved ? until - saved : 0;
    }
    return walk.size;
}
