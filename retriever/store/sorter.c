// sorter: puts records in byte order, more of them than memory holds.
#include "sorter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "mem.h"

enum {
    HEAD = sizeof(uint32_t),                     // before each record: its size
    WINDOW = 2 * (SORTER_MAX_RECORD + HEAD) + 1, // bytes of a run that are in memory
};

// A sorted stretch of the file, while it is merged.
typedef struct run {
    uint64_t at, end; // of the file: what is not read yet
    uint8_t *window;
    size_t from, size; // of the window: the record at hand and what is behind it
} run_t;

struct sorter {
    char *folder;
    uint8_t *room; // records from the front; from the back, their places
    size_t room_size, used, records;
    FILE *file; // of the runs; NULL until there is one
    uint64_t written;
    run_t *runs;
    size_t runs_size;
    size_t *heap; // numbers of the runs that have a record at hand, the least first
    size_t heap_size;
    size_t next; // of the records in memory, when there are no runs
};

sorter_t *sorter_new(const char *folder, size_t room)
{
    sorter_t *self = rl_new(*self);
    self->folder = rl_strdup(folder);
    self->room_size = room / sizeof(uint32_t) * sizeof(uint32_t);
    self->room = rl_alloc(self->room_size);
    return self;
}

void sorter_destroy(sorter_t **self_p)
{
    sorter_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->runs_size; at++)
        free(self->runs[at].window);
    if (self->file)
        fclose(self->file);
    free(self->folder);
    free(self->runs);
    free(self->heap);
    free(self->room);
    free(self);
    *self_p = NULL;
}

static uint32_t size_at(const uint8_t *record)
{
    uint32_t size;
    memcpy(&size, record, sizeof size);
    return size;
}

static int compare_records(const uint8_t *one, const uint8_t *other)
{
    uint32_t size = size_at(one), others = size_at(other);
    int order = memcmp(one + HEAD, other + HEAD, size < others ? size : others);
    return order ? order : (size > others) - (size < others);
}

// ---- in memory ----------------------------------------------------------------------------------

static uint32_t *places(const sorter_t *self)
{
    return (uint32_t *)(void *)(self->room + self->room_size) - self->records;
}

static int compare_places(const void *a, const void *b, void *room)
{
    return compare_records((uint8_t *)room + *(const uint32_t *)a,
                           (uint8_t *)room + *(const uint32_t *)b);
}

static void sort_room(sorter_t *self)
{
    qsort_r(places(self), self->records, sizeof(uint32_t), compare_places, self->room);
}

// ---- laid down ----------------------------------------------------------------------------------

