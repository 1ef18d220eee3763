// change_merge: the merge, in a thread that yields to everything else on the machine.
#include "change_private.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "files.h"
#include "log.h"

enum {
    // Changes that are merged: at least so many, or this share of the collection. A search looks
    // through all passages added (10,000 x 384: about 0.5 ms), a merge writes all passages anew.
    LEAST = 10000,
    SHARE = 10, // one in
    MOST_BYTES = 256 << 20,
    BEHIND = 4, // times that: further changes wait for the merge
    NICE = 19,
    AGAIN_US = 30000000, // after one that failed
};

static uint64_t limit_of(const change_run_t *self)
{
    uint64_t limit = (uint64_t)rl_conf_int(self->conf, "index.merge_changes");
    uint64_t share = change_target_passages(self->target) / SHARE;
    return limit ? limit : share > LEAST ? share : LEAST;
}

static uint64_t unmerged(const change_run_t *self)
{
    uint64_t merged = change_target_merged(self->target);
    return self->last > merged ? self->last - merged : 0;
}

static uint64_t unmerged_bytes(const change_run_t *self)
{
    return change_log_bytes(change_target_folder(self->target), change_target_merged(self->target));
}

bool change_merge_is_behind(const change_run_t *self)
{
    return self->merging && (unmerged(self) > BEHIND * limit_of(self) ||
                             unmerged_bytes(self) > (uint64_t)BEHIND * MOST_BYTES);
}

static void *merge(void *arg)
{
    change_run_t *self = arg;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    self->merge_rc = store_merge(change_target_folder(self->target), NULL, NULL, &self->merge,
                                 self->merge_why, sizeof self->merge_why);
    atomic_store(&self->merged, true);
    return NULL;
}

static void start(change_run_t *self)
{
    sigset_t all, before; // signals are the loop's
    sigfillset(&all);
    atomic_store(&self->merged, false);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    self->merging = pthread_create(&self->merger, NULL, merge, self) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void take_end(change_run_t *self)
{
    char why[512];
    pthread_join(self->merger, NULL);
    self->merging = false;
    if (self->merge_rc < 0) {
        rl_warn("the changes are not merged: %s", self->merge_why);
        self->merge_again_us = rl_now_us() + AGAIN_US;
    } else if (self->merge_rc > 0) {
        rl_info("merged: %s holds the changes up to number %llu, %llu passages",
                self->merge.generation, (unsigned long long)self->merge.changes,
                (unsigned long long)self->merge.passages);
    }
    if (change_target_refresh(self->target, why, sizeof why) != 0)
        rl_warn("%s", why);
}

void change_merge_look(change_run_t *self, bool anyway)
{
    if (self->merging && atomic_load(&self->merged))
        take_end(self);
    if (self->merging || rl_now_us() < self->merge_again_us)
        return;
    if (anyway || unmerged(self) >= limit_of(self) || unmerged_bytes(self) > MOST_BYTES)
        start(self);
}

void change_merge_wait(change_run_t *self)
{
    if (self->merging)
        take_end(self);
}
