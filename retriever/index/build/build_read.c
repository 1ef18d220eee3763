// build_read: files → documents → passages, into the spool.

#include "build_stages.h"

#include "clock.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_listing_problem(void *arg, const char *path, const char *what)
{
    rl_build_t *self = arg;
    self->listing_problems++;
    rl_meter_clear(self->meter);
    rl_warn("%s: %s", path, what);
}

static void on_corpus_problem(void *arg, const char *where, const char *what)
{
    rl_build_t *self = arg;
    rl_meter_clear(self->meter);
    rl_warn("%s: %s", where, what);
}

void rl_build_list(rl_build_t *self)
{
    self->listing = rl_listing_new(on_listing_problem, self);
    for (size_t i = 0; self->listing && i < rl_conf_args(self->plan->conf); i++)
        if (rl_listing_add(self->listing, rl_conf_arg(self->plan->conf, i)) != 0)
            rl_listing_destroy(&self->listing);
    if (!self->listing) {
        rl_build_fail(self, "out of memory");
        return;
    }
    rl_listing_close(self->listing);
    self->corpus = rl_corpus_new(self->listing, on_corpus_problem, self);
    if (!self->corpus) {
        rl_build_fail(self, "out of memory");
        return;
    }
    rl_meter_begin(self->meter, "reading", "bytes", rl_listing_bytes(self->listing));
    rl_build_set_state(self, RL_BUILD_READING);
}

// Whether passages wait for something before they are written: their vectors, or what a distributed
// engine is to be told of all of them.
static bool is_spooled(const rl_build_t *self)
{
    return self->mode == RL_BUILD_EMBEDDED || self->plan->engine;
}

// The first document decides what kind of collection it is; then the folder is locked and opened.
static int begin_store(rl_build_t *self, const rl_document_t *first)
{
    const rl_plan_t *plan = self->plan;
    if (rl_conf_wants(plan->conf, "lexical-only"))
        self->mode = RL_BUILD_LEXICAL;
    else if (first->vector)
        self->mode = RL_BUILD_SUPPLIED;
    else
        self->mode = plan->lexical_only ? RL_BUILD_LEXICAL : RL_BUILD_EMBEDDED;
    if (self->mode == RL_BUILD_LEXICAL) {
        rl_meter_clear(self->meter);
        rl_info("%s: the collection is searched by words only",
                rl_conf_wants(plan->conf, "lexical-only") ? "--lexical-only"
                                                          : "no embed.url is set");
    }
    char *json = rl_plan_json(plan);
    if (!json) {
        snprintf(self->why, RL_BUILD_WHY, "out of memory");
        return -1;
    }
    rl_store_settings_t settings = {.collection = plan->collection,
                                    .model = self->mode == RL_BUILD_LEXICAL ? "" : plan->model,
                                    .language = plan->language,
                                    .factory = self->mode == RL_BUILD_LEXICAL ? "" : plan->factory,
                                    .shards = plan->shards,
                                    .threads = plan->threads,
                                    .build = json};
    self->store = rl_store_build_new(plan->out, &settings, self->why, RL_BUILD_WHY);
    free(json);
    if (!self->store)
        return -1;
    snprintf(self->generation, sizeof self->generation, "%s", rl_store_build_name(self->store));
    if (!is_spooled(self))
        return 0; // every passage is complete when it is read, and is written at once
    self->spool = rl_spool_new(plan->out, self->why, RL_BUILD_WHY);
    if (self->spool && self->mode == RL_BUILD_EMBEDDED) {
        char path[4200];
        snprintf(path, sizeof path, "%s/%s", plan->out, rl_build_cache_name);
        self->cache = rl_vector_cache_new(path, self->why, RL_BUILD_WHY);
    }
    return self->spool && (self->cache || self->mode != RL_BUILD_EMBEDDED) ? 0 : -1;
}

// A passage that the chunker cut: into the spool, or into the store if nothing is missing.
static int take_chunk(void *arg, const rl_chunk_t *chunk)
{
    rl_build_t *self = arg;
    const rl_document_t *doc = self->doc;
    const char *from = doc->text.data + chunk->start;
    size_t size = chunk->end - chunk->start;
    char *text = strndup(from, size);
    if (!text) {
        snprintf(self->why, RL_BUILD_WHY, "out of memory");
        return -1;
    }
    // in turn: shards are equally large, and words about equally frequent in each, so that BM25
    // weights of different shards can be compared
    rl_spooled_t item = {.shard = self->passages % self->plan->shards,
                         .vector = doc->vector,
                         .vector_size = doc->vector_size,
                         .passage = {.doc = doc->id,
                                     .title = doc->title,
                                     .heading = chunk->heading,
                                     .source = doc->source,
                                     .text = text,
                                     .meta = doc->meta,
                                     .start = chunk->start,
                                     .end = chunk->end}};
    int rc = 0;
    if (self->mode == RL_BUILD_EMBEDDED) {
        rc = rl_chunk_embedded(&self->plan->rules, doc->title, chunk->heading, from, size,
                               &self->embedded);
        if (rc != 0) {
            snprintf(self->why, RL_BUILD_WHY, "out of memory");
        } else {
            item.key = rl_vector_key(self->plan->model, self->embedded.data, self->embedded.size);
            rl_vector_state_t before = rl_vector_cache_want(self->cache, &item.key);
            self->to_embed += before == RL_VECTOR_NONE;
            self->reused += before == RL_VECTOR_THERE;
        }
    }
    if (rc == 0 && is_spooled(self))
        rc = rl_spool_add(self->spool, &item, self->why, RL_BUILD_WHY);
    else if (rc == 0)
        rc = rl_build_write_one(self, &item);
    self->passages += rc == 0;
    free(text);
    return rc;
}

