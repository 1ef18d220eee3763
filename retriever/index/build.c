// build: the stages, each a function that the loop calls again and again for a short turn.

#include "build.h"

#include "bulk_embed.h"
#include "clock.h"
#include "corpus.h"
#include "log.h"
#include "meter.h"
#include "spool.h"
#include "store.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TURN_US = 20 * 1000,
    NOTE_US = 200 * 1000,
    WHY = 1024
};

static const char cache_name[] = "embeddings.cache";

typedef enum state {
    LISTING,
    READING,
    EMBEDDING,
    WRITING,
    FINISHING,
    ENDED,
} state_t;

typedef enum mode {
    UNKNOWN, // till the first document
    LEXICAL,
    EMBEDDED, // by the embedding server
    SUPPLIED, // vectors come with the documents
} rl_mode_t;

struct rl_build {
    rl_proc_t *proc;
    const rl_plan_t *plan;
    state_t state;
    rl_mode_t mode;
    struct event *turn;
    rl_listing_t *listing;
    rl_corpus_t *corpus;
    rl_spool_t *spool;
    rl_vector_cache_t *cache;
    rl_bulk_embed_t *bulk;
    rl_store_build_t *store;
    rl_meter_t *meter;
    rl_buf_t embedded; // text of one passage as it is embedded
    uint64_t began;
    uint64_t listing_problems;
    uint64_t documents, passages;
    uint64_t to_embed, reused, embedded_now, written, cut;
    uint64_t noted; // time of the last note
    size_t dimension;
    char generation[RL_STORE_NAME];
    char why[WHY];
    const rl_document_t *doc; // at work, for the chunker's callback
    const char *stage;        // of FINISHING, as the store names it
};

static void set_state(rl_build_t *self, state_t state)
{
    self->state = state;
    if (state != ENDED && state != EMBEDDING)
        event_active(self->turn, EV_TIMEOUT, 1);
}

// ---- ends ---------------------------------------------------------------------------------------

static void end(rl_build_t *self, int status)
{
    if (self->state == ENDED)
        return;
    set_state(self, ENDED);
    rl_meter_clear(self->meter);
    rl_proc_end(self->proc, status);
}

// No index this time: why, and what becomes of what was done.
static void fail(rl_build_t *self, const char *why)
{
    if (self->state == ENDED)
        return;
    rl_meter_clear(self->meter);
    rl_error("%s", why); // first: the words may belong to what is given up next
    rl_bulk_embed_destroy(&self->bulk);
    rl_store_abandon(&self->store);
    char name[RL_STORE_NAME], ignored[256];
    bool old = rl_store_current(self->plan->out, name, ignored, sizeof ignored) == 0;
    rl_error("no index was built%s%s%s%s", old ? "; " : "", old ? name : "",
             old ? " stays in force" : "",
             self->embedded_now > 0 ? "; what was embedded is kept for the next run" : "");
    end(self, RL_BUILD_FAILED);
}

static void on_stop(void *arg)
{
    rl_build_t *self = arg;
    if (self->state == ENDED)
        return;
    rl_bulk_embed_destroy(&self->bulk);
    if (self->cache)
        rl_vector_cache_sync(self->cache);
    rl_store_abandon(&self->store);
    rl_meter_clear(self->meter);
    rl_warn("interrupted: the index is as it was before; %s",
            self->embedded_now > 0 ? "the next run goes on from what was embedded"
                                   : "nothing is lost, the next run begins again");
    end(self, RL_BUILD_INTERRUPTED);
}

// ---- reading ------------------------------------------------------------------------------------

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

static void list_files(rl_build_t *self)
{
    self->listing = rl_listing_new(on_listing_problem, self);
    for (size_t i = 0; self->listing && i < rl_conf_args(self->plan->conf); i++)
        if (rl_listing_add(self->listing, rl_conf_arg(self->plan->conf, i)) != 0)
            rl_listing_destroy(&self->listing);
    if (!self->listing) {
        fail(self, "out of memory");
        return;
    }
    rl_listing_close(self->listing);
    self->corpus = rl_corpus_new(self->listing, on_corpus_problem, self);
    if (!self->corpus) {
        fail(self, "out of memory");
        return;
    }
    rl_meter_begin(self->meter, "reading", "bytes", rl_listing_bytes(self->listing));
    set_state(self, READING);
}

