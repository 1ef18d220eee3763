// change_batch: makes items of documents and deletions, has them embedded, commits them.
#include "change_batch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document_cut.h"
#include "embedding.h"
#include "fail.h"
#include "files.h"
#include "log.h"
#include "mem.h"
#include "passages.h"
#include "vectors.h"

struct change_batch {
    change_target_t *target;
    change_item_t *items[CHANGE_BATCH_ITEMS];
    size_t size, passages, bytes;
    bulk_embed_t *bulk;
    size_t next_item, next_passage; // to be embedded
    uint64_t embedded;
    change_done_fn *done;
    void *arg;
    char why[512];
};

static void free_item(change_item_t *self)
{
    for (size_t at = 0; at < self->passages_size; at++)
        free((char *)self->passages[at].doc); // of all its strings
    free(self->name);
    free(self->passages);
    free(self->vectors);
    free(self->keys);
    free(self->why);
    free(self->refusal);
    free(self);
}

change_batch_t *change_batch_new(change_target_t *target)
{
    change_batch_t *self = rl_new(*self);
    self->target = target;
    return self;
}

void change_batch_clear(change_batch_t *self)
{
    for (size_t at = 0; at < self->size; at++)
        free_item(self->items[at]);
    self->size = self->passages = self->bytes = 0;
    self->embedded = 0;
}

void change_batch_destroy(change_batch_t **self_p)
{
    if (!*self_p)
        return;
    bulk_embed_destroy(&(*self_p)->bulk);
    change_batch_clear(*self_p);
    free(*self_p);
    *self_p = NULL;
}

bool change_batch_full(const change_batch_t *self)
{
    return self->size == CHANGE_BATCH_ITEMS || self->passages >= CHANGE_BATCH_PASSAGES ||
           self->bytes >= CHANGE_BATCH_BYTES;
}

size_t change_batch_size(const change_batch_t *self)
{
    return self->size;
}

const change_item_t *change_batch_at(const change_batch_t *self, size_t at)
{
    return self->items[at];
}

uint64_t change_batch_embedded(const change_batch_t *self)
{
    return self->embedded;
}

// ---- items --------------------------------------------------------------------------------------

static void fail_item(change_item_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// The first thing that is wrong with it counts.
static void fail_item(change_item_t *self, const char *format, ...)
{
    va_list args;
    if (self->why)
        return;
    va_start(args, format);
    if (vasprintf(&self->why, format, args) < 0)
        rl_out_of_memory();
    va_end(args);
}

static change_item_t *add_item(change_batch_t *self, change_kind_t kind, const char *name,
                               uint64_t tag)
{
    change_item_t *item = rl_new(*item);
    item->name = rl_strdup(name);
    item->kind = kind;
    item->tag = tag;
    size_t size = strlen(name);
    if (size < 1 || size > CHANGE_LOG_MAX_ID)
        fail_item(item, "an id (or source) has 1 to %d bytes to be changed, not %zu",
                  CHANGE_LOG_MAX_ID, size);
    self->items[self->size++] = item;
    return item;
}

void change_batch_delete(change_batch_t *self, change_kind_t kind, const char *name, uint64_t tag)
{
    add_item(self, kind, name, tag);
}

void change_batch_wrong(change_batch_t *self, const char *why, uint64_t tag)
{
    fail_item(add_item(self, CHANGE_PUT, "-", tag), "%s", why);
}

void change_batch_drop_last(change_batch_t *self)
{
    change_item_t *item = self->items[--self->size];
    self->passages -= item->passages_size;
    self->bytes -= item->bytes;
    free_item(item);
}

rl_hash128_t change_fingerprint(const rl_passage_t *passage)
{
    const char *const parts[] = {passage->title, passage->heading, passage->source, passage->text,
                                 passage->meta};
    uint64_t place[] = {passage->start, passage->end};
    rl_hash128_t hashes[sizeof parts / sizeof *parts + 1];
    size_t size = 0;
    hashes[size++] = rl_hash128(place, sizeof place);
    for (size_t at = 0; at < sizeof parts / sizeof *parts; at++)
        hashes[size++] = rl_hash128(parts[at], strlen(parts[at]));
    return rl_hash128(hashes, sizeof hashes);
}

// What the callback of document_cut needs.
typedef struct item_cutter {
    change_item_t *item;
    size_t room; // for passages
} item_cutter_t;

static int take_passage(void *arg, const rl_passage_t *passage)
{
    item_cutter_t *cutter = arg;
    change_item_t *item = cutter->item;
    if (item->passages_size == CHANGE_LOG_MAX_PASSAGES)
        return -1;
    if (item->passages_size == cutter->room) {
        cutter->room = cutter->room ? 2 * cutter->room : 1;
        item->passages = rl_realloc(item->passages, cutter->room, sizeof *item->passages);
    }
    size_t bytes = passage_bytes(passage);
    char *at = rl_alloc(bytes);
    item->passages[item->passages_size++] = passage_copy(passage, &at);
    item->bytes += bytes;
    return 0;
}

// Keys of what has to be embedded. Returns 0, or -1 where a passage is too long to be.
static int make_keys(change_batch_t *self, change_item_t *item)
{
    const change_target_t *target = self->target;
    rl_buf_t text = rl_buf_make(BULK_MAX_TEXT);
    item->keys = rl_alloc_array(item->passages_size, sizeof *item->keys);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < item->passages_size; at++) {
        rc = document_embedded(&target->rules, &item->passages[at], &text);
        if (rc == 0)
            item->keys[at] = vector_key(target->manifest->contents.model, text.data, text.size);
    }
    rl_buf_free(&text);
    return rc;
}

