// source: where hits come from, as a small struct of functions. A new kind of source is one new
// file and one line in the table of source.c.
//
// The sources here work in the calling thread (pool.h). One that waits for others instead, an
// engine on other machines, takes the same queries and gives the same results from the loop
// (source_engine.h).
#ifndef SOURCE_H
#define SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "effort.h"
#include "proto.h"
#include "store.h"

enum {
    SOURCE_BATCH = 64, // queries searched together, at most
    SOURCE_WARM = 3,   // queries that a source is warmed with
};

// A kind of retrieval.
typedef enum source_kind {
    SOURCE_DENSE,
    SOURCE_LEXICAL,
    SOURCE_KINDS
} source_kind_t;

// As they are configured and announced: "dense", "lexical".
extern const char *const source_kind_names[SOURCE_KINDS];

// The kind of this name; SOURCE_KINDS if there is none.
source_kind_t source_kind_named(const char *name);

// One query. What of it counts depends on the kind; it belongs to the caller.
typedef struct query {
    const char *text;             // lexical
    const float *vector;          // dense, of length 1
    size_t dimension;             // of the vector; 0 if there is none
    size_t k;                     // 1..RL_MAX_HITS
    const char *filter;           // only passages that fulfil it (filter.h's JSON); NULL: all
    const selection_t *selection; // and that are in this selection; NULL: all
    size_t efforts[EFFORT_KINDS]; // how much of an index of each kind; 0: as its manifest says
    uint64_t until_us;            // by rl_now_us: less effort rather than later; 0: any time
} query_t;

// What one query found, or why it could not be searched. Freed by result_clear.
typedef struct result {
    rl_passage_t *hits; // best first, with their scores
    size_t size;
    double bound;      // the highest score that this query could have reached, 0 if unknown
    void *memory;      // holds the strings of the hits
    void *more_memory; // and of those that were added to them
    size_t bytes;      // of these strings, about
    effort_t effort;
    const char *code;  // NULL, or what failed: "wrong_dimension", "bad_request", "index_gone"…
    bool retry;        // another replica may do better
    char message[512]; // for people: what is wrong and what to do
} result_t;

void result_clear(result_t *self);

// Makes it a failure.
void result_fail(result_t *self, const char *code, bool retry, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Fills it with the passages of a shard in the order of `ids`.
void result_fill(result_t *self, const store_t *store, uint64_t shard, const uint64_t *ids,
                 const double *scores, size_t size);

// Whether only some passages are to be looked at.
static inline bool query_selects(const query_t *self)
{
    return self->filter || self->selection;
}

// The passages that a query's filter (and selection) keeps, in *selection, a reference that the
// caller drops (NULL: all). False after making the result a failure.
bool result_select(result_t *self, const store_t *store, uint64_t shard, const query_t *query,
                   selection_t **selection);

typedef struct source_options {
    size_t threads;       // that will search; they are numbered from 0
    size_t faiss_threads; // that FAISS and OpenBLAS may use inside one search
} source_options_t;

typedef struct source_backend {
    source_kind_t kind;
    // Whether this collection has what the source needs.
    bool (*suits)(const manifest_t *manifest);
    // Opens the source of one shard; the store outlives it. NULL and `why` on failure.
    void *(*open)(const store_t *store, uint64_t shard, const source_options_t *options, char *why,
                  size_t why_size);
    // How many queries are worth searching together, 1..SOURCE_BATCH.
    size_t (*batch)(const void *self);
    // Searches 1..SOURCE_BATCH queries as thread number `thread`; results are zeroed before.
    void (*search)(void *self, size_t thread, const query_t *queries, size_t size,
                   result_t *results);
    // NULL, or takes up the effort that the manifest says now. Any thread.
    void (*tune)(void *self, const manifest_t *manifest);
    // lexical: how often the shard has terms (text_index.h); NULL for other kinds.
    void (*terms)(void *self, size_t thread, const char *const *terms, size_t size,
                  uint64_t *passages, double *length);
    // Runs SOURCE_WARM queries of its own (touches what a first search would load).
    void (*warm)(void *self, size_t thread);
    void (*close)(void *self);
} source_backend_t;

extern const source_backend_t source_faiss, source_xapian;

// The backend of each kind.
extern const source_backend_t *const source_backends[SOURCE_KINDS];

#endif
