// change_files: documents of files, added to a collection or put in the place of those with their
// ids.
#include "change_run.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "log.h"

static void open_files(change_run_t *self)
{
    self->listing = listing_new(self->report);
    listing_configure(self->listing, self->conf);
    for (size_t at = 0; at < rl_conf_args(self->conf); at++)
        listing_add(self->listing, rl_conf_arg(self->conf, at));
    listing_close(self->listing);
    self->corpus = corpus_new(self->listing, self->target->roots, self->report);
    corpus_configure(self->corpus, self->conf);
}

void change_files_close(change_run_t *self)
{
    corpus_destroy(&self->corpus);
    listing_destroy(&self->listing);
}

static void add_files(change_run_t *self)
{
    document_t doc;
    corpus_next_t next = CORPUS_NOTHING;
    if (!self->corpus)
        open_files(self);
    uint64_t until = rl_now_us() + CHANGE_TURN_US;
    while (!change_batch_full(self->batch) &&
           (next = corpus_next(self->corpus, &doc)) != CORPUS_END) {
        if (next == CORPUS_NOTHING && rl_now_us() > until) {
            change_run_schedule(self);
            return;
        }
        if (next == CORPUS_NOTHING)
            continue;
        if (next == CORPUS_BROKEN) {
            change_run_fail(self, corpus_why(self->corpus));
            return;
        }
        change_batch_put(self->batch, &doc, 0);
        document_free(&doc);
    }
    if (change_batch_size(self->batch) > 0) {
        change_run_commit(self);
        return;
    }
    printf("%s: %" PRIu64 " documents added or replaced (change %" PRIu64 "), %" PRIu64
           " passages embedded; not wholly in the index: %" PRIu64 "\n",
           self->target->folder, self->done, self->last, self->embedded,
           report_faults(self->report));
    fflush(stdout);
    change_run_end(self, change_run_status(self));
}

static void on_answered(change_run_t *self, const char *why)
{
    if (!why)
        change_run_report_wrong(self);
}

const change_mode_t change_add_mode = {"add", true, add_files, on_answered};
