// text_build: threads write segment after segment, which are merged at the end.
//
// Merging copies sorted lists into a database whose blocks are full. Adding all to one database
// instead would go through its growing tables with every flush, and by one thread only.
#include "text_build.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "files.h"
#include "mem.h"
#include "passages.h"
#include "text_index.h"

enum {
    SEGMENT = 48 << 20,  // bytes of passages in a segment, about
    WORTH_IT = 8 << 20,  // bytes of passages from which several threads share the work
    MERGED = 32,         // segments that become one at a time: each has several open files
    BATCH = 64,          // passages read at a time
    MAX_THREADS = 8,     // each needs memory for a segment
    LOOK_NS = 200000000, // between two looks at the progress of a merge
};

typedef struct building {
    const char *folder, *language;
    uint64_t count;
    passages_t *passages;
    uint64_t segments;
    pthread_mutex_t lock; // for all below
    pthread_cond_t changed;
    uint64_t next;  // segment to be taken
    uint64_t done;  // passages
    size_t working; // threads
    bool failed;
    char why[FILE_PATH_MAX];
} building_t;

// FOLDER/text.LEVEL.NUMBER, or where all ends up.
static int segment_path(const building_t *self, unsigned level, uint64_t number, uint64_t of,
                        char *path)
{
    if (of == 1)
        return path_format(path, "%s/" TEXT_FOLDER, self->folder);
    return path_format(path, "%s/" TEXT_FOLDER ".%u.%" PRIu64, self->folder, level, number);
}

static void fail_build(building_t *self, const char *path, const char *what)
{
    pthread_mutex_lock(&self->lock);
    if (!self->failed)
        rl_fail(self->why, sizeof self->why, "%.2000s: %.2000s", path, what);
    self->failed = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

// Adds passages [from, to) as docids from `first` on. Returns 0, or -1 with `why`.
static int add_batch(const building_t *self, text_writer_t *writer, uint64_t from, uint64_t to,
                     uint64_t first, char *why, size_t why_size)
{
    uint64_t ids[BATCH];
    rl_passage_t passages[BATCH];
    void *memory = NULL;
    size_t size = (size_t)(to - from);
    for (size_t at = 0; at < size; at++)
        ids[at] = from + at + 1;
    if (passages_get(self->passages, ids, size, passages, &memory, why, why_size) != 0)
        return -1;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < size; at++)
        rc = text_writer_add(writer, first + at, passages[at].title, passages[at].heading,
                             passages[at].text, why, why_size);
    free(memory);
    return rc;
}

// Returns whether to go on.
static bool write_segment(building_t *self, uint64_t segment)
{
    char path[FILE_PATH_MAX], why[FILE_PATH_MAX];
    uint64_t from = self->count * segment / self->segments;
    uint64_t end = self->count * (segment + 1) / self->segments;
    segment_path(self, 0, segment, self->segments, path);
    text_writer_t *writer = text_writer_new(path, self->language, why, sizeof why);
    int rc = writer ? 0 : -1;
    for (uint64_t at = from; rc == 0 && at < end; at += BATCH) {
        uint64_t to = end - at < BATCH ? end : at + BATCH;
        rc = add_batch(self, writer, at, to, at - from + 1, why, sizeof why);
        pthread_mutex_lock(&self->lock);
        self->done += to - at;
        bool given_up = self->failed;
        pthread_cond_signal(&self->changed);
        pthread_mutex_unlock(&self->lock);
        if (given_up) {
            text_writer_destroy(&writer);
            return false;
        }
    }
    if (rc == 0)
        rc = text_writer_finish(&writer, why, sizeof why);
    text_writer_destroy(&writer);
    if (rc != 0)
        fail_build(self, path, why);
    return rc == 0;
}

