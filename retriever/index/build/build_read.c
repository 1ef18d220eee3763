// build_read: files → documents → passages, into the spool.

#include "build_stages.h"

#include "clock.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_listing_problem(void *arg, const char *path, const char *what)
{
    build_t *self = arg;
    self->listing_problems++;
    progress_clear(self->meter);
    rl_warn("%s: %s", path, what);
}

static void on_corpus_problem(void *arg, const char *where, const char *what)
{
    build_t *self = arg;
    progress_clear(self->meter);
    rl_warn("%s: %s", where, what);
}

void build_list(build_t *self)
{
    self->listing = listing_new(on_listing_problem, self);
    for (size_t i = 0; self->listing && i < rl_conf_args(self->plan->conf); i++)
        if (listing_add(self->listing, rl_conf_arg(self->plan->conf, i)) != 0)
            listing_destroy(&self->listing);
    if (!self->listing) {
        build_fail(self, "out of memory");
        return;
    }
    listing_close(self->listing);
    self->corpus = corpus_new(self->listing, on_corpus_problem, self);
    if (!self->corpus) {
        build_fail(self, "out of memory");
        return;
    }
    progress_begin(self->meter, "reading", "bytes", listing_bytes(self->listing));
    build_set_state(self, BUILD_READING);
}

// Whether passages wait for something before they are written: their vectors, or what a distributed
// engine is to be told of all of them.
static bool is_spooled(const build_t *self)
{
    return self->mode == BUILD_EMBEDDED || self->plan->engine;
}

// The first document decides what kind of collection it is; then the folder is locked and opened.
static int begin_store(build_t *self, const document_t *first)
{
    const plan_t *plan = self->plan;
    if (rl_conf_has_flag(plan->conf, "lexical-only"))
        self->mode = BUILD_LEXICAL;
    else if (first->vector)
        self->mode = BUILD_SUPPLIED;
    else
        self->mode = plan->lexical_only ? BUILD_LEXICAL : BUILD_EMBEDDED;
    if (self->mode == BUILD_LEXICAL) {
        progress_clear(self->meter);
        rl_info("%s: the collection is searched by words only",
                rl_conf_has_flag(plan->conf, "lexical-only") ? "--lexical-only"
                                                             : "no embed.url is set");
    }
    char *json = plan_json(plan);
    if (!json) {
        snprintf(self->why, BUILD_WHY, "out of memory");
        return -1;
    }
    store_settings_t settings = {.collection = plan->collection,
                                 .model = self->mode == BUILD_LEXICAL ? "" : plan->model,
                                 .language = plan->language,
                                 .factory = self->mode == BUILD_LEXICAL ? "" : plan->factory,
                                 .shards = plan->shards,
                                 .threads = plan->threads,
                                 .build = json};
    self->store = store_build_new(plan->out, &settings, self->why, BUILD_WHY);
    free(json);
    if (!self->store)
        return -1;
    snprintf(self->generation, sizeof self->generation, "%s", store_build_name(self->store));
    if (!is_spooled(self))
        return 0; // every passage is complete when it is read, and is written at once
    self->spool = spool_new(plan->out, self->why, BUILD_WHY);
    if (self->spool && self->mode == BUILD_EMBEDDED) {
        char path[4200];
        snprintf(path, sizeof path, "%s/%s", plan->out, build_cache_name);
        self->cache = vector_cache_new(path, self->why, BUILD_WHY);
    }
    return self->spool && (self->cache || self->mode != BUILD_EMBEDDED) ? 0 : -1;
}

