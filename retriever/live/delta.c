// delta: adds and removes the passages of changes.
#include "delta_private.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "mem.h"
#include "passages.h"

enum {
    FIRST_CHAINS = 8, // bits
};

// ---- making -------------------------------------------------------------------------------------

static void free_entry(delta_entry_t *self)
{
    for (uint32_t at = 0; self->words && at < self->terms_size; at++)
        free(self->words[at]);
    delta_free_values(self);
    free(self->words);
    free(self->terms);
    free(self->vector);
    free(self->memory);
    free(self);
}

delta_t *delta_new(const store_t *store, uint64_t shard, const delta_kinds_t *kinds)
{
    const manifest_t *manifest = store_manifest(store);
    delta_t *self = rl_new(*self);
    pthread_rwlockattr_t how;
    pthread_rwlockattr_init(&how);
    // searches follow each other without a gap: a change must not wait for one
    pthread_rwlockattr_setkind_np(&how, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&self->lock, &how);
    pthread_rwlockattr_destroy(&how);
    pthread_mutex_init(&self->alive_mutex, NULL);
    pthread_mutex_init(&self->memo_mutex, NULL);
    self->store = store;
    self->shard = shard;
    self->shards = manifest->shards;
    self->dimension = manifest->dimension;
    self->model_hash = change_log_model_hash(manifest->model);
    self->count = manifest->shard_passages[shard];
    self->kinds = *kinds;
    self->chains_bits = FIRST_CHAINS;
    self->dead = rl_alloc_array(self->count / 64 + 1, sizeof *self->dead);
    self->docs = rl_alloc_array((size_t)1 << self->chains_bits, sizeof *self->docs);
    self->sources = rl_alloc_array((size_t)1 << self->chains_bits, sizeof *self->sources);
    if (!kinds->words)
        return self;
    self->analyzers = rl_alloc_array(kinds->threads + 1, sizeof(analyzer_t *));
    for (size_t at = 0; at <= kinds->threads; at++)
        self->analyzers[at] = analyzer_new(manifest->language); // store_open knows the language
    return self;
}

void delta_destroy(delta_t **self_p)
{
    delta_t *self = *self_p;
    if (!self)
        return;
    for (uint32_t slot = 0; slot < self->size; slot++)
        free_entry(self->entries[slot]);
    for (size_t at = 0; at < self->blocks_size; at++) {
        flat_destroy(&self->blocks[at].flat);
        selection_unref(&self->blocks[at].alive);
        free(self->blocks[at].rows);
    }
    for (size_t at = 0; self->analyzers && at <= self->kinds.threads; at++)
        analyzer_destroy(&self->analyzers[at]);
    delta_free_words(self);
    delta_free_memos(self);
    selection_unref(&self->alive);
    free(self->analyzers);
    free(self->blocks);
    free(self->entries);
    free(self->docs);
    free(self->sources);
    free(self->dead);
    pthread_rwlock_destroy(&self->lock);
    pthread_mutex_destroy(&self->alive_mutex);
    pthread_mutex_destroy(&self->memo_mutex);
    free(self);
    *self_p = NULL;
}

// ---- preparing ----------------------------------------------------------------------------------

typedef struct prepared {
    change_kind_t kind;
    char *name;
    uint32_t *ids; // of the generation: positions that are deleted
    size_t ids_size, ids_room;
    delta_entry_t **entries; // passages of this shard
    size_t entries_size;
} prepared_t;

struct delta_batch {
    prepared_t *changes;
    size_t size;
};

static void delta_batch_destroy(delta_batch_t **self_p)
{
    delta_batch_t *self = *self_p;
    if (!self)
        return;
    for (size_t each = 0; each < self->size; each++) {
        prepared_t *change = &self->changes[each];
        for (size_t at = 0; at < change->entries_size; at++)
            if (change->entries[at]) // else it was applied
                free_entry(change->entries[at]);
        free(change->entries);
        free(change->ids);
        free(change->name);
    }
    free(self->changes);
    free(self);
    *self_p = NULL;
}

static bool take_id(void *arg, uint64_t id)
{
    prepared_t *change = arg;
    if (change->ids_size == change->ids_room) {
        change->ids_room = change->ids_room ? 2 * change->ids_room : 8;
        change->ids = rl_realloc(change->ids, change->ids_room, sizeof *change->ids);
    }
    change->ids[change->ids_size++] = (uint32_t)(id - 1);
    return true;
}

