// log_tailer: applies the change log to the deltas of the shards.
#include "log_tailer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "files.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

enum {
    POLL_MS = 1000,        // for changes that inotify does not report (a network's file system)
    POLL_OFTEN_MS = 250,   // where there is no inotify
    POLL_BROKEN_MS = 1000, // a log that is damaged
};

struct log_tailer {
    char *folder;
    const store_t *store;
    delta_t **deltas; // by shard
    field_types_t *fields;
    pthread_mutex_t mutex; // held while changes are applied
    change_log_reader_t *reader;
    atomic_uint_fast64_t number;
    atomic_bool has_log, broken;
    char why[1024]; // what is broken
    bool following;
    pthread_t thread;
    int stop, watch;
};

// ---- applying; the mutex is held ----------------------------------------------------------------

static int apply_to(log_tailer_t *self, uint64_t shard, const change_t *changes, size_t size,
                    uint64_t last)
{
    delta_t *delta = self->deltas[shard];
    delta_batch_t *batch = delta_prepare(delta, changes, size, self->why, sizeof self->why);
    if (!batch)
        return -1;
    delta_apply(delta, &batch, last);
    return 0;
}

// Filters can name the fields of what was added.
static void note_fields(log_tailer_t *self, const change_t *changes, size_t size)
{
    for (size_t each = 0; each < size; each++)
        for (size_t at = 0; at < changes[each].passages_size; at++)
            field_types_note(self->fields, &changes[each].passages[at]);
}

static int break_off(log_tailer_t *self)
{
    if (!atomic_exchange(&self->broken, true))
        rl_error("%s; nothing is searched here until that is put right", self->why);
    return -1;
}

static int apply_pending(log_tailer_t *self, bool *gone)
{
    const change_t *changes;
    size_t size;
    uint64_t first;
    const uint64_t shards = store_manifest(self->store)->shards;
    for (;;) {
        change_log_next_t next = change_log_reader_next(self->reader, &changes, &size, &first,
                                                        self->why, sizeof self->why);
        atomic_store(&self->has_log, change_log_reader_has_log(self->reader));
        if (next == CHANGE_LOG_NONE)
            return 0;
        *gone = next == CHANGE_LOG_GONE;
        if (*gone)
            rl_fail(self->why, sizeof self->why,
                    "%s: changes behind number %" PRIu64
                    " are no longer there for generation %s, only for newer ones",
                    self->folder, change_log_reader_at(self->reader),
                    store_manifest(self->store)->generation);
        if (next != CHANGE_LOG_FRAME)
            return -1;
        for (uint64_t shard = 0; shard < shards; shard++)
            if (self->deltas[shard] && apply_to(self, shard, changes, size, first + size - 1) != 0)
                return -1;
        note_fields(self, changes, size);
        atomic_store(&self->number, first + size - 1);
    }
}

int log_tailer_poll(log_tailer_t *self, char *why, size_t why_size)
{
    bool gone = false;
    int rc = 0;
    pthread_mutex_lock(&self->mutex);
    if (atomic_load(&self->broken))
        rc = -1;
    else if (change_log_reader_has_more(self->reader) && apply_pending(self, &gone) != 0)
        rc = break_off(self);
    if (rc != 0)
        rl_fail(why, why_size, "%s", self->why);
    pthread_mutex_unlock(&self->mutex);
    return rc;
}

// ---- following ----------------------------------------------------------------------------------

static void watch_folders(log_tailer_t *self)
{
    char path[FILE_PATH_MAX];
    if (self->watch < 0)
        return;
    inotify_add_watch(self->watch, self->folder, IN_CREATE);
    if (path_format(path, "%s/" CHANGE_LOG_FOLDER, self->folder) == 0)
        inotify_add_watch(self->watch, path, IN_MODIFY | IN_MOVED_TO); // if it is there already
}

static void *follow_log(void *arg)
{
    log_tailer_t *self = arg;
    char events[4096], why[64];
    struct pollfd polled[] = {{self->stop, POLLIN, 0}, {self->watch, POLLIN, 0}};
    watch_folders(self);
    for (;;) {
        int wait = self->watch < 0 ? POLL_OFTEN_MS : POLL_MS;
        bool had_log = atomic_load(&self->has_log);
        log_tailer_poll(self, why, sizeof why);
        if (!had_log)
            watch_folders(self);
        poll(polled, self->watch < 0 ? 1 : 2, atomic_load(&self->broken) ? POLL_BROKEN_MS : wait);
        if (polled[0].revents)
            return NULL;
        if (self->watch >= 0 && polled[1].revents && read(self->watch, events, sizeof events) < 0 &&
            errno != EAGAIN && errno != EINTR) {
            close(self->watch); // polled instead
            self->watch = -1;
        }
    }
}

int log_tailer_start(log_tailer_t *self, char *why, size_t why_size)
{
    self->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (self->stop < 0)
        return rl_fail(why, why_size, "%s: %s", self->folder, strerror(errno));
    self->following = thread_start(&self->thread, follow_log, self);
    return self->following ? 0 : rl_fail(why, why_size, "%s: no thread for it", self->folder);
}

// ---- making -------------------------------------------------------------------------------------

log_tailer_t *log_tailer_new(const char *folder, const store_t *store,
                             const log_tailer_options_t *options, bool *gone, char *why,
                             size_t why_size)
{
    const manifest_t *manifest = store_manifest(store);
    log_tailer_t *self = rl_new(*self);
    *gone = false;
    self->folder = rl_strdup(folder);
    pthread_mutex_init(&self->mutex, NULL);
    self->stop = self->watch = -1;
    self->store = store;
    atomic_init(&self->number, manifest->changes);
    self->reader = change_log_reader_new(folder, manifest->changes);
    self->deltas = rl_alloc_array(manifest->shards, sizeof(delta_t *));
    self->fields = field_types_new(manifest->fields);
    for (uint64_t shard = 0; shard < manifest->shards; shard++)
        if (options->serves(options->arg, shard))
            self->deltas[shard] = delta_new(store, shard, &options->kinds);
    if (apply_pending(self, gone) != 0) {
        rl_fail(why, why_size, "%s", self->why);
        log_tailer_destroy(&self);
    }
    return self;
}

void log_tailer_destroy(log_tailer_t **self_p)
{
    log_tailer_t *self = *self_p;
    uint64_t one = 1;
    if (!self)
        return;
    if (self->following) {
        if (write(self->stop, &one, sizeof one) != (ssize_t)sizeof one)
            abort(); // an eventfd takes 2^64 - 2 of them
        pthread_join(self->thread, NULL);
    }
    for (uint64_t shard = 0; shard < store_manifest(self->store)->shards; shard++)
        delta_destroy(&self->deltas[shard]);
    free(self->deltas);
    field_types_destroy(&self->fields);
    change_log_reader_destroy(&self->reader);
    if (self->stop >= 0)
        close(self->stop);
    if (self->watch >= 0)
        close(self->watch);
    pthread_mutex_destroy(&self->mutex);
    free(self->folder);
    free(self);
    *self_p = NULL;
}

// ---- reading ------------------------------------------------------------------------------------

bool log_tailer_has_log(const log_tailer_t *self)
{
    return atomic_load(&self->has_log);
}

uint64_t log_tailer_number(const log_tailer_t *self)
{
    return atomic_load(&self->number);
}

field_types_t *log_tailer_fields(const log_tailer_t *self)
{
    return self->fields;
}

delta_t *log_tailer_delta(const log_tailer_t *self, uint64_t shard)
{
    return self->deltas[shard];
}
