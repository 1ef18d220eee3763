// follow: the log into the deltas.
#include "follow.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "files.h"
#include "log.h"

enum {
    LOOK_MS = 1000,        // where the kernel does not tell of changes (a network's file system)
    LOOK_OFTEN_MS = 250,   // where it cannot be asked to
    AGAIN_AFTER_MS = 1000, // what is damaged is not looked at again at once
};

struct rl_follow {
    char folder[RL_PATH_MAX];
    const rl_store_t *store;
    rl_delta_t **deltas; // by shard
    rl_field_types_t *fields;
    pthread_mutex_t mutex; // of who applies
    rl_changes_reader_t *reader;
    atomic_uint_fast64_t number;
    atomic_bool has_log, broken;
    char why[1024]; // what is broken
    bool following;
    pthread_t thread;
    int stop, watch;
};

// ---- applying; the mutex is held
// --------------------------------------------------------------------

static int apply_to(rl_follow_t *self, uint64_t shard, const rl_change_t *changes, size_t size,
                    uint64_t last)
{
    rl_delta_t *delta = self->deltas[shard];
    rl_delta_batch_t *batch = rl_delta_prepare(delta, changes, size, self->why, sizeof self->why);
    if (!batch)
        return -1;
    if (rl_delta_apply(delta, &batch, last) != 0)
        return rl_fail(self->why, sizeof self->why,
                       "%s: out of memory for changes; merge them into a new generation "
                       "(ragline-index --merge)",
                       self->folder);
    return 0;
}

// Filters can name the fields of what was added.
static void note_fields(rl_follow_t *self, const rl_change_t *changes, size_t size)
{
    for (size_t each = 0; each < size; each++)
        for (size_t at = 0; at < changes[each].passages_size; at++)
            rl_field_types_note(self->fields, &changes[each].passages[at]);
}

static int break_off(rl_follow_t *self)
{
    if (!atomic_exchange(&self->broken, true))
        rl_error("%s; nothing is searched here until that is put right", self->why);
    return -1;
}

static int apply_pending(rl_follow_t *self, bool *gone)
{
    const rl_change_t *changes;
    size_t size;
    uint64_t first;
    const uint64_t shards = rl_store_manifest(self->store)->shards;
    for (;;) {
        rl_changes_next_t next = rl_changes_reader_next(self->reader, &changes, &size, &first,
                                                        self->why, sizeof self->why);
        atomic_store(&self->has_log, rl_changes_reader_has_log(self->reader));
        if (next == RL_CHANGES_NONE)
            return 0;
        *gone = next == RL_CHANGES_GONE;
        if (*gone)
            rl_fail(self->why, sizeof self->why,
                    "%s: changes behind number %" PRIu64
                    " are no longer there for generation %s, only for newer ones",
                    self->folder, rl_changes_reader_at(self->reader),
                    rl_store_manifest(self->store)->generation);
        if (next != RL_CHANGES_FRAME_IS)
            return -1;
        for (uint64_t shard = 0; shard < shards; shard++)
            if (self->deltas[shard] && apply_to(self, shard, changes, size, first + size - 1) != 0)
                return -1;
        note_fields(self, changes, size);
        atomic_store(&self->number, first + size - 1);
    }
}

int rl_follow_look(rl_follow_t *self, char *why, size_t why_size)
{
    bool gone = false;
    int rc = 0;
    pthread_mutex_lock(&self->mutex);
    if (atomic_load(&self->broken))
        rc = -1;
    else if (rl_changes_reader_look(self->reader) && apply_pending(self, &gone) != 0)
        rc = break_off(self);
    if (rc != 0)
        rl_fail(why, why_size, "%s", self->why);
    pthread_mutex_unlock(&self->mutex);
    return rc;
}

// ---- following
// ------------------------------------------------------------------------------------

static void watch_folders(rl_follow_t *self)
{
    char path[RL_PATH_MAX];
    if (self->watch < 0)
        return;
    inotify_add_watch(self->watch, self->folder, IN_CREATE);
    if (rl_path(path, "%s/" RL_CHANGES_FOLDER, self->folder) == 0)
        inotify_add_watch(self->watch, path, IN_MODIFY | IN_MOVED_TO); // none yet: the other tells
}