// A passage that the chunker cut: into the spool, or into the store if nothing is missing.
static int take_chunk(void *arg, const chunk_t *chunk)
{
    build_t *self = arg;
    const document_t *doc = self->doc;
    const char *from = doc->text.data + chunk->start;
    size_t size = chunk->end - chunk->start;
    char *text = strndup(from, size);
    if (!text) {
        snprintf(self->why, BUILD_WHY, "out of memory");
        return -1;
    }
    // in turn: shards are equally large, and words about equally frequent in each, so that BM25
    // weights of different shards can be compared
    spooled_t item = {.shard = self->passages % self->plan->shards,
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
    if (self->mode == BUILD_EMBEDDED) {
        rc = chunk_embedded(&self->plan->rules, doc->title, chunk->heading, from, size,
                            &self->embedded);
        if (rc != 0) {
            snprintf(self->why, BUILD_WHY, "out of memory");
        } else {
            item.key = vector_key(self->plan->model, self->embedded.data, self->embedded.size);
            vector_state_t before = vector_cache_want(self->cache, &item.key);
            self->to_embed += before == VECTOR_NONE;
            self->reused += before == VECTOR_THERE;
        }
    }
    if (rc == 0 && is_spooled(self))
        rc = spool_add(self->spool, &item, self->why, BUILD_WHY);
    else if (rc == 0)
        rc = build_write_one(self, &item);
    self->passages += rc == 0;
    free(text);
    return rc;
}

// Whether the document's vector goes with the others'.
static bool vector_fits(build_t *self, const document_t *doc)
{
    char what[160];
    if (self->mode != BUILD_SUPPLIED || !doc->vector) {
        if ((self->mode == BUILD_SUPPLIED) == (doc->vector != NULL) || self->mode == BUILD_LEXICAL)
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
    corpus_problem(self->corpus, doc->id, what);
    return false;
}

// Returns 0, or -1 with self->why.
static int take_document(build_t *self, document_t *doc)
{
    if (self->mode == BUILD_UNKNOWN && begin_store(self, doc) != 0)
        return -1;
    if (!vector_fits(self, doc))
        return 0;
    self->doc = doc;
    uint64_t before = self->passages;
    int rc;
    if (self->mode == BUILD_SUPPLIED) {
        // whoever embedded it has cut it: it stays whole
        chunk_t whole = {.start = doc->blocks[0].start,
                         .end = doc->blocks[doc->blocks_size - 1].end,
                         .heading = ""};
        rc = take_chunk(self, &whole);
    } else {
        rc = chunk_document(doc, &self->plan->rules, take_chunk, self);
        if (rc != 0 && !self->why[0])
            snprintf(self->why, BUILD_WHY, "out of memory");
    }
    self->documents += self->passages > before;
    return rc;
}

static void end_reading(build_t *self)
{
    const corpus_counts_t *counts = corpus_counts(self->corpus);
    progress_at(self->meter, listing_bytes(self->listing));
    progress_end(self->meter);
    if (self->passages == 0) {
        snprintf(self->why, BUILD_WHY,
                 "nothing to index: %llu files read, %llu left out, %llu documents without text, "
                 "%llu problems",
                 (unsigned long long)counts->files, (unsigned long long)counts->left_out,
                 (unsigned long long)counts->empty,
                 (unsigned long long)(counts->problems + self->listing_problems));
        build_fail(self, self->why);
        return;
    }
    if (!is_spooled(self)) {
        build_set_state(self, BUILD_FINISHING);
        return;
    }
    if (spool_rewind(self->spool, self->why, BUILD_WHY) != 0) {
        build_fail(self, self->why);
        return;
    }
    if (self->to_embed == 0) {
        progress_begin(self->meter, "writing", "passages", self->passages);
        build_set_state(self, BUILD_WRITING);
        return;
    }
    if (self->reused > 0)
        rl_info("%llu of %llu passages have been embedded before", (unsigned long long)self->reused,
                (unsigned long long)self->passages);
    build_set_state(self, BUILD_EMBEDDING);
}

void build_read(build_t *self)
{
    uint64_t until = rl_now_us() + BUILD_TURN_US;
    do {
        document_t doc;
        corpus_next_t next = corpus_next(self->corpus, &doc);
        if (next == CORPUS_END) {
            end_reading(self);
            return;
        }
        if (next == CORPUS_NOTHING)
            continue;
        if (next == CORPUS_BROKEN) {
            build_fail(self, corpus_why(self->corpus));
            return;
        }
        int rc = take_document(self, &doc);
        document_free(&doc);
        if (rc != 0) {
            build_fail(self, self->why);
            return;
        }
    } while (rl_now_us() < until);
    progress_at(self->meter, corpus_counts(self->corpus)->bytes);
    build_set_state(self, BUILD_READING);
}