// Vectors: those that came with the document, or room for the embedding server's.
static int take_vectors(change_batch_t *self, change_item_t *item, const document_t *doc)
{
    const manifest_t *manifest = &self->target->manifest->contents;
    item->dimension = manifest->dimension;
    if (manifest->dimension == 0)
        return 0;
    // the document decides how much that is
    item->vectors = calloc(item->passages_size * manifest->dimension, sizeof *item->vectors);
    if (!item->vectors)
        return -1;
    item->bytes += item->passages_size * manifest->dimension * sizeof *item->vectors;
    if (doc->vector && doc->vector_size != manifest->dimension)
        fail_item(item, "its \"vector\" has %zu numbers, the collection's have %llu",
                  doc->vector_size, (unsigned long long)manifest->dimension);
    else if (doc->vector &&
             rl_embedding_normalise(doc->vector, manifest->dimension, item->vectors) != 0)
        fail_item(item, "its \"vector\" is all zeros or has a number that is not finite");
    else if (!doc->vector && !*self->target->url)
        fail_item(item, "it has no \"vector\", and no embed.url is set that would make one");
    else if (!doc->vector)
        return make_keys(self, item);
    return 0;
}

const change_item_t *change_batch_put(change_batch_t *self, const document_t *doc, uint64_t tag)
{
    bool whole = doc->vector && self->target->manifest->contents.dimension > 0;
    change_item_t *item = add_item(self, CHANGE_PUT, doc->id ? doc->id : "", tag);
    item_cutter_t cutter = {.item = item};
    if (doc->blocks_size == 0)
        fail_item(item, "it has no text");
    if (item->why)
        return item;
    if (document_cut(doc, whole ? NULL : &self->target->rules, take_passage, &cutter) != 0 ||
        take_vectors(self, item, doc) != 0)
        fail_item(item, "too many passages, or out of memory");
    self->passages += item->passages_size;
    self->bytes += item->bytes;
    return item;
}

// ---- committing ---------------------------------------------------------------------------------