static void *follow_log(void *arg)
{
    rl_follow_t *self = arg;
    char events[4096], why[64];
    struct pollfd polled[] = {{self->stop, POLLIN, 0}, {self->watch, POLLIN, 0}};
    watch_folders(self);
    for (;;) {
        int wait = self->watch < 0 ? LOOK_OFTEN_MS : LOOK_MS;
        bool had_log = atomic_load(&self->has_log);
        rl_follow_look(self, why, sizeof why);
        if (!had_log)
            watch_folders(self);
        poll(polled, self->watch < 0 ? 1 : 2, atomic_load(&self->broken) ? AGAIN_AFTER_MS : wait);
        if (polled[0].revents)
            return NULL;
        if (self->watch >= 0 && polled[1].revents && read(self->watch, events, sizeof events) < 0 &&
            errno != EAGAIN && errno != EINTR) {
            close(self->watch); // looked at now and then instead
            self->watch = -1;
        }
    }
}

int rl_follow_start(rl_follow_t *self, char *why, size_t why_size)
{
    sigset_t all, before; // signals are the loop's
    self->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (self->stop < 0)
        return rl_fail(why, why_size, "%s: %s", self->folder, strerror(errno));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    self->following = pthread_create(&self->thread, NULL, follow_log, self) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return self->following ? 0 : rl_fail(why, why_size, "%s: no thread for it", self->folder);
}

// ---- making
// ---------------------------------------------------------------------------------------

rl_follow_t *rl_follow_new(const char *folder, const rl_store_t *store,
                           const rl_follow_options_t *options, bool *gone, char *why,
                           size_t why_size)
{
    const rl_manifest_t *said = rl_store_manifest(store);
    rl_follow_t *self = calloc(1, sizeof *self);
    *gone = false;
    if (!self || rl_path(self->folder, "%s", folder) != 0) {
        rl_fail(why, why_size, "%s: out of memory, or its path is too long", folder);
        free(self);
        return NULL;
    }
    pthread_mutex_init(&self->mutex, NULL);
    self->stop = self->watch = -1;
    self->store = store;
    atomic_init(&self->number, said->changes);
    self->reader = rl_changes_reader_new(folder, said->changes);
    self->deltas = calloc(said->shards, sizeof(rl_delta_t *));
    self->fields = rl_field_types_new(said->fields);
    int rc = self->reader && self->deltas && self->fields
                 ? 0
                 : rl_fail(why, why_size, "%s: out of memory", folder);
    for (uint64_t shard = 0; rc == 0 && shard < said->shards; shard++)
        if (options->serves(options->arg, shard)) {
            self->deltas[shard] = rl_delta_new(store, shard, &options->kinds, why, why_size);
            rc = self->deltas[shard] ? 0 : -1;
        }
    if (rc == 0 && apply_pending(self, gone) != 0)
        rc = rl_fail(why, why_size, "%s", self->why);
    if (rc != 0)
        rl_follow_destroy(&self);
    return self;
}

void rl_follow_destroy(rl_follow_t **self_p)
{
    rl_follow_t *self = *self_p;
    uint64_t one = 1;
    if (!self)
        return;
    if (self->following) {
        if (write(self->stop, &one, sizeof one) != (ssize_t)sizeof one)
            abort(); // an eventfd takes 2^64 - 2 of them
        pthread_join(self->thread, NULL);
    }
    for (uint64_t shard = 0; self->deltas && shard < rl_store_manifest(self->store)->shards;
         shard++)
        rl_delta_destroy(&self->deltas[shard]);
    free(self->deltas);
    rl_field_types_destroy(&self->fields);
    rl_changes_reader_destroy(&self->reader);
    if (self->stop >= 0)
        close(self->stop);
    if (self->watch >= 0)
        close(self->watch);
    pthread_mutex_destroy(&self->mutex);
    free(self);
    *self_p = NULL;
}

// ---- looking
// --------------------------------------------------------------------------------------

bool rl_follow_has_log(const rl_follow_t *self)
{
    return atomic_load(&self->has_log);
}

uint64_t rl_follow_number(const rl_follow_t *self)
{
    return atomic_load(&self->number);
}

rl_field_types_t *rl_follow_fields(const rl_follow_t *self)
{
    return self->fields;
}

rl_delta_t *rl_follow_delta(const rl_follow_t *self, uint64_t shard)
{
    return self->deltas[shard];
}