// Whether the document's vector goes with the others'.
static bool vector_fits(rl_build_t *self, const rl_document_t *doc)
{
    char what[160];
    if (self->mode != RL_BUILD_SUPPLIED || !doc->vector) {
        if ((self->mode == RL_BUILD_SUPPLIED) == (doc->vector != NULL) ||
            self->mode == RL_BUILD_LEXICAL)
            return true;
        snprintf(what, sizeof what,
                 doc->vector ? "has a \"vector\", those before it have none"
                             : "has no \"vector\", those before it have one");
    } else {
        if (self->dimension == 0)
            self->dimension = doc->vector_size;
        if (self->dimension == doc->vector_size)
            return true;
        snprintf(what, sizeof what, "its \"vector\" has %zu numbers, those before it have %zu",
                 doc->vector_size, self->dimension);
    }
    rl_corpus_problem(self->corpus, doc->id, what);
    return false;
}

// Returns 0, or -1 with self->why.
static int take_document(rl_build_t *self, rl_document_t *doc)
{
    if (self->mode == RL_BUILD_UNKNOWN && begin_store(self, doc) != 0)
        return -1;
    if (!vector_fits(self, doc))
        return 0;
    self->doc = doc;
    uint64_t before = self->passages;
    int rc;
    if (self->mode == RL_BUILD_SUPPLIED) {
        // whoever embedded it has cut it: it stays whole
        rl_chunk_t whole = {.start = doc->blocks[0].start,
                            .end = doc->blocks[doc->blocks_size - 1].end,
                            .heading = ""};
        rc = take_chunk(self, &whole);
    } else {
        rc = rl_chunk(doc, &self->plan->rules, take_chunk, self);
        if (rc != 0 && !self->why[0])
            snprintf(self->why, RL_BUILD_WHY, "out of memory");
    }
    self->documents += self->passages > before;
    return rc;
}

static void end_reading(rl_build_t *self)
{
    const rl_corpus_counts_t *counts = rl_corpus_counts(self->corpus);
    rl_meter_at(self->meter, rl_listing_bytes(self->listing));
    rl_meter_end(self->meter);
    if (self->passages == 0) {
        snprintf(self->why, RL_BUILD_WHY,
                 "nothing to index: %llu files read, %llu left out, %llu documents without text, "
                 "%llu problems",
                 (unsigned long long)counts->files, (unsigned long long)counts->left_out,
                 (unsigned long long)counts->empty,
                 (unsigned long long)(counts->problems + self->listing_problems));
        rl_build_fail(self, self->why);
        return;
    }
    if (!is_spooled(self)) {
        rl_build_set_state(self, RL_BUILD_FINISHING);
        return;
    }
    if (rl_spool_rewind(self->spool, self->why, RL_BUILD_WHY) != 0) {
        rl_build_fail(self, self->why);
        return;
    }
    if (self->to_embed == 0) {
        rl_meter_begin(self->meter, "writing", "passages", self->passages);
        rl_build_set_state(self, RL_BUILD_WRITING);
        return;
    }
    if (self->reused > 0)
        rl_info("%llu of %llu passages have been embedded before", (unsigned long long)self->reused,
                (unsigned long long)self->passages);
    rl_build_set_state(self, RL_BUILD_EMBEDDING);
}

void rl_build_read(rl_build_t *self)
{
    uint64_t until = rl_now_us() + RL_BUILD_TURN_US;
    do {
        rl_document_t doc;
        rl_corpus_next_t next = rl_corpus_next(self->corpus, &doc);
        if (next == RL_CORPUS_END) {
            end_reading(self);
            return;
        }
        if (next == RL_CORPUS_NOTHING)
            continue;
        if (next == RL_CORPUS_BROKEN) {
            rl_build_fail(self, rl_corpus_why(self->corpus));
            return;
        }
        int rc = take_document(self, &doc);
        rl_document_free(&doc);
        if (rc != 0) {
            rl_build_fail(self, self->why);
            return;
        }
    } while (rl_now_us() < until);
    rl_meter_at(self->meter, rl_corpus_counts(self->corpus)->bytes);
    rl_build_set_state(self, RL_BUILD_READING);
}
