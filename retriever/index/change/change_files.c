// change_files: documents of files, added to a collection or put in the place of those with their
// ids.
#include "change_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"

static void on_problem(void *arg, const char *where, const char *what)
{
    rl_change_run_t *self = arg;
    self->problems++;
    rl_warn("%s: %s", where, what);
}

static int list(rl_change_run_t *self)
{
    self->listing = rl_listing_new(on_problem, self);
    for (size_t at = 0; self->listing && at < rl_conf_args(self->conf); at++)
        if (rl_listing_add(self->listing, rl_conf_arg(self->conf, at)) != 0)
            rl_listing_destroy(&self->listing);
    if (!self->listing)
        return -1;
    rl_listing_close(self->listing);
    self->corpus = rl_corpus_new(self->listing, on_problem, self);
    return self->corpus ? 0 : -1;
}

void change_files_close(rl_change_run_t *self)
{
    rl_corpus_destroy(&self->corpus);
    rl_listing_destroy(&self->listing);
}

static void turn(rl_change_run_t *self)
{
    rl_document_t doc;
    rl_corpus_next_t next = RL_CORPUS_NOTHING;
    if (!self->corpus && list(self) != 0) {
        change_fail(self, "out of memory");
        return;
    }
    while (!rl_change_batch_full(self->batch) &&
           (next = rl_corpus_next(self->corpus, &doc)) != RL_CORPUS_END) {
        if (next == RL_CORPUS_NOTHING)
            continue;
        if (next == RL_CORPUS_BROKEN) {
            change_fail(self, rl_corpus_why(self->corpus));
            return;
        }
        if (!rl_change_batch_put(self->batch, &doc, 0))
            abort();
        rl_document_free(&doc);
    }
    if (rl_change_batch_size(self->batch) > 0) {
        change_commit(self);
        return;
    }
    printf("%s: %llu documents added or replaced (change %llu), %llu passages embedded; problems: "
           "%llu\n",
           rl_change_target_folder(self->target), (unsigned long long)self->done,
           (unsigned long long)self->last, (unsigned long long)self->embedded,
           (unsigned long long)(self->problems + self->wrong));
    fflush(stdout);
    change_end(self, change_status(self));
}

static void answered(rl_change_run_t *self, const char *why)
{
    for (size_t at = 0; !why && at < rl_change_batch_size(self->batch); at++) {
        const rl_change_item_t *item = rl_change_batch_at(self->batch, at);
        if (item->why)
            rl_warn("%s: %s", item->name, item->why);
    }
}

const rl_change_mode_t change_add = {"add", true, turn, answered};