static delta_entry_t *make_entry(delta_t *self, const change_t *change, size_t number)
{
    const rl_passage_t *from = &change->passages[number];
    delta_entry_t *entry = rl_new(*entry);
    char *at = entry->memory = rl_alloc(passage_bytes(from));
    entry->passage = passage_copy(from, &at);
    entry->doc_hash = rl_hash64(from->doc, strlen(from->doc));
    entry->source_hash = rl_hash64(from->source, strlen(from->source));
    delta_take_values(entry);
    if (self->kinds.words)
        delta_take_words(self, entry);
    // A change that was made while the collection was built anew can have vectors of another model
    // than the generation's: such a passage is found by its words only.
    if (self->kinds.vectors && change->vectors && change->dimension == self->dimension &&
        change->model_hash == self->model_hash) {
        size_t bytes = self->dimension * sizeof *entry->vector;
        entry->vector = rl_alloc(bytes);
        memcpy(entry->vector, change->vectors + number * self->dimension, bytes);
    }
    return entry;
}

static void prepare_entries(delta_t *self, const change_t *change, prepared_t *out)
{
    // documents begin at different shards, so that these fill equally
    uint64_t shift = rl_hash64(change->name, strlen(change->name));
    out->entries = rl_alloc_array(change->passages_size + 1, sizeof(delta_entry_t *));
    for (size_t at = 0; at < change->passages_size; at++)
        if ((shift + at) % self->shards == self->shard)
            out->entries[out->entries_size++] = make_entry(self, change, at);
}

delta_batch_t *delta_prepare(delta_t *self, const change_t *changes, size_t size, char *why,
                             size_t why_size)
{
    delta_batch_t *batch = rl_new(*batch);
    batch->changes = rl_alloc_array(size + 1, sizeof *batch->changes);
    int rc = 0;
    for (size_t each = 0; rc == 0 && each < size; each++) {
        const change_t *change = &changes[each];
        prepared_t *out = &batch->changes[batch->size++];
        out->kind = change->kind;
        out->name = rl_strdup(change->name);
        const char *field = change->kind == CHANGE_DELETE_SOURCE ? "source" : "id";
        rc = store_find(self->store, self->shard, field, change->name, take_id, out, why, why_size);
        if (rc == 0 && change->kind == CHANGE_PUT)
            prepare_entries(self, change, out);
    }
    if (rc != 0)
        delta_batch_destroy(&batch);
    return batch;
}

// ---- applying, under the lock for writing -------------------------------------------------------

static size_t chain_of(const delta_t *self, uint64_t hash)
{
    return hash * UINT64_C(0x9E3779B97F4A7C15) >> (64 - self->chains_bits);
}

static void link_entry(delta_t *self, uint32_t slot)
{
    delta_entry_t *entry = self->entries[slot];
    uint32_t *doc = &self->docs[chain_of(self, entry->doc_hash)];
    uint32_t *source = &self->sources[chain_of(self, entry->source_hash)];
    entry->doc_next = *doc;
    entry->source_next = *source;
    *doc = *source = slot + 1;
}

static void grow_chains(delta_t *self)
{
    size_t room = (size_t)2 << self->chains_bits;
    free(self->docs);
    free(self->sources);
    self->docs = rl_alloc_array(room, sizeof *self->docs);
    self->sources = rl_alloc_array(room, sizeof *self->sources);
    self->chains_bits++;
    for (uint32_t slot = 0; slot < self->size; slot++)
        link_entry(self, slot);
}

// The place of a slot among the vectors.
static void place_vector(delta_t *self, uint32_t slot)
{
    delta_entry_t *entry = self->entries[slot];
    size_t block = slot / DELTA_BLOCK, row = slot % DELTA_BLOCK;
    if (block == self->blocks_size) {
        self->blocks = rl_realloc(self->blocks, block + 1, sizeof *self->blocks);
        self->blocks[block] = (delta_block_t){
            .rows = rl_alloc_array(DELTA_BLOCK * self->dimension, sizeof(float)),
            .alive = selection_new(DELTA_BLOCK),
        };
        self->blocks_size++;
    }
    delta_block_t *at = &self->blocks[block];
    if (entry->vector) {
        memcpy(at->rows + row * self->dimension, entry->vector, self->dimension * sizeof *at->rows);
        at->alive->bits[row / 64] |= UINT64_C(1) << row % 64;
        at->alive->size++;
        free(entry->vector);
        entry->vector = NULL;
    }
    if (row == DELTA_BLOCK - 1)
        at->flat = rl_must(flat_new(at->rows, DELTA_BLOCK, self->dimension));
}

static void add_entry(delta_t *self, delta_entry_t **entry_p)
{
    if (self->size == self->room) {
        self->room = self->room ? 2 * self->room : 256;
        self->entries = rl_realloc(self->entries, self->room, sizeof(delta_entry_t *));
    }
    if (self->size == (uint32_t)1 << self->chains_bits)
        grow_chains(self);
    uint32_t slot = self->size++;
    delta_entry_t *entry = self->entries[slot] = *entry_p;
    *entry_p = NULL;
    entry->passage.id = self->count + slot + 1;
    entry->live = true;
    self->live++;
    link_entry(self, slot);
    if (self->kinds.words)
        delta_add_words(self, slot);
    if (self->kinds.vectors && self->dimension > 0)
        place_vector(self, slot);
}