static void commit_items(change_batch_t *self, const char *why)
{
    change_log_writer_t *writer = self->target->writer;
    uint64_t model_hash = change_log_model_hash(self->target->manifest->contents.model), first = 0;
    size_t added = 0;
    char wrong[512];
    for (size_t at = 0; !why && at < self->size; at++) {
        change_item_t *item = self->items[at];
        change_t change = {.kind = item->kind,
                           .name = item->name,
                           .passages = item->passages,
                           .passages_size = item->passages_size,
                           .vectors = item->vectors,
                           .dimension = item->dimension,
                           .model_hash = model_hash};
        if (item->why)
            continue;
        if (change_log_add(writer, &change, wrong, sizeof wrong) != 0)
            fail_item(item, "%s", wrong);
        else
            item->number = ++added; // among those of this frame, for now
    }
    if (!why && added > 0 && change_log_commit(writer, &first, self->why, sizeof self->why) != 0)
        why = self->why;
    for (size_t at = 0; at < self->size; at++)
        if (self->items[at]->number > 0)
            self->items[at]->number += first - 1;
    self->done(self->arg, why);
}

// ---- embedding ----------------------------------------------------------------------------------

static int next_text(void *arg, vector_key_t *key, rl_buf_t *text)
{
    change_batch_t *self = arg;
    for (; self->next_item < self->size; self->next_item++, self->next_passage = 0) {
        const change_item_t *item = self->items[self->next_item];
        if (item->why || !item->keys || self->next_passage == item->passages_size)
            continue;
        const rl_passage_t *passage = &item->passages[self->next_passage];
        *key = item->keys[self->next_passage++];
        if (document_embedded(&self->target->rules, passage, text) == 0)
            return 1;
        return rl_fail(self->why, sizeof self->why, "%s: a passage is too long to be embedded",
                       passage->doc);
    }
    return 0;
}

static int take_vector(void *arg, const vector_key_t *key, const float *vector, size_t dimension)
{
    change_batch_t *self = arg;
    if (dimension != self->target->manifest->contents.dimension)
        return rl_fail(self->why, sizeof self->why,
                       "the embedding server's vectors have %zu numbers, the collection's %llu: "
                       "another model under the same name?",
                       dimension, (unsigned long long)self->target->manifest->contents.dimension);
    for (size_t each = 0; each < self->size; each++) {
        change_item_t *item = self->items[each];
        for (size_t at = 0; item->keys && at < item->passages_size; at++)
            if (memcmp(&item->keys[at], key, sizeof *key) == 0)
                memcpy(item->vectors + at * dimension, vector, dimension * sizeof *vector);
    }
    self->embedded++;
    return 0;
}

// Its vector stays zeros, which no question finds.
static void on_refused(void *arg, const vector_key_t *key, const char *why)
{
    change_batch_t *self = arg;
    for (size_t each = 0; each < self->size; each++) {
        change_item_t *item = self->items[each];
        for (size_t at = 0; item->keys && at < item->passages_size; at++)
            if (memcmp(&item->keys[at], key, sizeof *key) == 0 && !item->refusal)
                item->refusal =
                    rl_format("a passage is found by its words only: the embedding server %s", why);
    }
}

static void on_note(void *arg, const char *what)
{
    (void)arg;
    rl_warn("%s", what);
}

static void on_embedded(void *arg, const char *why)
{
    change_batch_t *self = arg;
    commit_items(self, why && self->why[0] ? self->why : why); // its own words say more
}

static bool wants_embedding(const change_batch_t *self)
{
    for (size_t at = 0; at < self->size; at++)
        if (self->items[at]->keys && !self->items[at]->why)
            return true;
    return false;
}

void change_batch_run(change_batch_t *self, struct event_base *base, change_done_fn *done,
                      void *arg)
{
    self->done = done;
    self->arg = arg;
    self->why[0] = '\0';
    self->next_item = self->next_passage = 0;
    bulk_embed_destroy(&self->bulk);
    if (!wants_embedding(self)) {
        commit_items(self, NULL);
        return;
    }
    bulk_settings_t settings;
    bulk_embed_configure(&settings, self->target->conf);
    settings.model = self->target->manifest->contents.model;
    bulk_calls_t calls = {.next = next_text,
                          .vector = take_vector,
                          .refused = on_refused,
                          .note = on_note,
                          .done = on_embedded,
                          .arg = self};
    self->bulk = bulk_embed_new(base, &settings, &calls);
}
