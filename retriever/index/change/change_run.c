// change_run: turns, batches and ends of a run that changes a collection.
#include "change_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

enum {
    POLL_MS = 200,
    // No answer is given before this time after a collection's log of changes was made: retrievers
    // then have found it, and gateways have heard of it by their announcements, so that what a
    // gateway has cached is compared with the log when the first change is acknowledged.
    FIRST_US = 2000000,
};

// ---- ends ---------------------------------------------------------------------------------------

void change_run_end(change_run_t *self, int status)
{
    if (self->ended)
        return;
    self->ended = true;
    change_merge_poll(self->merge, self->last, false);
    if (change_merge_is_running(self->merge)) {
        rl_info("the changes are in force; merging them into a new generation, which can be "
                "interrupted");
        fflush(stdout);
    }
    change_merge_wait(self->merge);
    rl_proc_end(self->proc, status);
}

void change_run_fail(change_run_t *self, const char *why)
{
    if (self->ended)
        return;
    rl_error("%s", why);
    self->ended = true;
    rl_proc_end(self->proc, BUILD_FAILED);
}

int change_run_status(change_run_t *self)
{
    char why[512];
    bool whole = self->wrong + report_faults(self->report) == 0;
    if (report_finish(self->report, why, sizeof why) != 0) {
        rl_error("%s", why);
        return BUILD_PARTS;
    }
    if (whole)
        return BUILD_WHOLE;
    return self->done > 0 || self->sync ? BUILD_PARTS : BUILD_FAILED;
}

// Only what was committed is in force. A merge that is broken off leaves nothing behind.
static void on_stop(void *arg)
{
    change_run_t *self = arg;
    self->stopping = true;
    if (change_merge_is_running(self->merge))
        exit(BUILD_INTERRUPTED);
    if (!self->committing)
        change_run_end(self, BUILD_INTERRUPTED);
}

// ---- turns --------------------------------------------------------------------------------------

void change_run_schedule(change_run_t *self)
{
    if (!self->ended)
        event_active(self->turn, EV_TIMEOUT, 1);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    change_run_t *self = arg;
    char why[512];
    (void)fd, (void)what;
    if (self->ended || self->committing)
        return;
    if (change_merge_is_behind(self->merge, self->last))
        return; // on_poll comes back
    if (change_target_refresh(self->target, why, sizeof why) != 0)
        change_run_fail(self, why);
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
    change_merge_poll(self->merge, self->last, false);
    if (why)
        change_run_fail(self, why);
    else if (self->stopping)
        change_run_end(self, BUILD_INTERRUPTED);
    else
        change_run_schedule(self);
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
    event_base_once(rl_proc_base(self->proc), -1, EV_TIMEOUT, on_ready, self, &wait);
}

void change_run_commit(change_run_t *self)
{
    self->committing = true;
    change_batch_run(self->batch, rl_proc_base(self->proc), on_committed, self);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    change_run_t *self = arg;
    (void)fd, (void)what;
    bool behind = change_merge_is_behind(self->merge, self->last);
    change_merge_poll(self->merge, self->last, false);
    if (behind && !change_merge_is_behind(self->merge, self->last))
        change_run_schedule(self);
}

void change_run_report_wrong(change_run_t *self)
{
    for (size_t at = 0; at < change_batch_size(self->batch); at++) {
        const change_item_t *item = change_batch_at(self->batch, at);
        if (item->why)
            report_add(self->report, REPORT_PROBLEM, REPORT_LEFT_OUT, item->name, 0, item->why);
        else if (item->refusal)
            report_add(self->report, REPORT_EMBEDDING, REPORT_IN_PART, item->name, 0,
                       item->refusal);
    }
}

void change_run_start(change_run_t *self)
{
    struct event_base *base = rl_proc_base(self->proc);
    struct timeval period = {0, POLL_MS * 1000};
    if (!self->target->roots && (self->mode == &change_add_mode || self->mode == &change_sync_mode))
        rl_warn(
            "%s was built by a version that recorded no roots: a document's id is its name below "
            "the folder named here (of a file, its last part), and it takes the place of any "
            "other with that; ids are paths once it is built again",
            self->target->folder);
    self->batch = change_batch_new(self->target);
    self->merge = change_merge_new(self->target);
    self->turn = rl_must(event_new(base, -1, 0, on_turn, self));
    self->poll = rl_must(event_new(base, -1, EV_PERSIST, on_poll, self));
    if (change_log_writer_is_first(self->target->writer))
        self->first_ready_us = rl_now_us() + FIRST_US;
    event_add(self->poll, &period);
    rl_proc_on_stop(self->proc, on_stop, self);
    change_run_schedule(self);
}
