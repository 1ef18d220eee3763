// request_share: retrieval that is not done twice. What was found for the same question a moment
// ago is taken from the cache; who asks what is being searched for already waits for that search.
//
// The key of a retrieval holds everything that its result depends on (the words, collections,
// kinds, weights, filter, k, the index generations that are in force) and the rights of the caller,
// so that no question's times tell what others have asked who may see other things.
#include "request_private.h"

#include <ctype.h>
#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "drafts.h"
#include "passage_cache.h"

// ---- keys ---------------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_collections(const request_t *self)
{
    const question_t *question = self->question;
    const char *names[QUESTION_MAX_COLLECTIONS];
    memcpy(names, question->collections, question->collections_size * sizeof *names);
    qsort(names, question->collections_size, sizeof *names, by_name);
    lru_key_number((double)question->collections_size);
    for (size_t at = 0; at < question->collections_size; at++)
        lru_key_text(names[at]);
}

static void add_generations(const request_t *self)
{
    lru_key_number((double)self->searches_size);
    for (size_t at = 0; at < self->searches_size; at++) {
        const source_t *source = &self->searches[at].source;
        lru_key_text(source->collection);
        lru_key_number((double)source->shard);
        lru_key_number(source->kind);
        lru_key_text(registry_generation(self->pipeline->registry, source));
    }
}

static void add_fusion(const request_t *self)
{
    const settings_t *settings = &self->pipeline->settings;
    lru_key_number(request_passages_wanted(self));
    lru_key_number(request_candidates_wanted(self));
    lru_key_number(settings->fusion);
    lru_key_number(self->question->nprobe);
    lru_key_number(self->question->ef_search);
    for (int kind = 0; kind < KINDS; kind++)
        lru_key_number(self->question->weights[kind] >= 0 ? self->question->weights[kind]
                                                          : settings->weights[kind]);
}

// Of everything but the words.
static void make_rest(const request_t *self, char out[LRU_KEY])
{
    lru_key_begin();
    add_collections(self);
    add_generations(self);
    add_fusion(self);
    lru_key_text(embedder_model(self->pipeline->embedder));
    lru_key_text(self->question->filter ? self->question->filter : "");
    lru_key_text(keys_rights(self->caller));
    lru_key_end(out);
}

static void make_keys(request_t *self)
{
    char limits[80];
    make_rest(self, self->share.rest);
    self->share.changes = registry_version(self->pipeline->registry);
    self->share.reloads = self->pipeline->reloads;
    const char *const words[] = {self->share.rest, self->search_text};
    lru_key(self->share.key, words, 2);
    snprintf(limits, sizeof limits, "%ld/%ld/%zu", self->soft_ms, self->hard_ms, self->quorum);
    const char *const flight[] = {self->share.key, limits};
    lru_key(self->share.flight, flight, 2);
}

// ---- taking what is there -----------------------------------------------------------------------

static void adopt(request_t *self, passage_set_t *hits, const char *how)
{
    request_cancel_searches(self);
    request_forget_searches(self);
    self->pending = 0;
    span_t *span = timeline_add(self->timeline, STAGE_CACHE, self->share.from_us, rl_now_us());
    if (span)
        span->detail = how;
    request_enter(self, REQUEST_MERGING);
    request_phase_timer(self, -1, NULL);
    self->timeline->cache = how;
    self->timeline->of = self->timeline->answered = hits->of;
    self->hits = hits;
    self->again.sound = hits->sound && strcmp(how, "semantic") != 0;
    self->answer.of = self->answer.answered = hits->of;
    request_show_sources(self);
}

static void follow(request_t *self, request_t *leader)
{
    self->share.leader = leader;
    TAILQ_INSERT_TAIL(&leader->share.followers, self, share.next);
    metrics_count(self->pipeline->metrics, COUNT_RETRIEVALS_SHARED, 1);
    request_progressive_later(self);
}

static void lead(request_t *self)
{
    zhashx_update(self->pipeline->leaders, self->share.flight, self);
    self->share.leads = true;
}

// What the question's drafts have found, if it serves; a reference for the caller.
static passage_set_t *take_draft(request_t *self)
{
    if (!self->question->draft || self->question->form == FORM_DRAFT)
        return NULL;
    return drafts_take(self->pipeline->drafts, self->caller, self->question->draft,
                       self->search_text, self->share.rest, self->reader, sizeof self->reader);
}

// Whether something of others may serve, so that it is worth asking what is in force.
static bool may_find(const request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    passage_set_t *hits = passage_cache_find(pipeline->hits, self->share.key);
    bool found = hits || self->question->draft || pipeline->settings.semantic > 0 ||
                 lru_is_on(pipeline->answers) ||
                 zhashx_lookup(pipeline->leaders, self->share.flight);
    passage_set_unref(&hits);
    return found;
}

