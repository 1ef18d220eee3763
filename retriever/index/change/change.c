// change: the modes of a run that changes a collection, its beginning and its end.
#include "change_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fail.h"
#include "mem.h"

// ---- --delete, --delete-source, --merge ---------------------------------------------------------

static void print_deleted(change_run_t *self, const char *why)
{
    if (why)
        return;
    change_run_report_wrong(self);
    for (size_t at = 0; at < change_batch_size(self->batch); at++) {
        const change_item_t *item = change_batch_at(self->batch, at);
        if (!item->why)
            printf("%s: deleted (change %" PRIu64 ")\n", item->name, item->number);
    }
    fflush(stdout);
}

static void delete_args(change_run_t *self, change_kind_t kind)
{
    while (self->arg < rl_conf_args(self->conf) && !change_batch_full(self->batch))
        change_batch_delete(self->batch, kind, rl_conf_arg(self->conf, self->arg++), 0);
    if (change_batch_size(self->batch) > 0)
        change_run_commit(self);
    else
        change_run_end(self, change_run_status(self));
}

static void delete_turn(change_run_t *self)
{
    delete_args(self, CHANGE_DELETE);
}

static void delete_source_turn(change_run_t *self)
{
    delete_args(self, CHANGE_DELETE_SOURCE);
}

static void merge_turn(change_run_t *self)
{
    const char *folder = self->target->folder;
    generation_merged_t merged;
    change_merge_poll(self->merge, self->last, true);
    bool tried = change_merge_is_running(self->merge);
    change_merge_wait(self->merge);
    int rc = change_merge_result(self->merge, &merged);
    if (!tried || rc < 0) {
        change_run_fail(self, "nothing is merged; the generation in force and its changes stay");
        return;
    }
    if (rc == 0)
        printf("%s: there are no changes to merge\n", folder);
    else
        printf("%s/%s: %" PRIu64 " documents, %" PRIu64
               " passages, with the changes up to number %" PRIu64 "\n",
               folder, merged.generation, merged.documents, merged.passages, merged.changes);
    fflush(stdout);
    change_run_end(self, BUILD_WHOLE);
}

static const change_mode_t delete_mode = {"delete", true, delete_turn, print_deleted};
static const change_mode_t delete_source_mode = {"delete-source", true, delete_source_turn,
                                                 print_deleted};
static const change_mode_t merge_mode = {"merge", false, merge_turn, print_deleted};

static const change_mode_t *const modes[] = {&change_lines_mode,  &change_add_mode,  &delete_mode,
                                             &delete_source_mode, &change_sync_mode, &merge_mode};

// ---- making -------------------------------------------------------------------------------------

static const change_mode_t *find_mode(const rl_conf_t *conf, bool *several)
{
    const change_mode_t *mode = NULL;
    *several = false;
    for (size_t at = 0; at < sizeof modes / sizeof *modes; at++)
        if (rl_conf_has_flag(conf, modes[at]->flag)) {
            *several |= mode != NULL;
            mode = modes[at];
        }
    return mode;
}

bool change_asked_for(const rl_conf_t *conf)
{
    bool several;
    return find_mode(conf, &several) != NULL;
}

change_run_t *change_run_new(rl_proc_t *proc, char *why, size_t why_size)
{
    change_run_t *self = rl_new(*self);
    bool several = false;
    self->proc = proc;
    self->conf = rl_proc_conf(proc);
    self->mode = find_mode(self->conf, &several);
    int rc = 0;
    if (several)
        rc = rl_fail(why, why_size,
                     "one of --changes, --add, --delete, --delete-source, --sync and --merge at a "
                     "time");
    else if (self->mode->args != (rl_conf_args(self->conf) > 0))
        rc = rl_fail(why, why_size,
                     self->mode->args ? "--%s: name what (files, folders, ids…) behind it"
                                      : "--%s takes nothing behind it",
                     self->mode->flag);
    if (rc == 0)
        self->report = report_new(rl_conf_str(self->conf, "index.report"), why, why_size);
    if (self->report)
        self->target = change_target_new(self->conf, why, why_size);
    if (self->target)
        change_run_start(self);
    else
        change_run_destroy(&self);
    return self;
}

void change_run_destroy(change_run_t **self_p)
{
    change_run_t *self = *self_p;
    if (!self)
        return;
    change_merge_destroy(&self->merge);
    change_lines_close(self);
    change_files_close(self);
    change_sync_close(self);
    change_batch_destroy(&self->batch);
    change_target_destroy(&self->target);
    report_destroy(&self->report);
    if (self->turn)
        event_free(self->turn);
    if (self->poll)
        event_free(self->poll);
    free(self);
    *self_p = NULL;
}
