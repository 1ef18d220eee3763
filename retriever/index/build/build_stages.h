// build_stages: a build under way, as build.c and its stages share it (build_read.c, build_embed.c,
// build_write.c, load.c), with what several of them need.
#ifndef BUILD_STAGES_H
#define BUILD_STAGES_H

#include "build.h"
#include "bulk_embed.h"
#include "corpus.h"
#include "generation_writer.h"
#include "progress.h"
#include "spool.h"

enum {
    BUILD_TURN_US = 20 * 1000, // a stage works so long before the loop comes round
    BUILD_WHY = 1024,
};

typedef enum build_state {
    BUILD_LISTING,
    BUILD_READING,
    BUILD_EMBEDDING, // goes by the replies of the server
    BUILD_WRITING,
    BUILD_FINISHING,
    BUILD_LOADING, // goes by the replies of a distributed engine
    BUILD_ENDED,
} build_state_t;

typedef enum build_mode {
    BUILD_UNKNOWN, // till the first document
    BUILD_LEXICAL,
    BUILD_EMBEDDED, // by the embedding server
    BUILD_SUPPLIED, // vectors come with the documents
} build_mode_t;

typedef struct load load_t; // into a distributed engine, see load.h

struct build {
    rl_proc_t *proc;
    const plan_t *plan;
    build_state_t state;
    build_mode_t mode;
    struct event *turn;
    roots_t *roots; // folders that documents are named relative to
    listing_t *listing;
    corpus_t *corpus;
    spool_t *spool;
    vector_cache_t *cache;
    bulk_embed_t *bulk;
    generation_writer_t *writer; // also holds the folder's lock while an engine is loaded
    load_t *load;                // NULL: a generation is written
    progress_t *progress;
    report_t *report;
    rl_buf_t text; // of one passage, as it is embedded
    uint64_t began;
    uint64_t documents, passages;
    uint64_t to_embed, reused, embedded_now, refused, written, cut;
    uint64_t noted; // time of the last note
    size_t dimension;
    float *zeros; // of `dimension`, in place of a vector that could not be had
    char generation[STORE_NAME];
    char why[BUILD_WHY];
    const document_t *doc; // at work, for the callback that takes its passages
    const char *stage;     // of FINISHING, as the writer names it
    uint64_t stage_began;
};

// The cache's name in the collection's folder.
extern const char build_cache_name[];

// The one place that changes the state; the next turn works in it.
void build_set_state(build_t *self, build_state_t state);

// Ends the loop with this exit status.
void build_end(build_t *self, int status);

// Ends without an index: logs why, and what is kept of the work that was done.
void build_fail(build_t *self, const char *why);

// All that was read is in the index: ends with the status that says whether some could not be used.
void build_succeed(build_t *self);

// The vector of a passage from the spool: the document's own, the cache's, zeros where the
// embedding server has none for the text (`refusal` is why, else NULL), or NULL in a collection
// without. Good until the next call. Returns 0, or -1 with self->why.
int build_vector(build_t *self, const spooled_t *item, const float **vector, size_t *dimension,
                 const char **refusal);

// Names and counts a passage that is in the index by its words alone.
void build_name_vectorless(build_t *self, const spooled_t *item, const char *refusal);

// Gives `fn` passages of the spool for a turn. Returns 1 when more are to come, 0 behind the last,
// -1 after the build has failed (`fn` returns -1 with self->why).
int build_turn_spool(build_t *self, int (*fn)(build_t *self, const spooled_t *item));

// Removes from the cache what this build did not need.
void build_prune_cache(build_t *self);

// Parts of the summary: ", 384 dimensions (MODEL)", and how long it took.
void build_print_kind(const build_t *self);
void build_print_duration(const build_t *self);

// ---- what a turn does in each state -------------------------------------------------------------

void build_list(build_t *self);
void build_read(build_t *self);
void build_embed(build_t *self);
void build_write(build_t *self);
void build_finish(build_t *self);

// A passage with all that belongs to it into the generation. Returns 0, or -1 with self->why.
int build_write_passage(build_t *self, const spooled_t *item);

#endif