bool request_share(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    if (!self->share.checked)
        self->share.from_us = rl_now_us();
    if ((!pipeline->settings.share && !lru_is_on(pipeline->answers)) || self->share.unchecked)
        return false;
    make_keys(self);
    if (!self->share.checked && may_find(self) && request_check(self))
        return true;
    if (self->share.unchecked)
        return false;
    bool again = request_again_find(self);
    if (!pipeline->settings.share && !again)
        return false;
    passage_set_t *drafted = take_draft(self);
    if (again) {
        passage_set_unref(&drafted);
        adopt(self, passage_set_ref(self->again.answer->hits), "answer");
        return true;
    }
    passage_set_t *hits = passage_cache_find(pipeline->hits, self->share.key);
    const char *how = drafted ? "draft" : "cache";
    if (drafted && !hits)
        hits = passage_set_ref(drafted);
    passage_set_unref(&drafted);
    metrics_count(pipeline->metrics, hits ? COUNT_CACHE_HITS : COUNT_CACHE_MISSES, 1);
    if (hits) {
        adopt(self, hits, how);
        return true;
    }
    request_t *leader = zhashx_lookup(pipeline->leaders, self->share.flight);
    if (leader && !self->share.by_itself) {
        follow(self, leader);
        return true;
    }
    if (!leader)
        lead(self);
    return false;
}

// Those who wait get it when the turn ends: that may end them, and whoever is at work in this turn
// may be going through the list of all requests.
static void give(request_t *self, passage_set_t *hits)
{
    request_t *follower;
    TAILQ_FOREACH(follower, &self->share.followers, share.next)
    {
        follower->share.found = passage_set_ref(hits);
    }
    request_unshare(self);
}

bool request_share_near(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    double threshold = pipeline->settings.semantic;
    if (!pipeline->settings.share || threshold <= 0 || !self->vector ||
        self->state != REQUEST_SEARCHING)
        return false;
    passage_set_t *hits = passage_cache_find_near(pipeline->hits, self->share.rest, self->vector,
                                                  self->dimension, threshold);
    if (!hits)
        return false;
    metrics_count(pipeline->metrics, COUNT_SEMANTIC_HITS, 1);
    give(self, hits);
    adopt(self, hits, "semantic");
    return true;
}

// ---- giving -------------------------------------------------------------------------------------

// Whether the key would still be the same: generations and settings may have changed since.
static bool same_rest(const request_t *self)
{
    char rest[LRU_KEY];
    if (self->share.changes == registry_version(self->pipeline->registry) &&
        self->share.reloads == self->pipeline->reloads)
        return true;
    make_rest(self, rest);
    return strcmp(rest, self->share.rest) == 0;
}

bool request_share_current(const request_t *self)
{
    if (!*self->share.rest || !same_rest(self))
        return false;
    for (size_t at = 0; at < self->searches_size; at++) {
        const search_t *search = &self->searches[at];
        if (search->state != SEARCH_ANSWERED ||
            strcmp(search->hits->hits.generation,
                   registry_generation(self->pipeline->registry, &search->source)) != 0)
            return false;
    }
    return true;
}

void request_share_found(request_t *self, bool current)
{
    pipeline_t *pipeline = self->pipeline;
    bool complete = self->answer.missing_size == 0 && current;
    if (!self->share.leads)
        return;
    if (complete) {
        passage_set_t *hits = self->hits;
        memcpy(hits->rest, self->share.rest, sizeof hits->rest);
        if (pipeline->settings.semantic > 0 && self->vector) {
            hits->vector = self->vector;
            hits->dimension = self->dimension;
            self->vector = NULL;
        }
        if (!self->share.lowered) // later ones may have the time to find better
            passage_cache_put(pipeline->hits, self->share.key, hits);
        give(self, hits);
    }
    request_unshare(self);
}

void request_unshare(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    if (self->share.leader) {
        TAILQ_REMOVE(&self->share.leader->share.followers, self, share.next);
        self->share.leader = NULL;
    }
    if (self->share.orphan) {
        TAILQ_REMOVE(&pipeline->orphans, self, share.next);
        self->share.orphan = false;
    }
    passage_set_unref(&self->share.found);
    if (!self->share.leads)
        return;
    // Where the search itself has come to nothing, the next one would too, and those that waited
    // would wait for one after the other; where only its client has gone, one searches for all.
    bool in_vain = self->state != REQUEST_CANCELLED;
    self->share.leads = false;
    zhashx_delete(pipeline->leaders, self->share.flight);
    for (request_t *follower; (follower = TAILQ_FIRST(&self->share.followers));) {
        TAILQ_REMOVE(&self->share.followers, follower, share.next);
        follower->share.leader = NULL;
        follower->share.orphan = true;
        follower->share.by_itself = in_vain;
        TAILQ_INSERT_TAIL(&pipeline->orphans, follower, share.next);
        rl_proc_request_turn(pipeline->proc); // they go on when the turn ends
    }
}

bool request_waits_for_another(const request_t *self)
{
    return self->share.leader || self->share.orphan || self->share.checking;
}

void request_orphans_search(pipeline_t *pipeline)
{
    for (request_t *self; (self = TAILQ_FIRST(&pipeline->orphans));) {
        TAILQ_REMOVE(&pipeline->orphans, self, share.next);
        self->share.orphan = false;
        passage_set_t *found = self->share.found;
        self->share.found = NULL;
        if (found)
            adopt(self, found, "shared"); // may end it
        else
            request_search_again(self);
    }
}