// A file without a name: gone when the process is, however it ends.
static int open_nameless(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char path[FILE_PATH_MAX]; // not every file system can
    if (path_format(path, "%s/.sort-XXXXXX", folder) != 0)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int fail_write(const sorter_t *self, char *why, size_t why_size)
{
    return rl_fail(why, why_size, "%s: cannot write a temporary file: %s", self->folder,
                   strerror(errno));
}

static int fail_read(const sorter_t *self, char *why, size_t why_size)
{
    return rl_fail(why, why_size, "%s: cannot read a temporary file: %s", self->folder,
                   strerror(errno));
}

// Sorts what is in memory and makes a run of it.
static int write_run(sorter_t *self, char *why, size_t why_size)
{
    if (!self->file) {
        int fd = open_nameless(self->folder);
        self->file = fd >= 0 ? fdopen(fd, "w+") : NULL;
        if (!self->file)
            return fail_write(self, why, why_size);
    }
    run_t run = {.at = self->written};
    sort_room(self);
    for (size_t at = 0; at < self->records; at++) {
        const uint8_t *record = self->room + places(self)[at];
        size_t size = HEAD + size_at(record);
        if (fwrite(record, size, 1, self->file) != 1)
            return fail_write(self, why, why_size);
        self->written += size;
    }
    if (fflush(self->file) != 0)
        return fail_write(self, why, why_size);
    run.end = self->written;
    self->runs = rl_realloc(self->runs, self->runs_size + 1, sizeof *self->runs);
    self->runs[self->runs_size++] = run;
    self->used = self->records = 0;
    return 0;
}

int sorter_add(sorter_t *self, const void *record, size_t size, char *why, size_t why_size)
{
    if (size > SORTER_MAX_RECORD)
        return rl_fail(why, why_size, "a record of %zu bytes is too large to be sorted", size);
    size_t places_size = (self->records + 1) * sizeof(uint32_t);
    if (self->used + HEAD + size + places_size > self->room_size &&
        write_run(self, why, why_size) != 0)
        return -1;
    uint32_t head = (uint32_t)size, place = (uint32_t)self->used;
    memcpy(self->room + self->used, &head, HEAD);
    memcpy(self->room + self->used + HEAD, record, size);
    self->used += HEAD + size;
    self->records++;
    *places(self) = place;
    return 0;
}

// ---- merging ------------------------------------------------------------------------------------

static const uint8_t *at_hand(const sorter_t *self, size_t run)
{
    return self->runs[run].window + self->runs[run].from;
}

// Reads on until the run has a whole record at hand: 1, 0 at its end, -1 on failure.
static int read_on(sorter_t *self, run_t *run)
{
    size_t left = run->size - run->from;
    bool whole = left >= HEAD && left >= HEAD + size_at(run->window + run->from);
    if (whole)
        return 1;
    memmove(run->window, run->window + run->from, left);
    run->from = 0;
    run->size = left;
    while (run->size < WINDOW && run->at < run->end) {
        size_t want = WINDOW - run->size;
        if (want > run->end - run->at)
            want = (size_t)(run->end - run->at);
        ssize_t got = pread(fileno(self->file), run->window + run->size, want, (off_t)run->at);
        if (got <= 0)
            return -1;
        run->size += (size_t)got;
        run->at += (uint64_t)got;
    }
    return run->size > 0;
}

static bool is_less(const sorter_t *self, size_t one, size_t other)
{
    return compare_records(at_hand(self, self->heap[one]), at_hand(self, self->heap[other])) < 0;
}

static void sink_run(sorter_t *self, size_t at)
{
    for (;;) {
        size_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < self->heap_size && is_less(self, left, least))
            least = left;
        if (right < self->heap_size && is_less(self, right, least))
            least = right;
        if (least == at)
            return;
        size_t run = self->heap[at];
        self->heap[at] = self->heap[least];
        self->heap[least] = run;
        at = least;
    }
}

int sorter_sort(sorter_t *self, char *why, size_t why_size)
{
    if (self->runs_size == 0) {
        sort_room(self);
        return 0;
    }
    if (self->records > 0 && write_run(self, why, why_size) != 0)
        return -1;
    free(self->room);
    self->room = NULL;
    self->heap = rl_alloc_array(self->runs_size, sizeof *self->heap);
    for (size_t at = 0; at < self->runs_size; at++) {
        self->runs[at].window = rl_alloc(WINDOW);
        if (read_on(self, &self->runs[at]) != 1)
            return fail_read(self, why, why_size);
        self->heap[self->heap_size++] = at;
    }
    for (size_t at = self->heap_size; at-- > 0;)
        sink_run(self, at);
    self->next = SIZE_MAX; // nothing has been handed out yet
    return 0;
}

static int next_in_room(sorter_t *self, const uint8_t **record, size_t *size)
{
    if (self->next >= self->records)
        return 0;
    const uint8_t *at = self->room + places(self)[self->next++];
    *size = size_at(at);
    *record = at + HEAD;
    return 1;
}

int sorter_next(sorter_t *self, const uint8_t **record, size_t *size, char *why, size_t why_size)
{
    if (self->runs_size == 0)
        return next_in_room(self, record, size);
    if (self->next != SIZE_MAX) { // the record handed out last is done with
        run_t *run = &self->runs[self->heap[0]];
        run->from += HEAD + size_at(run->window + run->from);
        int rc = read_on(self, run);
        if (rc < 0)
            return fail_read(self, why, why_size);
        if (rc == 0)
            self->heap[0] = self->heap[--self->heap_size];
        if (self->heap_size > 0)
            sink_run(self, 0);
    }
    self->next = 0;
    if (self->heap_size == 0) {
        self->next = SIZE_MAX;
        return 0;
    }
    const uint8_t *at = at_hand(self, self->heap[0]);
    *size = size_at(at);
    *record = at + HEAD;
    return 1;
}