// The first document decides what kind of collection it is; then the folder is locked and opened.
static int begin_store(rl_build_t *self, const rl_document_t *first)
{
    const rl_plan_t *plan = self->plan;
    if (rl_conf_wants(plan->conf, "lexical-only"))
        self->mode = LEXICAL;
    else if (first->vector)
        self->mode = SUPPLIED;
    else
        self->mode = plan->lexical_only ? LEXICAL : EMBEDDED;
    if (self->mode == LEXICAL) {
        rl_meter_clear(self->meter);
        rl_info("%s: the collection is searched by words only",
                rl_conf_wants(plan->conf, "lexical-only") ? "--lexical-only"
                                                          : "no embed.url is set");
    }
    char *json = rl_plan_json(plan);
    if (!json) {
        snprintf(self->why, WHY, "out of memory");
        return -1;
    }
    rl_store_settings_t settings = {.collection = plan->collection,
                                    .model = self->mode == LEXICAL ? "" : plan->model,
                                    .language = plan->language,
                                    .factory = self->mode == LEXICAL ? "" : plan->factory,
                                    .shards = plan->shards,
                                    .build = json};
    self->store = rl_store_build_new(plan->out, &settings, self->why, WHY);
    free(json);
    if (!self->store)
        return -1;
    snprintf(self->generation, sizeof self->generation, "%s", rl_store_build_name(self->store));
    self->spool = rl_spool_new(plan->out, self->why, WHY);
    if (self->mode == EMBEDDED && self->spool) {
        char path[4200];
        snprintf(path, sizeof path, "%s/%s", plan->out, cache_name);
        self->cache = rl_vector_cache_new(path, self->why, WHY);
    }
    return self->spool && (self->cache || self->mode != EMBEDDED) ? 0 : -1;
}

