// change: turns, batches and ends of a run that changes a collection.
#include "change_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "files.h"
#include "log.h"

enum {
    LOOK_MS = 200,
    // Retrievers of a collection that has never been changed hear of its first log at once, and
    // gateways by their next announcements: so long nothing is answered, so that from then on what
    // a gateway remembers is held against the log.
    FIRST_US = 2000000,
};

// ---- ends
// -----------------------------------------------------------------------------------------

void change_end(change_run_t *self, int status)
{
    if (self->ended)
        return;
    self->ended = true;
    change_merge_look(self, false);
    if (self->merging) {
        rl_info("the changes are in force; merging them into a new generation, which can be "
                "interrupted");
        fflush(stdout);
    }
    change_merge_wait(self);
    rl_proc_end(self->proc, status);
}

void change_fail(change_run_t *self, const char *why)
{
    if (self->ended)
        return;
    rl_error("%s", why);
    self->ended = true;
    rl_proc_end(self->proc, BUILD_FAILED);
}

int change_status(const change_run_t *self)
{
    return self->wrong + self->problems > 0 ? BUILD_PARTS : BUILD_WHOLE;
}

// What was committed is in force; what was not is not. A merge at work leaves nothing behind.
static void on_stop(void *arg)
{
    change_run_t *self = arg;
    self->stopping = true;
    if (self->merging)
        exit(BUILD_INTERRUPTED);
    if (!self->committing)
        change_end(self, BUILD_INTERRUPTED);
}

// ---- turns
// ----------------------------------------------------------------------------------------

void change_again(change_run_t *self)
{
    if (!self->ended)
        event_active(self->again, EV_TIMEOUT, 1);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    change_run_t *self = arg;
    char why[512];
    (void)fd, (void)what;
    if (self->ended || self->committing)
        return;
    if (change_merge_is_behind(self))
        return; // on_look comes back
    if (change_target_refresh(self->target, why, sizeof why) != 0)
        change_fail(self, why);
    else
        self->mode->turn(self);
}

static void give_answers(change_run_t *self, const char *why)
{
    for (size_t at = 0; at < change_batch_size(self->batch); at++) {
        const change_item_t *item = change_batch_at(self->batch, at);
        self->wrong += item->why != NULL;
        self->done += item->number > 0;
        if (item->number > self->last)
            self->last = item->number;
    }
    self->embedded += change_batch_embedded(self->batch);
    self->mode->answered(self, why);
    change_batch_clear(self->batch);
    self->committing = false;
    change_merge_look(self, false);
    if (why)
        change_fail(self, why);
    else if (self->stopping)
        change_end(self, BUILD_INTERRUPTED);
    else
        change_again(self);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    give_answers(arg, NULL);
}

