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
    char folder[FILE_PATH_MAX];
    uint8_t *room; // records from the front; from the back, their places
    size_t room_size, used, records;
    int fd; // -1 until something is laid down
    uint64_t written;
    run_t *runs;
    size_t runs_size, runs_room;
    size_t *heap; // numbers of the runs that have a record at hand, the least first
    size_t heap_size;
    size_t next; // of the records in memory, when there are no runs
};

sorter_t *sorter_new(const char *folder, size_t room)
{
    sorter_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->fd = -1;
    self->room_size = room / sizeof(uint32_t) * sizeof(uint32_t);
    self->room = malloc(self->room_size);
    if (!self->room || path_format(self->folder, "%s", folder) != 0)
        sorter_destroy(&self);
    return self;
}

void sorter_destroy(sorter_t **self_p)
{
    sorter_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->runs_size; at++)
        free(self->runs[at].window);
    if (self->fd >= 0)
        close(self->fd);
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

static int compare(const uint8_t *one, const uint8_t *other)
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
    return compare((uint8_t *)room + *(const uint32_t *)a, (uint8_t *)room + *(const uint32_t *)b);
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

static int cannot_write(const sorter_t *self, char *why, size_t why_size)
{
    return rl_fail(why, why_size, "%s: cannot write a temporary file: %s", self->folder,
                   strerror(errno));
}

static bool write_all(sorter_t *self, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t put = pwrite(self->fd, data, size, (off_t)self->written);
        if (put <= 0)
            return false;
        data += put;
        size -= (size_t)put;
        self->written += (uint64_t)put;
    }
    return true;
}

// Sorts what is in memory and makes a run of it.
static int lay_down(sorter_t *self, char *why, size_t why_size)
{
    if (self->fd < 0 && (self->fd = open_nameless(self->folder)) < 0)
        return cannot_write(self, why, why_size);
    if (self->runs_size == self->runs_room) {
        size_t room = self->runs_room ? 2 * self->runs_room : 16;
        run_t *runs = realloc(self->runs, room * sizeof *runs);
        if (!runs)
            return rl_fail(why, why_size, "out of memory");
        self->runs = runs;
        self->runs_room = room;
    }
    run_t run = {.at = self->written};
    uint8_t *block = malloc(WINDOW);
    size_t filled = 0;
    bool good = block;
    sort_room(self);
    for (size_t at = 0; good && at < self->records; at++) {
        const uint8_t *record = self->room + places(self)[at];
        size_t size = HEAD + size_at(record);
        if (filled + size > WINDOW) {
            good = write_all(self, block, filled);
            filled = 0;
        }
        memcpy(block + filled, record, size);
        filled += size;
    }
    good = good && write_all(self, block, filled);
    free(block);
    if (!good)
        return cannot_write(self, why, why_size);
    run.end = self->written;
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
        lay_down(self, why, why_size) != 0)
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
        ssize_t got = pread(self->fd, run->window + run->size, want, (off_t)run->at);
        if (got <= 0)
            return -1;
        run->size += (size_t)got;
        run->at += (uint64_t)got;
    }
    return run->size > 0;
}

static bool is_less(const sorter_t *self, size_t one, size_t other)
{
    return compare(at_hand(self, self->heap[one]), at_hand(self, self->heap[other])) < 0;
}

static void sink(sorter_t *self, size_t at)
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
    if (self->records > 0 && lay_down(self, why, why_size) != 0)
        return -1;
    free(self->room);
    self->room = NULL;
    self->heap = calloc(self->runs_size, sizeof *self->heap);
    for (size_t at = 0; at < self->runs_size; at++) {
        self->runs[at].window = self->heap ? malloc(WINDOW) : NULL;
        if (!self->runs[at].window || read_on(self, &self->runs[at]) != 1)
            return rl_fail(why, why_size,
                           "cannot sort: out of memory, or a temporary file in %s "
                           "cannot be read",
                           self->folder);
        self->heap[self->heap_size++] = at;
    }
    for (size_t at = self->heap_size; at-- > 0;)
        sink(self, at);
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
            return rl_fail(why, why_size, "%s: cannot read a temporary file: %s", self->folder,
                           strerror(errno));
        if (rc == 0)
            self->heap[0] = self->heap[--self->heap_size];
        if (self->heap_size > 0)
            sink(self, 0);
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
