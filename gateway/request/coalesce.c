#include "coalesce.h"

#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_cache.h"
#include "clock.h"
#include "drafts.h"
#include "mem.h"
#include "passage_cache.h"
#include "request_private.h"
#include "search.h"

typedef enum follow_state {
    FOLLOWS_NOBODY,
    FOLLOWS,  // stands in its leader's followers
    ORPHANED, // stands in pipeline->orphans: goes on at the turn's end
    RELEASED, // goes on now
} follow_state_t;

typedef struct coalesce {
    request_t *request;
    char rest[LRU_KEY], key[LRU_KEY]; // of all but the words; of all
    char flight[LRU_KEY];             // of all and the deadlines: who may wait for whom
    uint64_t from_us;                 // when the cache was asked
    uint64_t changes, reloads;        // of the registry and the settings until the keys were made
    follow_state_t state;
    bool leads;           // others may wait for what this one finds
    bool by_itself;       // the one it waited for found nothing: it waits for nobody again
    request_t *leader;    // that is waited for, NULL if none
    passage_set_t *found; // what its leader found for it; NULL: nothing
    struct coalesce_queue followers;
    TAILQ_ENTRY(coalesce) next; // in followers, or orphans
} coalesce_t;

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
    lru_key_number((double)search_count(self));
    for (size_t at = 0; at < search_count(self); at++) {
        const source_t *source = search_source(self, at);
        lru_key_text(source->collection);
        lru_key_number((double)source->shard);
        lru_key_number(source->kind);
        lru_key_text(registry_generation(self->pipeline->registry, source));
    }
}

