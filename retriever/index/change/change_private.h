// change_private: a run that changes a collection, as its parts share it: the ends and the batches
// (change.c), standard input (change_lines.c), files (change_files.c), folders (change_sync.c), the
// merge (change_merge.c).
#ifndef CHANGE_PRIVATE_H
#define CHANGE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "build.h"
#include "change.h"
#include "change_batch.h"
#include "corpus.h"
#include "store_merge.h"

typedef struct sync sync_t;

typedef struct change_mode {
    const char *flag;
    bool args; // it takes some
    // A turn: adds to the batch till it is full or nothing more is there now. The run goes on by
    // change_commit, change_wait or change_end. Called from the loop while no batch is at work.
    void (*turn)(change_run_t *self);
    // A batch is in force, or `why` says why not.
    void (*answered)(change_run_t *self, const char *why);
} change_mode_t;

extern const change_mode_t change_lines, change_add, change_sync;

struct change_run {
    rl_proc_t *proc;
    const rl_conf_t *conf;
    const change_mode_t *mode;
    change_target_t *target;
    change_batch_t *batch;
    struct event *again; // a turn
    struct event *look;  // after the merge, and for the next one
    bool committing, ended, stopping;
    uint64_t first_ready_us; // before it nothing is answered (see change.c)
    uint64_t last;           // number of the last change made here
    uint64_t done, wrong, embedded;
    size_t arg; // next of the command line's
    // standard input
    struct event *input;
    rl_buf_t lines;
    uint64_t line;
    bool input_ended, skipping;
    // files
    listing_t *listing;
    corpus_t *corpus;
    uint64_t problems;
    sync_t *sync;
    // the merge
    bool merging;
    atomic_bool merged;
    pthread_t merger;
    store_merged_t merge;
    int merge_rc;
    char merge_why[1024];
    uint64_t merge_again_us;
};

// The next turn at once; or when something has come (the mode sees to it).
void change_again(change_run_t *self);
// Has the batch embedded and committed; change_again follows.
void change_commit(change_run_t *self);
// The run is over.
void change_end(change_run_t *self, int status);
void change_fail(change_run_t *self, const char *why);
// 0, or BUILD_PARTS if something could not be used.
int change_status(const change_run_t *self);

// Standard input has something, as its event or its being a file says.
void change_lines_close(change_run_t *self);
void change_files_close(change_run_t *self);
void change_sync_close(change_run_t *self);

// Starts a merge if enough has gathered (or `anyway`), and takes the end of one.
void change_merge_look(change_run_t *self, bool anyway);
// Waits for the one that is at work.
void change_merge_wait(change_run_t *self);
// Whether so much has gathered that the merge must catch up first.
bool change_merge_is_behind(const change_run_t *self);

#endif
