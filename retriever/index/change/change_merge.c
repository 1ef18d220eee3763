// change_merge: decides when to merge, and runs the merge in a thread.
#include "change_merge.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

enum {
    // Changes that are merged: at least so many, or this share of the collection. A search looks
    // through all passages added (10,000 x 384: about 0.5 ms), a merge writes all passages anew.
    LEAST_CHANGES = 10000,
    SHARE = 10, // one in
    MOST_BYTES = 256 << 20,
    BEHIND = 4, // times that: further changes wait for the merge
    NICE = 19,
    RETRY_US = 30000000, // after one that failed
};

struct change_merge {
    change_target_t *target;
    bool running;
    atomic_bool ended; // it has, and its end is to be taken
    pthread_t thread;
    generation_merged_t merged;
    int rc;
    char why[1024];
    uint64_t retry_us; // none is started before
};

change_merge_t *change_merge_new(change_target_t *target)
{
    change_merge_t *self = rl_new(*self);
    self->target = target;
    return self;
}

void change_merge_destroy(change_merge_t **self_p)
{
    if (*self_p)
        change_merge_wait(*self_p);
    free(*self_p);
    *self_p = NULL;
}

static uint64_t merge_limit(const change_merge_t *self)
{
    uint64_t limit = (uint64_t)rl_conf_int(self->target->conf, "index.merge_changes");
    uint64_t share = self->target->manifest->contents.passages / SHARE;
    return limit ? limit : share > LEAST_CHANGES ? share : LEAST_CHANGES;
}

static uint64_t unmerged_changes(const change_merge_t *self, uint64_t last)
{
    uint64_t merged = self->target->manifest->contents.changes;
    return last > merged ? last - merged : 0;
}

static uint64_t unmerged_bytes(const change_merge_t *self)
{
    return change_log_bytes(self->target->folder, self->target->manifest->contents.changes);
}

bool change_merge_is_running(const change_merge_t *self)
{
    return self->running;
}

bool change_merge_is_behind(const change_merge_t *self, uint64_t last)
{
    return self->running && (unmerged_changes(self, last) > BEHIND * merge_limit(self) ||
                             unmerged_bytes(self) > (uint64_t)BEHIND * MOST_BYTES);
}

int change_merge_result(const change_merge_t *self, generation_merged_t *merged)
{
    *merged = self->merged;
    return self->rc;
}

static void *run_merge(void *arg)
{
    change_merge_t *self = arg;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    self->rc = generation_merge(self->target->folder, NULL, NULL, &self->merged, self->why,
                                sizeof self->why);
    atomic_store(&self->ended, true);
    return NULL;
}

static void start_merge(change_merge_t *self)
{
    sigset_t all, before; // signals are the loop's
    sigfillset(&all);
    atomic_store(&self->ended, false);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    self->running = pthread_create(&self->thread, NULL, run_merge, self) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void change_merge_wait(change_merge_t *self)
{
    char why[512];
    if (!self->running)
        return;
    pthread_join(self->thread, NULL);
    self->running = false;
    if (self->rc < 0) {
        rl_warn("the changes are not merged: %s", self->why);
        self->retry_us = rl_now_us() + RETRY_US;
    } else if (self->rc > 0) {
        rl_info("merged: %s holds the changes up to number %" PRIu64 ", %" PRIu64 " passages",
                self->merged.generation, self->merged.changes, self->merged.passages);
    }
    if (change_target_refresh(self->target, why, sizeof why) != 0)
        rl_warn("%s", why);
}

void change_merge_poll(change_merge_t *self, uint64_t last, bool anyway)
{
    if (self->running && atomic_load(&self->ended))
        change_merge_wait(self);
    if (self->running || rl_now_us() < self->retry_us)
        return;
    if (anyway || unmerged_changes(self, last) >= merge_limit(self) ||
        unmerged_bytes(self) > MOST_BYTES)
        start_merge(self);
}
