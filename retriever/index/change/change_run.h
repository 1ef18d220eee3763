// change_run: a run that changes a collection, as change.c and its modes share it: standard input
// (change_lines.c), files (change_files.c), folders (change_sync.c). A mode fills a batch, the run
// has it committed, and the mode answers.
#ifndef CHANGE_RUN_H
#define CHANGE_RUN_H

#include "build.h"
#include "change.h"
#include "change_batch.h"
#include "change_merge.h"
#include "corpus.h"

typedef struct change_lines change_lines_t;
typedef struct change_sync change_sync_t;

typedef struct change_mode {
    const char *flag;
    bool args; // it takes some
    // A turn: adds to the batch till it is full or nothing more is there now. The run goes on by
    // change_run_commit, change_run_schedule or change_run_end. Called from the loop while no batch
    // is at work.
    void (*turn)(change_run_t *self);
    // A batch is in force, or `why` says why not.
    void (*answered)(change_run_t *self, const char *why);
} change_mode_t;

extern const change_mode_t change_lines_mode, change_add_mode, change_sync_mode;

struct change_run {
    rl_proc_t *proc;
    const rl_conf_t *conf;
    const change_mode_t *mode;
    change_target_t *target;
    change_batch_t *batch;
    change_merge_t *merge;
    struct event *turn;
    struct event *poll; // of the merge
    bool committing, ended, stopping;
    uint64_t first_ready_us; // before it nothing is answered (see change_run.c)
    uint64_t last;           // number of the last change made here
    uint64_t done, wrong, embedded;
    size_t arg; // next of the command line's
    // of --delete and --delete-source: what each argument names, NULL: nothing that is there
    char **names;
    change_lines_t *lines;
    change_sync_t *sync;
    report_t *report; // of what could not be used
    // of files that are read
    listing_t *listing;
    corpus_t *corpus;
};

// Sets the run up, whose target is open.
void change_run_start(change_run_t *self);

// The next turn, at once. A mode that waits for something calls it when that has come.
void change_run_schedule(change_run_t *self);
// Reading goes on for so long in a turn, so that signals are obeyed.
enum {
    CHANGE_TURN_US = 50 * 1000
};
// Has the batch embedded and committed; the next turn follows.
void change_run_commit(change_run_t *self);
// The run is over.
void change_run_end(change_run_t *self, int status);
void change_run_fail(change_run_t *self, const char *why);
// Says what could not be used. Returns 0, BUILD_PARTS if there was something, BUILD_FAILED if there
// was nothing else.
int change_run_status(change_run_t *self);
// Reports what was wrong with items of the batch that has been answered.
void change_run_report_wrong(change_run_t *self);

// Free what each mode holds.
void change_lines_close(change_run_t *self);
void change_files_close(change_run_t *self);
void change_sync_close(change_run_t *self);

#endif