static void *write_loop(void *arg)
{
    building_t *self = arg;
    bool on = true;
    while (on) {
        pthread_mutex_lock(&self->lock);
        uint64_t segment = self->next < self->segments && !self->failed ? self->next++ : UINT64_MAX;
        pthread_mutex_unlock(&self->lock);
        on = segment != UINT64_MAX && write_segment(self, segment);
    }
    pthread_mutex_lock(&self->lock);
    self->working--;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

static int write_segments(building_t *self, size_t threads, text_progress_fn *progress, void *arg)
{
    pthread_t thread[MAX_THREADS];
    size_t started = 0;
    if (threads > self->segments)
        threads = (size_t)self->segments;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    pthread_mutex_lock(&self->lock);
    for (; started < threads; started++, self->working++)
        if (pthread_create(&thread[started], NULL, write_loop, self) != 0)
            break;
    if (started == 0) {
        self->failed = true;
        rl_fail(self->why, sizeof self->why, "%s: no thread can be started", self->folder);
    }
    while (self->working > 0) {
        uint64_t done = self->done;
        pthread_mutex_unlock(&self->lock);
        if (progress)
            progress(arg, "text", done, self->count);
        pthread_mutex_lock(&self->lock);
        if (self->working > 0 && self->done == done)
            pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    for (size_t at = 0; at < started; at++)
        pthread_join(thread[at], NULL);
    return self->failed ? -1 : 0;
}

// ---- merging ------------------------------------------------------------------------------------

typedef struct merging {
    building_t *building;
    unsigned level;
    uint64_t from, to, of; // segments of the level, and how many there will be of the next
    uint64_t number;       // in the next level
} merging_t;

static int add_bytes(void *arg, const char *name, uint64_t size)
{
    (void)name;
    *(uint64_t *)arg += size;
    return 0;
}

static uint64_t bytes_of(const char *path)
{
    uint64_t bytes = 0;
    folder_files(path, add_bytes, &bytes);
    return bytes;
}

static void *merge_group(void *arg)
{
    merging_t *merging = arg;
    building_t *self = merging->building;
    char paths[MERGED][FILE_PATH_MAX], out[FILE_PATH_MAX], why[FILE_PATH_MAX];
    const char *from[MERGED];
    size_t size = (size_t)(merging->to - merging->from);
    for (size_t at = 0; at < size; at++) {
        segment_path(self, merging->level, merging->from + at, UINT64_MAX, paths[at]);
        from[at] = paths[at];
    }
    segment_path(self, merging->level + 1, merging->number, merging->of, out);
    if (text_merge(from, size, out, why, sizeof why) != 0)
        fail_build(self, out, why);
    for (size_t at = 0; at < size; at++)
        folder_remove(paths[at]);
    pthread_mutex_lock(&self->lock);
    self->working--;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

// Merges in a thread of its own, while this one reports how large the result has become.
static int watch_merge(building_t *self, merging_t *merging, uint64_t *done, uint64_t total,
                       text_progress_fn *progress, void *arg)
{
    char path[FILE_PATH_MAX];
    pthread_t thread;
    uint64_t bytes = 0;
    for (uint64_t at = merging->from; at < merging->to; at++) {
        segment_path(self, merging->level, at, UINT64_MAX, path);
        bytes += bytes_of(path);
    }
    segment_path(self, merging->level + 1, merging->number, merging->of, path);
    self->working = 1;
    if (pthread_create(&thread, NULL, merge_group, merging) != 0)
        return rl_fail(self->why, sizeof self->why, "%s: no thread can be started", self->folder);
    pthread_mutex_lock(&self->lock);
    while (self->working > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOOK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&self->changed, &self->lock, &until);
        pthread_mutex_unlock(&self->lock);
        uint64_t now = bytes_of(path);
        if (progress)
            progress(arg, "merging", *done + (now < bytes ? now : bytes), total);
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    pthread_join(thread, NULL);
    *done += bytes;
    return self->failed ? -1 : 0;
}

static int merge_segments(building_t *self, text_progress_fn *progress, void *arg)
{
    char path[FILE_PATH_MAX];
    int rc = 0;
    uint64_t have = self->segments;
    for (unsigned level = 0; rc == 0 && have > 1; level++) {
        uint64_t next = (have + MERGED - 1) / MERGED, done = 0, total = 0;
        for (uint64_t at = 0; at < have; at++) {
            segment_path(self, level, at, UINT64_MAX, path);
            total += bytes_of(path);
        }
        for (uint64_t at = 0; rc == 0 && at < next; at++) {
            merging_t merging = {self, level, have * at / next, have * (at + 1) / next, next, at};
            rc = watch_merge(self, &merging, &done, total, progress, arg);
        }
        have = next;
    }
    return rc;
}

// ---- all of it ----------------------------------------------------------------------------------

// How many segments, by the size of passages.bin.
static uint64_t count_segments(const char *folder, uint64_t count, size_t threads)
{
    char path[FILE_PATH_MAX];
    uint64_t bytes = 0;
    if (path_format(path, "%s/" PASSAGES_BIN, folder) != 0 || file_size(path, &bytes) != 0 ||
        bytes <= WORTH_IT)
        return 1;
    uint64_t segments = (bytes + SEGMENT - 1) / SEGMENT;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    if (threads > 1)
        segments = (segments + threads - 1) / threads * threads; // none waits for the last one
    return segments < count ? segments : count;
}

int text_build(const char *folder, const char *language, uint64_t count, size_t threads,
               text_progress_fn *progress, void *arg, char *why, size_t why_size)
{
    building_t *self = rl_new(*self);
    self->folder = folder;
    self->language = language;
    self->count = count;
    self->segments = count_segments(folder, count, threads);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    self->passages = passages_open(folder, count, self->why, sizeof self->why);
    int rc = self->passages ? 0 : -1;
    if (rc == 0)
        rc = write_segments(self, threads ? threads : 1, progress, arg);
    if (rc == 0)
        rc = merge_segments(self, progress, arg);
    if (rc != 0)
        rl_fail(why, why_size, "%s", self->why);
    passages_close(&self->passages);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
    return rc;
}
