// build_read: files → documents → passages, into the spool.

#include "build_stages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "document_cut.h"
#include "fail.h"
#include "log.h"

void build_list(build_t *self)
{
    self->listing = listing_new(self->report);
    listing_configure(self->listing, self->plan->conf);
    self->roots = roots_new();
    for (size_t i = 0; i < rl_conf_args(self->plan->conf); i++) {
        roots_add(self->roots, rl_conf_arg(self->plan->conf, i));
        listing_add(self->listing, rl_conf_arg(self->plan->conf, i));
    }
    listing_close(self->listing);
    self->corpus = corpus_new(self->listing, self->roots, self->report);
    corpus_configure(self->corpus, self->plan->conf);
    progress_begin(self->progress, "reading", "bytes", listing_bytes(self->listing));
    build_set_state(self, BUILD_READING);
}

// Whether passages wait for something before they are written: their vectors, or what a distributed
// engine is to be told of all of them.
static bool is_spooled(const build_t *self)
{
    return self->mode == BUILD_EMBEDDED || self->plan->engine;
}

static void choose_mode(build_t *self, const document_t *first)
{
    const plan_t *plan = self->plan;
    if (rl_conf_has_flag(plan->conf, "lexical-only"))
        self->mode = BUILD_LEXICAL;
    else if (first->vector)
        self->mode = BUILD_SUPPLIED;
    else
        self->mode = plan->lexical_only ? BUILD_LEXICAL : BUILD_EMBEDDED;
    if (self->mode == BUILD_LEXICAL) {
        progress_clear(self->progress);
        rl_info("%s: the collection is searched by words only",
                rl_conf_has_flag(plan->conf, "lexical-only") ? "--lexical-only"
                                                             : "no embed.url is set");
    }
}

// The first document decides what kind of collection it is; then the folder is locked and opened.
static int begin_generation(build_t *self, const document_t *first)
{
    const plan_t *plan = self->plan;
    choose_mode(self, first);
    bool lexical = self->mode == BUILD_LEXICAL;
    char *json = plan_json(plan, self->roots);
    generation_settings_t settings = {.collection = plan->collection,
                                      .model = lexical ? "" : plan->embedding.model,
                                      .language = plan->language,
                                      .factory = lexical ? "" : plan->factory,
                                      .shards = plan->shards,
                                      .threads = plan->threads,
                                      .build = json};
    self->writer = generation_writer_new(plan->out, &settings, self->why, BUILD_WHY);
    free(json);
    if (!self->writer)
        return -1;
    snprintf(self->generation, sizeof self->generation, "%s", generation_writer_name(self->writer));
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

// Notes in the cache that the passage's vector is needed.
static int want_vector(build_t *self, spooled_t *item)
{
    if (document_embedded(&self->plan->rules, &item->passage, &self->text) != 0)
        return rl_fail(self->why, BUILD_WHY, "%s: a passage is too long to be embedded",
                       item->passage.doc);
    item->key = vector_key(self->plan->embedding.model, self->text.data, self->text.size);
    vector_state_t before = vector_cache_want(self->cache, &item->key);
    self->to_embed += before == VECTOR_NONE;
    self->reused += before == VECTOR_THERE;
    return 0;
}

// A passage that was cut: into the spool, or into the generation if nothing is missing.
static int take_passage(void *arg, const rl_passage_t *passage)
{
    build_t *self = arg;
    // in turn: shards are equally large, and words about equally frequent in each, so that BM25
    // weights of different shards can be compared
    spooled_t item = {.shard = self->passages % self->plan->shards,
                      .vector = self->doc->vector,
                      .vector_size = self->doc->vector_size,
                      .passage = *passage};
    int rc = self->mode == BUILD_EMBEDDED ? want_vector(self, &item) : 0;
    if (rc == 0 && is_spooled(self))
        rc = spool_add(self->spool, &item, self->why, BUILD_WHY);
    else if (rc == 0)
        rc = build_write_passage(self, &item);
    self->passages += rc == 0;
    return rc;
}

// Whether the document has a vector if the others have, of the same size.
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
    corpus_problem(self->corpus, REPORT_VECTOR, what);
    return false;
}

// Returns 0, or -1 with self->why.
static int take_document(build_t *self, document_t *doc)
{
    if (self->mode == BUILD_UNKNOWN && begin_generation(self, doc) != 0)
        return -1;
    if (!vector_fits(self, doc))
        return 0;
    self->doc = doc;
    uint64_t before = self->passages;
    int rc = document_cut(doc, self->mode == BUILD_SUPPLIED ? NULL : &self->plan->rules,
                          take_passage, self);
    if (rc != 0 && !self->why[0])
        rl_fail(self->why, BUILD_WHY, "out of memory");
    self->documents += self->passages > before;
    return rc;
}

static void end_reading(build_t *self)
{
    const corpus_counts_t *counts = corpus_counts(self->corpus);
    progress_at(self->progress, listing_bytes(self->listing));
    progress_end(self->progress);
    if (self->passages == 0) {
        rl_fail(self->why, BUILD_WHY,
                "nothing to index: %" PRIu64 " files read, %" PRIu64 " without text, %" PRIu64
                " could not be used",
                counts->files, report_count(self->report, REPORT_EMPTY),
                report_faults(self->report));
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
        progress_begin(self->progress, "writing", "passages", self->passages);
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
    progress_at(self->progress, corpus_counts(self->corpus)->bytes);
    build_set_state(self, BUILD_READING);
}
