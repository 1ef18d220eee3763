// change: the modes of a run that changes a collection, its beginning and its end.
#include "change_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "change_find.h"
#include "fail.h"
#include "log.h"
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

// What each argument names: an id (source) that is there as it stands or, of a file, the id that it
// has by the index's roots. The others are said. Returns 0, or -1 with `why`.
static int find_named(change_run_t *self, change_kind_t kind, char *why, size_t why_size)
{
    size_t size = rl_conf_args(self->conf);
    bool *found = rl_alloc_array(2 * size, sizeof *found), by_path = self->target->roots != NULL;
    const char **asked = rl_alloc_array(2 * size, sizeof *asked);
    self->names = rl_alloc_array(size, sizeof *self->names);
    for (size_t at = 0; at < size; at++) {
        asked[at] = rl_conf_arg(self->conf, at);
        if (by_path && kind == CHANGE_DELETE)
            asked[size + at] = self->names[at] = roots_id(self->target->roots, asked[at]);
    }
    int rc = change_find(self->target->folder, kind, asked, found, self->names[0] ? 2 * size : size,
                         why, why_size);
    for (size_t at = 0; at < size; at++) {
        const char *name = found[at] ? asked[at] : found[size + at] ? asked[size + at] : NULL;
        char *named = name ? rl_strdup(name) : NULL;
        free(self->names[at]);
        self->names[at] = named;
        if (rc == 0 && !named) {
            self->wrong++;
            rl_warn("%s: no document of the collection has this %s", asked[at],
                    kind == CHANGE_DELETE ? "id" : "source");
        }
    }
    free(asked);
    free(found);
    return rc;
}

static void delete_args(change_run_t *self, change_kind_t kind)
{
    char why[512];
    if (!self->names && find_named(self, kind, why, sizeof why) != 0) {
        change_run_fail(self, why);
        return;
    }
    for (; self->arg < rl_conf_args(self->conf) && !change_batch_full(self->batch); self->arg++)
        if (self->names[self->arg])
            change_batch_delete(self->batch, kind, self->names[self->arg], 0);
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
    for (size_t at = 0; self->names && at < rl_conf_args(self->conf); at++)
        free(self->names[at]);
    free(self->names);
    report_destroy(&self->report);
    if (self->turn)
        event_free(self->turn);
    if (self->poll)
        event_free(self->poll);
    free(self);
    *self_p = NULL;
}
