// build_stages: a build under way, as its stages share it (build_read.c, build_embed.c,
// build_write.c) and build.c runs them.
#ifndef RL_BUILD_STAGES_H
#define RL_BUILD_STAGES_H

#include "build.h"

#include "bulk_embed.h"
#include "corpus.h"
#include "meter.h"
#include "spool.h"
#include "store.h"

enum {
    RL_BUILD_TURN_US = 20 * 1000, // a stage works so long before the loop comes round
    RL_BUILD_WHY = 1024,
};

typedef enum rl_build_state {
    RL_BUILD_LISTING,
    RL_BUILD_READING,
    RL_BUILD_EMBEDDING, // goes by the replies of the server
    RL_BUILD_WRITING,
    RL_BUILD_FINISHING,
    RL_BUILD_LOADING, // goes by the replies of a distributed engine
    RL_BUILD_ENDED,
} rl_build_state_t;

typedef enum rl_build_mode {
    RL_BUILD_UNKNOWN, // till the first document
    RL_BUILD_LEXICAL,
    RL_BUILD_EMBEDDED, // by the embedding server
    RL_BUILD_SUPPLIED, // vectors come with the documents
} rl_build_mode_t;

typedef struct rl_load rl_load_t; // into a distributed engine, see load.h

struct rl_build {
    rl_proc_t *proc;
    const rl_plan_t *plan;
    rl_build_state_t state;
    rl_build_mode_t mode;
    struct event *turn;
    rl_listing_t *listing;
    rl_corpus_t *corpus;
    rl_spool_t *spool;
    rl_vector_cache_t *cache;
    rl_bulk_embed_t *bulk;
    rl_store_build_t *store;
    rl_load_t *load; // NULL: the store is written
    rl_meter_t *meter;
    rl_buf_t embedded; // text of one passage as it is embedded
    uint64_t began;
    uint64_t listing_problems;
    uint64_t documents, passages;
    uint64_t to_embed, reused, embedded_now, written, cut;
    uint64_t noted; // time of the last note
    size_t dimension;
    char generation[RL_STORE_NAME];
    char why[RL_BUILD_WHY];
    const rl_document_t *doc; // at work, for the chunker's callback
    const char *stage;        // of FINISHING, as the store names it
    uint64_t stage_began;
};

// The cache's name in the collection's folder.
extern const char rl_build_cache_name[];

// The one place that changes the state; the next turn works in it.
void rl_build_set_state(rl_build_t *self, rl_build_state_t state);

// Ends the loop with this exit status.
void rl_build_end(rl_build_t *self, int status);

// No index this time: says why, and what becomes of what was done.
void rl_build_fail(rl_build_t *self, const char *why);

// A passage with all that belongs to it into the store. Returns 0, or -1 with self->why.
int rl_build_write_one(rl_build_t *self, const rl_spooled_t *item);

// What a turn does in each state.
void rl_build_list(rl_build_t *self);
void rl_build_read(rl_build_t *self);
void rl_build_embed(rl_build_t *self);
void rl_build_write(rl_build_t *self);
void rl_build_finish(rl_build_t *self);

#endif
