// delta_private: a delta as its parts share it: entries (delta.c), words (delta_words.c), filters
// (delta_filter.c), searches (delta_search.c).
#ifndef DELTA_PRIVATE_H
#define DELTA_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "analyzer.h"
#include "delta.h"
#include "filter.h"
#include "flat.h"

enum {
    DELTA_BLOCK = 1024, // passages
    DELTA_FILTERS = 32, // whose results are cached
};

// A value that filters look at.
typedef struct delta_value {
    char *field;
    unsigned type; // rl_filter_type_t, or RL_FILTER_TYPES: only exists
    double number;
    char *string;
    size_t size;
} delta_value_t;

typedef struct delta_term {
    uint32_t term, times;
} delta_term_t;

typedef struct delta_entry {
    rl_passage_t passage;
    char *memory; // of its strings
    bool live;
    uint64_t doc_hash, source_hash;
    uint32_t doc_next, source_next; // slot + 1 of another one in the same chain
    delta_term_t *terms;
    uint32_t terms_size, length;
    char **words;  // of the terms before they have numbers; NULL afterwards
    float *vector; // before it has a place in a block; NULL afterwards, or if it has none
    delta_value_t *values;
    size_t values_size;
} delta_entry_t;

// DELTA_BLOCK passages.
typedef struct delta_block {
    float *rows;
    flat_t *flat;       // when it is full
    selection_t *alive; // those that can be found by their vectors
} delta_block_t;

typedef struct delta_posting {
    uint32_t slot, times;
} delta_posting_t;

typedef struct delta_word {
    char *term;
    uint64_t hash;
    delta_posting_t *postings;
    uint32_t size, room;
    uint32_t live; // passages that are there
} delta_word_t;

// The cached result of a filter, for the slots it was applied to so far.
typedef struct delta_memo {
    char *text;
    rl_filter_t *filter;
    uint64_t *bits;
    uint32_t size, room; // slots it was applied to; bits there is room for
    uint64_t used;
} delta_memo_t;

struct delta {
    const store_t *store;
    uint64_t shard, shards, model_hash;
    size_t dimension;
    delta_kinds_t kinds;
    pthread_rwlock_t lock; // of all below, but the memos
    uint64_t number;
    uint64_t *dead; // a bit for each passage of the generation
    size_t count, dead_size;
    delta_entry_t **entries; // by slot: id - count - 1
    uint32_t size, room;
    size_t live;
    uint32_t *docs, *sources; // chains by hash: slot + 1; 2^chains_bits of each
    unsigned chains_bits;
    delta_block_t *blocks;
    size_t blocks_size;
    delta_word_t *words;
    uint32_t words_size, words_room;
    uint32_t *words_slots; // open addressing: number + 1
    unsigned words_bits;
    uint64_t length;             // of all live passages, in terms
    analyzer_t **analyzers;      // one for each thread that searches, the last one for preparing
    pthread_mutex_t alive_mutex; // of what follows
    selection_t *alive;
    size_t alive_dead; // how many were dead when it was made
    pthread_mutex_t memo_mutex;
    delta_memo_t memos[DELTA_FILTERS];
    uint64_t memo_uses;
};

// A passage's terms and their times, and the values that filters look at.
void delta_take_words(delta_t *self, delta_entry_t *entry);
void delta_take_values(delta_entry_t *entry);
void delta_free_values(delta_entry_t *entry);
// Into the index of words, under the lock for writing; and out of it.
void delta_add_words(delta_t *self, uint32_t slot);
void delta_drop_words(delta_t *self, const delta_entry_t *entry);
void delta_free_words(delta_t *self);
// The slots that fulfil the filter, as bits for at least self->size of them, which the caller
// frees.
uint64_t *delta_select(delta_t *self, const char *filter);
void delta_free_memos(delta_t *self);

#endif