static void drop_entry(delta_t *self, uint32_t slot)
{
    delta_entry_t *entry = self->entries[slot];
    size_t block = slot / DELTA_BLOCK, row = slot % DELTA_BLOCK;
    if (!entry->live)
        return;
    entry->live = false;
    self->live--;
    delta_drop_words(self, entry);
    uint64_t bit = UINT64_C(1) << row % 64;
    if (block < self->blocks_size && self->blocks[block].alive->bits[row / 64] & bit) {
        self->blocks[block].alive->bits[row / 64] &= ~bit;
        self->blocks[block].alive->size--;
    }
}

// Drops the passages that earlier changes added under the change's id or source.
static void drop_named(delta_t *self, const prepared_t *change)
{
    bool source = change->kind == CHANGE_DELETE_SOURCE;
    uint64_t hash = rl_hash64(change->name, strlen(change->name));
    uint32_t next = (source ? self->sources : self->docs)[chain_of(self, hash)];
    while (next > 0) {
        const delta_entry_t *entry = self->entries[next - 1];
        const char *name = source ? entry->passage.source : entry->passage.doc;
        if (strcmp(name, change->name) == 0)
            drop_entry(self, next - 1);
        next = source ? entry->source_next : entry->doc_next;
    }
}

static void apply_one(delta_t *self, prepared_t *change)
{
    for (size_t at = 0; at < change->ids_size; at++) {
        uint32_t row = change->ids[at];
        uint64_t bit = UINT64_C(1) << row % 64;
        self->dead_size += !(self->dead[row / 64] & bit);
        self->dead[row / 64] |= bit;
    }
    drop_named(self, change);
    for (size_t at = 0; at < change->entries_size; at++)
        add_entry(self, &change->entries[at]);
}

void delta_apply(delta_t *self, delta_batch_t **batch_p, uint64_t number)
{
    pthread_rwlock_wrlock(&self->lock);
    for (size_t each = 0; each < (*batch_p)->size; each++)
        apply_one(self, &(*batch_p)->changes[each]);
    self->number = number;
    pthread_rwlock_unlock(&self->lock);
    delta_batch_destroy(batch_p);
}

// ---- reading ------------------------------------------------------------------------------------

void delta_lock(delta_t *self)
{
    pthread_rwlock_rdlock(&self->lock);
}

void delta_unlock(delta_t *self)
{
    pthread_rwlock_unlock(&self->lock);
}

uint64_t delta_number(const delta_t *self)
{
    return self->number;
}

size_t delta_dead(const delta_t *self)
{
    return self->dead_size;
}

size_t delta_added(const delta_t *self)
{
    return self->live;
}

bool delta_is_dead(const delta_t *self, uint64_t id)
{
    return id < 1 || id > self->count || (self->dead[(id - 1) / 64] >> (id - 1) % 64 & 1);
}

static selection_t *make_alive(const delta_t *self)
{
    selection_t *alive = selection_new(self->count);
    size_t words = selection_words(alive);
    for (size_t word = 0; word < words; word++)
        alive->bits[word] = ~self->dead[word];
    if (words > 0 && self->count % 64)
        alive->bits[words - 1] &= (UINT64_C(1) << self->count % 64) - 1;
    selection_finish(alive);
    return alive;
}

selection_t *delta_alive(delta_t *self)
{
    pthread_mutex_lock(&self->alive_mutex);
    if (self->alive && self->alive_dead != self->dead_size) // the dead stay so
        selection_unref(&self->alive);
    if (!self->alive) {
        self->alive = make_alive(self);
        self->alive_dead = self->dead_size;
    }
    selection_t *alive = selection_ref(self->alive);
    pthread_mutex_unlock(&self->alive_mutex);
    return alive;
}

const rl_passage_t *delta_passage(const delta_t *self, uint64_t id)
{
    if (id <= self->count || id - self->count > self->size)
        return NULL;
    const delta_entry_t *entry = self->entries[id - self->count - 1];
    return entry->live ? &entry->passage : NULL;
}

const float *delta_vector(const delta_t *self, uint64_t id)
{
    if (!delta_passage(self, id))
        return NULL;
    size_t slot = id - self->count - 1, block = slot / DELTA_BLOCK, row = slot % DELTA_BLOCK;
    if (block >= self->blocks_size || !selection_has(self->blocks[block].alive, row))
        return NULL;
    return self->blocks[block].rows + row * self->dimension;
}

void delta_ids(const delta_t *self, uint64_t *first, uint64_t *end)
{
    *first = self->count + 1;
    *end = self->count + self->size + 1;
}
