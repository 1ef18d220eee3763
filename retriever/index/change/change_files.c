// change_files: documents of files, added to a collection or put in the place of those with their
// ids.
#include "change_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"

static void on_problem(void *arg, const char *where, const char *what)
{
    change_run_t *self = arg;
    self->problems++;
    rl_warn("%s: %s", where, what);
}

static int list(change_run_t *self)
{
    self->listing = listing_new(on_problem, self);
    for (size_t at = 0; self->listing && at < rl_conf_args(self->conf); at++)
        if (listing_add(self->listing, rl_conf_arg(self->conf, at)) != 0)
            listing_destroy(&self->listing);
    if (!self->listing)
        return -1;
    listing_close(self->listing);
    self->corpus = corpus_new(self->listing, on_problem, self);
    return self->corpus ? 0 : -1;
}

void change_files_close(change_run_t *self)
{
    corpus_destroy(&self->corpus);
    listing_destroy(&self->listing);
}

static void turn(change_run_t *self)
{
    document_t doc;
    corpus_next_t next = CORPUS_NOTHING;
    if (!self->corpus && list(self) != 0) {
        change_fail(self, "out of memory");
        return;
    }
    while (!change_batch_full(self->batch) &&
           (next = corpus_next(self->corpus, &doc)) != CORPUS_END) {
        if (next == CORPUS_NOTHING)
            continue;
        if (next == CORPUS_BROKEN) {
            change_fail(self, corpus_why(self->corpus));
            return;
        }
        if (!change_batch_put(self->batch, &doc, 0))
            abort();
        document_free(&doc);
    }
    if (change_batch_size(self->batch) > 0) {
        change_commit(self);
        return;
    }
    printf("%s: %llu documents added or replaced (change %llu), %llu passages embedded; problems: "
           "%llu\n",
           change_target_folder(self->target), (unsigned long long)self->done,
           (unsigned long long)self->last, (unsigned long long)self->embedded,
           (unsigned long long)(self->problems + self->wrong));
    fflush(stdout);
    change_end(self, change_status(self));
}

static void answered(change_run_t *self, const char *why)
{
    for (size_t at = 0; !why && at < change_batch_size(self->batch); at++) {
        const change_item_t *item = change_batch_at(self->batch, at);
        if (item->why)
            rl_warn("%s: %s", item->name, item->why);
    }
}

const change_mode_t change_add = {"add", true, turn, answered};