static void add_fusion(const request_t *self)
{
    const settings_t *settings = &self->pipeline->settings;
    lru_key_number(search_passages_wanted(self));
    lru_key_number(search_candidates_wanted(self));
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

bool coalesce_is_on(const request_t *self)
{
    return self->pipeline->settings.share || lru_is_on(self->pipeline->answer_cache);
}

void coalesce_make_keys(request_t *self)
{
    coalesce_t *own = self->coalesce;
    char limits[80];
    if (!own) {
        own = self->coalesce = rl_new(*own);
        own->request = self;
        TAILQ_INIT(&own->followers);
    }
    if (!own->from_us)
        own->from_us = rl_now_us();
    make_rest(self, own->rest);
    own->changes = registry_version(self->pipeline->registry);
    own->reloads = self->pipeline->reloads;
    const char *const words[] = {own->rest, self->search_text};
    lru_key(own->key, words, 2);
    search_limits_text(self, limits, sizeof limits);
    const char *const flight[] = {own->key, limits};
    lru_key(own->flight, flight, 2);
}

const char *coalesce_key(const request_t *self)
{
    return self->coalesce->key;
}

const char *coalesce_rest(const request_t *self)
{
    return self->coalesce ? self->coalesce->rest : "";
}

bool coalesce_is_current(const request_t *self)
{
    const coalesce_t *own = self->coalesce;
    char rest[LRU_KEY];
    if (!own)
        return false;
    if (own->changes == registry_version(self->pipeline->registry) &&
        own->reloads == self->pipeline->reloads)
        return true;
    make_rest(self, rest);
    return strcmp(rest, own->rest) == 0;
}

// ---- giving -------------------------------------------------------------------------------------

// Nobody waits for this one any more: all go on when the turn ends, since whoever is at work in
// this turn may be going through the list of all requests.
static void release_followers(request_t *self)
{
    coalesce_t *own = self->coalesce;
    // Where the search itself has come to nothing, the next one would too, and those that waited
    // would wait for one after the other; where only its client has gone, one searches for all.
    bool in_vain = self->state != REQUEST_CANCELLED;
    if (!own->leads)
        return;
    own->leads = false;
    zhashx_delete(self->pipeline->leaders, own->flight);
    for (coalesce_t *follower; (follower = TAILQ_FIRST(&own->followers));) {
        TAILQ_REMOVE(&own->followers, follower, next);
        follower->leader = NULL;
        follower->state = ORPHANED;
        follower->by_itself = in_vain;
        TAILQ_INSERT_TAIL(&self->pipeline->orphans, follower, next);
        rl_proc_request_turn(self->pipeline->proc);
    }
}

static void give_followers(request_t *self, passage_set_t *set)
{
    coalesce_t *follower;
    TAILQ_FOREACH(follower, &self->coalesce->followers, next)
    {
        follower->found = passage_set_ref(set);
    }
    release_followers(self);
}

// ---- taking what is there -----------------------------------------------------------------------

// Takes over the reference.
static bool adopt_passages(request_t *self, passage_set_t *set, const char *how)
{
    search_discard(self);
    span_t *span = timeline_add(self->timeline, STAGE_CACHE, self->coalesce->from_us, rl_now_us());
    if (span)
        span->detail = how;
    self->timeline->cache = how;
    self->timeline->of = self->timeline->answered = set->of;
    self->answer.of = self->answer.answered = set->of;
    self->passage_set = set;
    return true;
}

// What the question's drafts have found, if it serves; a reference for the caller.
static passage_set_t *take_draft(request_t *self)
{
    char prefilled_by[64] = "";
    if (!self->question->draft || self->question->form == FORM_DRAFT)
        return NULL;
    passage_set_t *set =
        drafts_take(self->pipeline->drafts, self->caller, self->question->draft, self->search_text,
                    self->coalesce->rest, prefilled_by, sizeof prefilled_by);
    if (*prefilled_by && !self->prefilled_by)
        self->prefilled_by = rl_strdup(prefilled_by);
    return set;
}

bool coalesce_may_find(const request_t *self)
{
    const pipeline_t *pipeline = self->pipeline;
    const coalesce_t *own = self->coalesce;
    passage_set_t *set = passage_cache_find(pipeline->passage_cache, own->key);
    bool found = set || self->question->draft || pipeline->settings.semantic > 0 ||
                 lru_is_on(pipeline->answer_cache) || zhashx_lookup(pipeline->leaders, own->flight);
    passage_set_unref(&set);
    return found;
}

bool coalesce_find(request_t *self, passage_set_t *answered)
{
    pipeline_t *pipeline = self->pipeline;
    if (!pipeline->settings.share && !answered)
        return false;
    passage_set_t *drafted = take_draft(self);
    if (answered) {
        passage_set_unref(&drafted);
        return adopt_passages(self, passage_set_ref(answered), "answer");
    }
    passage_set_t *set = passage_cache_find(pipeline->passage_cache, self->coalesce->key);
    metrics_count(pipeline->metrics, set || drafted ? COUNT_CACHE_HITS : COUNT_CACHE_MISSES, 1);
    const char *how = drafted ? "draft" : "cache";
    if (!set)
        set = drafted;
    else
        passage_set_unref(&drafted);
    return set && adopt_passages(self, set, how);
}

bool coalesce_find_near(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    double threshold = pipeline->settings.semantic;
    size_t dimension;
    const float *vector = search_vector(self, &dimension);
    if (!pipeline->settings.share || threshold <= 0 || !vector || !self->coalesce)
        return false;
    passage_set_t *set = passage_cache_find_near(pipeline->passage_cache, self->coalesce->rest,
                                                 vector, dimension, threshold);
    if (!set)
        return false;
    metrics_count(pipeline->metrics, COUNT_SEMANTIC_HITS, 1);
    give_followers(self, set);
    return adopt_passages(self, set, "semantic");
}

// ---- waiting for each other ---------------------------------------------------------------------

bool coalesce_follow(request_t *self)
{
    pipeline_t *pipeline = self->pipeline;
    coalesce_t *own = self->coalesce;
    if (!pipeline->settings.share)
        return false;
    request_t *leader = zhashx_lookup(pipeline->leaders, own->flight);
    if (!leader) {
        zhashx_update(pipeline->leaders, own->flight, self);
        own->leads = true;
    }
    if (!leader || own->by_itself)
        return false;
    own->leader = leader;
    own->state = FOLLOWS;
    TAILQ_INSERT_TAIL(&leader->coalesce->followers, own, next);
    metrics_count(pipeline->metrics, COUNT_RETRIEVALS_SHARED, 1);
    return true;
}

bool coalesce_is_follower(const request_t *self)
{
    return self->coalesce && self->coalesce->state != FOLLOWS_NOBODY;
}

bool coalesce_is_waiting(const request_t *self)
{
    const coalesce_t *own = self->coalesce;
    return own && (own->state == FOLLOWS || own->state == ORPHANED);
}

bool coalesce_adopt_found(request_t *self)
{
    coalesce_t *own = self->coalesce;
    passage_set_t *found = own->found;
    if (own->state != RELEASED)
        return false;
    own->state = FOLLOWS_NOBODY;
    own->found = NULL;
    if (found)
        return adopt_passages(self, found, "shared");
    own->from_us = 0;
    return false;
}

request_t *coalesce_leader(const request_t *self)
{
    return self->coalesce ? self->coalesce->leader : NULL;
}

request_t *coalesce_first_follower(const request_t *self)
{
    const coalesce_t *first = self->coalesce ? TAILQ_FIRST(&self->coalesce->followers) : NULL;
    return first ? first->request : NULL;
}

request_t *coalesce_next_follower(const request_t *self)
{
    const coalesce_t *following = TAILQ_NEXT(self->coalesce, next);
    return following ? following->request : NULL;
}

request_t *coalesce_next_orphan(pipeline_t *pipeline)
{
    coalesce_t *first = TAILQ_FIRST(&pipeline->orphans);
    if (!first)
        return NULL;
    TAILQ_REMOVE(&pipeline->orphans, first, next);
    first->state = RELEASED;
    return first->request;
}

void coalesce_give(request_t *self, bool current)
{
    pipeline_t *pipeline = self->pipeline;
    coalesce_t *own = self->coalesce;
    passage_set_t *set = self->passage_set;
    if (!own || !own->leads)
        return;
    if (!current || self->answer.missing_size > 0) {
        release_followers(self);
        return;
    }
    memcpy(set->rest, own->rest, sizeof set->rest);
    if (pipeline->settings.semantic > 0)
        set->vector = search_take_vector(self, &set->dimension);
    if (!search_is_lowered(self)) // later ones may have the time to find better
        passage_cache_put(pipeline->passage_cache, own->key, set);
    give_followers(self, set);
}

void coalesce_end(request_t *self)
{
    coalesce_t *own = self->coalesce;
    if (!own)
        return;
    if (own->state == FOLLOWS)
        TAILQ_REMOVE(&own->leader->coalesce->followers, own, next);
    if (own->state == ORPHANED)
        TAILQ_REMOVE(&self->pipeline->orphans, own, next);
    release_followers(self);
    passage_set_unref(&own->found);
    free(own);
    self->coalesce = NULL;
}