// A passage that the chunker cut: into the spool.
static int take_chunk(void *arg, const rl_chunk_t *chunk)
{
    rl_build_t *self = arg;
    const rl_document_t *doc = self->doc;
    const char *from = doc->text.data + chunk->start;
    size_t size = chunk->end - chunk->start;
    char *text = strndup(from, size);
    if (!text) {
        snprintf(self->why, WHY, "out of memory");
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
    if (self->mode == EMBEDDED) {
        rc = rl_chunk_embedded(&self->plan->rules, doc->title, chunk->heading, from, size,
                               &self->embedded);
        if (rc != 0) {
            snprintf(self->why, WHY, "out of memory");
        } else {
            item.key = rl_vector_key(self->plan->model, self->embedded.data, self->embedded.size);
            rl_vector_state_t before = rl_vector_cache_want(self->cache, &item.key);
            self->to_embed += before == RL_VECTOR_NONE;
            self->reused += before == RL_VECTOR_THERE;
        }
    }
    if (rc == 0)
        rc = rl_spool_add(self->spool, &item, self->why, WHY);
    self->passages += rc == 0;
    free(text);
    return rc;
}

// Whether the document's vector goes with the others'.
static bool vector_fits(rl_build_t *self, const rl_document_t *doc)
{
    char what[160];
    if (self->mode != SUPPLIED || !doc->vector) {
        if ((self->mode == SUPPLIED) == (doc->vector != NULL) || self->mode == LEXICAL)
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
    if (self->mode == UNKNOWN && begin_store(self, doc) != 0)
        return -1;
    if (!vector_fits(self, doc))
        return 0;
    self->doc = doc;
    uint64_t before = self->passages;
    int rc;
    if (self->mode == SUPPLIED) {
        // whoever embedded it has cut it: it stays whole
        rl_chunk_t whole = {.start = doc->blocks[0].start,
                            .end = doc->blocks[doc->blocks_size - 1].end,
                            .heading = ""};
        rc = take_chunk(self, &whole);
    } else {
        rc = rl_chunk(doc, &self->plan->rules, take_chunk, self);
        if (rc != 0 && !self->why[0])
            snprintf(self->why, WHY, "out of memory");
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
        snprintf(self->why, WHY,
                 "nothing to index: %llu files read, %llu left out, %llu documents without text, "
                 "%llu problems",
                 (unsigned long long)counts->files, (unsigned long long)counts->left_out,
                 (unsigned long long)counts->empty,
                 (unsigned long long)(counts->problems + self->listing_problems));
        fail(self, self->why);
        return;
    }
    if (rl_spool_rewind(self->spool, self->why, WHY) != 0) {
        fail(self, self->why);
        return;
    }
    if (self->to_embed == 0) {
        rl_meter_begin(self->meter, "writing", "passages", self->passages);
        set_state(self, WRITING);
        return;
    }
    if (self->reused > 0)
        rl_info("%llu of %llu passages have been embedded before", (unsigned long long)self->reused,
                (unsigned long long)self->passages);
    set_state(self, EMBEDDING);
}

static void read_some(rl_build_t *self)
{
    uint64_t until = rl_now_us() + TURN_US;
    do {
        rl_document_t doc;
        rl_corpus_next_t next = rl_corpus_next(self->corpus, &doc);
        if (next == RL_CORPUS_END) {
            end_reading(self);
            return;
        }
        if (next == RL_CORPUS_NOTHING)
            continue;
        int rc = take_document(self, &doc);
        rl_document_free(&doc);
        if (rc != 0) {
            fail(self, self->why);
            return;
        }
    } while (rl_now_us() < until);
    rl_meter_at(self->meter, rl_corpus_counts(self->corpus)->bytes);
    set_state(self, READING);
}

// ---- embedding ----------------------------------------------------------------------------------

static int next_to_embed(void *arg, rl_vector_key_t *key, rl_buf_t *text)
{
    rl_build_t *self = arg;
    rl_spooled_t item;
    int rc;
    while ((rc = rl_spool_next(self->spool, &item, self->why, WHY)) > 0) {
        if (!rl_vector_cache_take(self->cache, &item.key))
            continue; // there, or the same text as one before it
        *key = item.key;
        const rl_passage_t *passage = &item.passage;
        if (rl_chunk_embedded(&self->plan->rules, passage->title, passage->heading, passage->text,
                              strlen(passage->text), text) == 0)
            return 1;
        snprintf(self->why, WHY, "out of memory");
        return -1;
    }
    return rc;
}

static int on_vector(void *arg, const rl_vector_key_t *key, const float *vector, size_t dimension)
{
    rl_build_t *self = arg;
    size_t others = rl_vector_cache_dimension(self->cache);
    if (others && others != dimension) {
        snprintf(self->why, WHY,
                 "the embedding server's vectors have %zu numbers, those embedded before with "
                 "\"%s\" have %zu: another model under the same name? Then remove %s/%s",
                 dimension, self->plan->model, others, self->plan->out, cache_name);
        return -1;
    }
    if (rl_vector_cache_put(self->cache, key, vector, dimension, self->why, WHY) != 0)
        return -1;
    rl_meter_at(self->meter, ++self->embedded_now);
    return 0;
}

static void on_note(void *arg, const char *what)
{
    rl_build_t *self = arg;
    if (rl_now_us() - self->noted < NOTE_US)
        return; // every request under way would say the same
    self->noted = rl_now_us();
    rl_meter_clear(self->meter);
    rl_warn("%s", what);
}

static void on_embedded(void *arg, const char *why)
{
    rl_build_t *self = arg;
    self->cut = rl_bulk_embed_cut(self->bulk);
    rl_vector_cache_sync(self->cache);
    if (why) {
        fail(self, self->why[0] ? self->why : why); // its words live as long as the transfer
        return;
    }
    rl_bulk_embed_destroy(&self->bulk);
    rl_meter_end(self->meter);
    if (self->cut > 0)
        rl_warn("%llu passages have more tokens than the model reads, of these only the beginning "
                "is embedded: set embed.max_tokens to what it reads",
                (unsigned long long)self->cut);
    if (rl_spool_rewind(self->spool, self->why, WHY) != 0) {
        fail(self, self->why);
        return;
    }
    rl_meter_begin(self->meter, "writing", "passages", self->passages);
    set_state(self, WRITING);
}

static void begin_embedding(rl_build_t *self)
{
    const rl_plan_t *plan = self->plan;
    rl_bulk_settings_t settings = {.url = plan->url,
                                   .model = plan->model,
                                   .key = plan->key,
                                   .batch = plan->batch,
                                   .requests = plan->requests,
                                   .retries = plan->retries,
                                   .timeout_ms = plan->timeout_ms};
    rl_bulk_calls_t calls = {.next = next_to_embed,
                             .vector = on_vector,
                             .note = on_note,
                             .done = on_embedded,
                             .arg = self};
    rl_meter_begin(self->meter, "embedding", "passages", self->to_embed);
    self->bulk = rl_bulk_embed_new(rl_proc_base(self->proc), &settings, &calls);
    if (!self->bulk)
        fail(self, "out of memory");
}

// ---- writing ------------------------------------------------------------------------------------

static int write_one(rl_build_t *self, const rl_spooled_t *item)
{
    const float *vector = item->vector;
    size_t dimension = item->vector_size;
    if (self->mode == EMBEDDED)
        vector = rl_vector_cache_get(self->cache, &item->key, &dimension, self->why, WHY);
    if (self->mode == EMBEDDED && !vector)
        return -1;
    if (self->mode == LEXICAL) {
        vector = NULL;
        dimension = 0;
    }
    self->dimension = dimension;
    return rl_store_add(self->store, item->shard, &item->passage, vector, dimension, self->why,
                        WHY) == 0
               ? -1
               : 0;
}

static void write_some(rl_build_t *self)
{
    uint64_t until = rl_now_us() + TURN_US;
    do {
        rl_spooled_t item;
        int rc = rl_spool_next(self->spool, &item, self->why, WHY);
        if (rc > 0)
            rc = write_one(self, &item) == 0 ? 1 : -1;
        if (rc < 0) {
            fail(self, self->why);
            return;
        }
        if (rc == 0) {
            rl_meter_at(self->meter, self->written);
            rl_meter_end(self->meter);
            set_state(self, FINISHING);
            return;
        }
        self->written++;
    } while (rl_now_us() < until);
    rl_meter_at(self->meter, self->written);
    set_state(self, WRITING);
}

// ---- finishing ----------------------------------------------------------------------------------

// The store finishes in one go, without the loop: a signal then simply ends the process, which is
// as safe as at any other moment.
static void on_signal_while_finishing(int number)
{
    static const char words[] = "\ninterrupted: the index is as it was before; the next run goes "
                                "on from what was embedded\n";
    (void)number;
    if (write(STDERR_FILENO, words, sizeof words - 1) < 0)
        _exit(RL_BUILD_FAILED);
    _exit(RL_BUILD_INTERRUPTED);
}

static void on_finishing(void *arg, const char *stage, uint64_t shard, uint64_t done,
                         uint64_t total)
{
    rl_build_t *self = arg;
    (void)shard;
    if (self->stage != stage) {
        self->stage = stage;
        rl_meter_drop(self->meter);
        rl_meter_begin(self->meter, stage, strcmp(stage, "checksums") == 0 ? "bytes" : "passages",
                       total);
    }
    rl_meter_total(self->meter, total);
    rl_meter_at(self->meter, done);
}

static void summarise(rl_build_t *self)
{
    const rl_corpus_counts_t *counts = rl_corpus_counts(self->corpus);
    uint64_t problems = counts->problems + self->listing_problems;
    char took[40];
    rl_meter_duration((double)(rl_now_us() - self->began) / 1e6, took, sizeof took);
    printf("%s/%s: %llu documents, %llu passages in %zu shard%s", self->plan->out, self->generation,
           (unsigned long long)self->documents, (unsigned long long)self->passages,
           self->plan->shards, self->plan->shards == 1 ? "" : "s");
    if (self->mode == LEXICAL)
        printf(", lexical only");
    else
        printf(", %zu dimensions (%s)", self->dimension, self->plan->model);
    printf("\n");
    if (self->mode == EMBEDDED)
        printf("embeddings: %llu made, %llu reused, %llu of too long a text (cut)\n",
               (unsigned long long)self->embedded_now, (unsigned long long)self->reused,
               (unsigned long long)self->cut);
    printf("files: %llu read, %llu left out (no text); documents: %llu without text, %llu with "
           "bytes that are no UTF-8 (repaired); problems: %llu\n",
           (unsigned long long)counts->files, (unsigned long long)counts->left_out,
           (unsigned long long)counts->empty, (unsigned long long)counts->repaired,
           (unsigned long long)problems);
    printf("done in %s\n", took);
    fflush(stdout);
}

static void finish(rl_build_t *self)
{
    if (self->cache && rl_vector_cache_prune(self->cache, self->why, WHY) != 0)
        rl_warn("%s (the cache keeps what is no longer needed)", self->why);
    rl_vector_cache_destroy(&self->cache);
    rl_spool_destroy(&self->spool);
    struct sigaction action = {.sa_handler = on_signal_while_finishing}, old[2];
    sigaction(SIGINT, &action, &old[0]);
    sigaction(SIGTERM, &action, &old[1]);
    int rc = rl_store_finish(&self->store, self->documents, on_finishing, self, self->why, WHY);
    sigaction(SIGINT, &old[0], NULL);
    sigaction(SIGTERM, &old[1], NULL);
    if (rc != 0) {
        fail(self, self->why);
        return;
    }
    rl_meter_drop(self->meter);
    summarise(self);
    bool parts = rl_corpus_counts(self->corpus)->problems + self->listing_problems > 0;
    end(self, parts ? RL_BUILD_PARTS : RL_BUILD_WHOLE);
}

// ---- the build ----------------------------------------------------------------------------------

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    rl_build_t *self = arg;
    (void)fd, (void)what;
    switch (self->state) {
    case LISTING:
        list_files(self);
        break;
    case READING:
        read_some(self);
        if (self->state == EMBEDDING)
            begin_embedding(self);
        break;
    case WRITING:
        write_some(self);
        break;
    case FINISHING:
        finish(self);
        break;
    case EMBEDDING: // goes by the replies of the server
    case ENDED:
        break;
    }
}

rl_build_t *rl_build_new(rl_proc_t *proc, const rl_plan_t *plan)
{
    rl_build_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->proc = proc;
    self->plan = plan;
    self->began = rl_now_us();
    self->embedded = rl_buf_make(RL_BULK_MAX_TEXT);
    self->meter = rl_meter_new();
    self->turn = event_new(rl_proc_base(proc), -1, 0, on_turn, self);
    if (!self->meter || !self->turn) {
        rl_build_destroy(&self);
        return NULL;
    }
    rl_proc_on_stop(proc, on_stop, self);
    set_state(self, LISTING);
    return self;
}

void rl_build_destroy(rl_build_t **self_p)
{
    rl_build_t *self = *self_p;
    if (!self)
        return;
    rl_bulk_embed_destroy(&self->bulk);
    rl_store_abandon(&self->store);
    rl_vector_cache_destroy(&self->cache);
    rl_spool_destroy(&self->spool);
    rl_corpus_destroy(&self->corpus);
    rl_listing_destroy(&self->listing);
    rl_meter_destroy(&self->meter);
    rl_buf_free(&self->embedded);
    if (self->turn)
        event_free(self->turn);
    free(self);
    *self_p = NULL;
}