static void on_committed(void *arg, const char *why)
{
    change_run_t *self = arg;
    uint64_t now = rl_now_us();
    if (why || now >= self->first_ready_us) {
        give_answers(self, why);
        return;
    }
    uint64_t left = self->first_ready_us - now;
    struct timeval wait = {(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
    if (event_base_once(rl_proc_base(self->proc), -1, EV_TIMEOUT, on_ready, self, &wait) != 0)
        abort();
}

void change_commit(change_run_t *self)
{
    self->committing = true;
    change_batch_run(self->batch, rl_proc_base(self->proc), on_committed, self);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    change_run_t *self = arg;
    (void)fd, (void)what;
    bool behind = change_merge_is_behind(self);
    change_merge_look(self, false);
    if (behind && !change_merge_is_behind(self))
        change_again(self);
}

// ---- --delete, --delete-source, --merge ---------------------------------------------------------

static void say_answers(change_run_t *self, const char *why)
{
    for (size_t at = 0; !why && at < change_batch_size(self->batch); at++) {
        const change_item_t *item = change_batch_at(self->batch, at);
        if (item->why)
            rl_warn("%s: %s", item->name, item->why);
        else
            printf("%s: deleted (change %llu)\n", item->name, (unsigned long long)item->number);
    }
    fflush(stdout);
}

static void delete_args(change_run_t *self, change_kind_t kind)
{
    while (self->arg < rl_conf_args(self->conf) && !change_batch_full(self->batch))
        if (!change_batch_delete(self->batch, kind, rl_conf_arg(self->conf, self->arg++), 0))
            abort();
    if (change_batch_size(self->batch) > 0)
        change_commit(self);
    else
        change_end(self, change_status(self));
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
    const char *folder = change_target_folder(self->target);
    change_merge_look(self, true);
    bool tried = self->merging;
    change_merge_wait(self);
    if (!tried || self->merge_rc < 0) {
        change_fail(self, "nothing is merged; the generation in force and its changes stay");
        return;
    }
    if (self->merge_rc == 0)
        printf("%s: there are no changes to merge\n", folder);
    else
        printf("%s/%s: %llu documents, %llu passages, with the changes up to number %llu\n", folder,
               self->merge.generation, (unsigned long long)self->merge.documents,
               (unsigned long long)self->merge.passages, (unsigned long long)self->merge.changes);
    fflush(stdout);
    change_end(self, BUILD_WHOLE);
}

static const change_mode_t change_delete = {"delete", true, delete_turn, say_answers};
static const change_mode_t change_delete_source = {"delete-source", true, delete_source_turn,
                                                   say_answers};
static const change_mode_t change_merge = {"merge", false, merge_turn, say_answers};

static const change_mode_t *const modes[] = {&change_lines,         &change_add,  &change_delete,
                                             &change_delete_source, &change_sync, &change_merge};

// ---- making -----------------------------------------------------------------------------------

static const change_mode_t *mode_of(const rl_conf_t *conf, bool *several)
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
    return mode_of(conf, &several) != NULL;
}

change_run_t *change_run_new(rl_proc_t *proc, char *why, size_t why_size)
{
    change_run_t *self = calloc(1, sizeof *self);
    bool several = false;
    if (!self) {
        rl_fail(why, why_size, "out of memory");
        return NULL;
    }
    self->proc = proc;
    self->conf = rl_proc_conf(proc);
    self->mode = mode_of(self->conf, &several);
    self->again = event_new(rl_proc_base(proc), -1, 0, on_turn, self);
    self->look = event_new(rl_proc_base(proc), -1, EV_PERSIST, on_look, self);
    int rc = self->again && self->look ? 0 : rl_fail(why, why_size, "out of memory");
    if (rc == 0 && several)
        rc = rl_fail(why, why_size,
                     "one of --changes, --add, --delete, --delete-source, --sync and --merge at a "
                     "time");
    if (rc == 0 && self->mode->args != (rl_conf_args(self->conf) > 0))
        rc = rl_fail(why, why_size,
                     self->mode->args ? "--%s: name what (files, folders, ids…) behind it"
                                      : "--%s takes nothing behind it",
                     self->mode->flag);
    if (rc == 0 && !(self->target = change_target_new(self->conf, why, why_size)))
        rc = -1;
    if (rc == 0 && !(self->batch = change_batch_new(self->target)))
        rc = rl_fail(why, why_size, "out of memory");
    if (rc != 0) {
        change_run_destroy(&self);
        return NULL;
    }
    if (change_log_writer_is_first(change_target_writer(self->target)))
        self->first_ready_us = rl_now_us() + FIRST_US;
    struct timeval period = {0, LOOK_MS * 1000};
    event_add(self->look, &period);
    rl_proc_on_stop(proc, on_stop, self);
    change_again(self);
    return self;
}

void change_run_destroy(change_run_t **self_p)
{
    change_run_t *self = *self_p;
    if (!self)
        return;
    change_merge_wait(self);
    change_lines_close(self);
    change_files_close(self);
    change_sync_close(self);
    change_batch_destroy(&self->batch);
    change_target_destroy(&self->target);
    if (self->again)
        event_free(self->again);
    if (self->look)
        event_free(self->look);
    free(self);
    *self_p = NULL;
}
