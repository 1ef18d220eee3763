// change_log_write: appends to the log of changes; a frame is acknowledged when it is on disk.
#include "change_log_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "buf.h"
#include "mem.h"

enum {
    MOST_IN_FRAME = 100000, // changes
};

struct change_log_writer {
    char *folder;
    int lock, fd;     // fd: the segment at work, -1 before it was looked for
    uint64_t segment; // its number
    uint64_t end;     // of its last whole frame
    uint64_t next;    // number of the next change
    uint64_t after;
    bool first;
    bool ended; // by a frame without changes
    uint32_t count;
    rl_buf_t frame;
    char *data;
    size_t room;
};

// ---- what is gathered ---------------------------------------------------------------------------

static int put_string(rl_buf_t *buf, const char *text)
{
    uint32_t size = text ? (uint32_t)strlen(text) : 0;
    return rl_buf_add(buf, &size, sizeof size) |
           rl_buf_add(buf, text ? text : "", (size_t)size + 1);
}

static int put_passage(rl_buf_t *buf, const rl_passage_t *passage, const float *vector,
                       size_t dimension)
{
    const uint64_t numbers[] = {passage->start, passage->end, passage->hash};
    return rl_buf_add(buf, numbers, sizeof numbers) | put_string(buf, passage->title) |
           put_string(buf, passage->heading) | put_string(buf, passage->source) |
           put_string(buf, passage->text) | put_string(buf, passage->meta) |
           (dimension > 0 ? rl_buf_add(buf, vector, dimension * sizeof *vector) : 0);
}

static int put_change(rl_buf_t *buf, const change_t *change)
{
    uint32_t counts[] = {(uint32_t)change->passages_size, (uint32_t)change->dimension}, size = 0;
    uint8_t kind = (uint8_t)change->kind;
    size_t from = buf->size;
    int rc = rl_buf_add(buf, &size, sizeof size) | rl_buf_add(buf, &kind, 1) |
             put_string(buf, change->name);
    if (change->kind == CHANGE_PUT)
        rc |= rl_buf_add(buf, &change->model_hash, sizeof change->model_hash) |
              rl_buf_add(buf, counts, sizeof counts);
    for (size_t at = 0; rc == 0 && change->kind == CHANGE_PUT && at < change->passages_size; at++)
        rc = put_passage(buf, &change->passages[at],
                         change->vectors ? change->vectors + at * change->dimension : NULL,
                         change->dimension);
    if (rc != 0)
        return -1;
    size = (uint32_t)(buf->size - from - sizeof size);
    memcpy(buf->data + from, &size, sizeof size);
    return 0;
}

static void forget_gathered(change_log_writer_t *self)
{
    self->count = 0;
    rl_buf_clear(&self->frame);
}

int change_log_add(change_log_writer_t *self, const change_t *change, char *why, size_t why_size)
{
    changes_frame_t head = {{0}, 0, 0, 0, 0};
    size_t name = change->name ? strlen(change->name) : 0;
    if (name < 1 || name > CHANGE_LOG_MAX_ID)
        return rl_fail(why, why_size, "an id (or source) has 1 to %d bytes to be changed, not %zu",
                       CHANGE_LOG_MAX_ID, name);
    if (change->passages_size > CHANGE_LOG_MAX_PASSAGES)
        return rl_fail(why, why_size, "%s: %zu passages are more than %d", change->name,
                       change->passages_size, CHANGE_LOG_MAX_PASSAGES);
    if (self->count == MOST_IN_FRAME)
        return rl_fail(why, why_size, "too many changes at once");
    if (self->count == 0 && rl_buf_add(&self->frame, &head, sizeof head) != 0)
        return rl_fail(why, why_size, "%s: out of memory", change->name);
    size_t before = self->frame.size;
    if (put_change(&self->frame, change) != 0) {
        self->frame.size = before;
        self->frame.full = false;
        return rl_fail(why, why_size, "%s: too large, or out of memory", change->name);
    }
    self->count++;
    return 0;
}

// ---- segments; the lock is held here ------------------------------------------------------------

static int fail_errno(const change_log_writer_t *self, const char *what, char *why, size_t why_size)
{
    return rl_fail(why, why_size, "%s/" CHANGE_LOG_FOLDER ": %s: %s", self->folder, what,
                   strerror(errno));
}

static void close_segment(change_log_writer_t *self)
{
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
}

static int open_segment(change_log_writer_t *self, uint64_t number, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX];
    close_segment(self);
    if (changes_path(path, self->folder, number) == 0)
        self->fd = open(path, O_RDWR | O_CLOEXEC);
    if (self->fd < 0)
        return fail_errno(self, "a segment cannot be opened", why, why_size);
    if (!changes_is_segment(self->fd, number)) {
        close_segment(self);
        return rl_fail(why, why_size,
                       "%s: is no log of changes from number %" PRIu64
                       " on; put the file back as it was, or build the index again",
                       path, number);
    }
    self->segment = self->next = number;
    self->end = sizeof(changes_head_t);
    self->ended = false;
    return 0;
}

static int make_segment(change_log_writer_t *self, uint64_t number, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX], fresh[FILE_PATH_MAX], folder[FILE_PATH_MAX];
    changes_head_t head = {.first = number};
    memcpy(head.magic, changes_magic, sizeof head.magic);
    if (path_format(folder, "%s/" CHANGE_LOG_FOLDER, self->folder) != 0 ||
        path_format(fresh, "%s/next.tmp", folder) != 0 ||
        changes_path(path, self->folder, number) != 0 ||
        file_write(fresh, &head, sizeof head) != 0 || rename(fresh, path) != 0 ||
        file_sync(folder) != 0)
        return fail_errno(self, "a segment cannot be made", why, why_size);
    return open_segment(self, number, why, why_size);
}

// Passes over the whole frames that are there, and cuts off what is behind them.
static int catch_up(change_log_writer_t *self, char *why, size_t why_size)
{
    struct stat st;
    changes_frame_t frame;
    if (fstat(self->fd, &st) != 0)
        return fail_errno(self, "cannot be read", why, why_size);
    uint64_t size = (uint64_t)st.st_size;
    while (self->end < size && !self->ended) {
        changes_found_t found = changes_read_frame(self->fd, self->end, size, self->next, &frame,
                                                   &self->data, &self->room);
        if (found == CHANGES_ERROR)
            return fail_errno(self, "cannot be read", why, why_size);
        if (found == CHANGES_BROKEN)
            return rl_fail(why, why_size,
                           "%s/" CHANGE_LOG_FOLDER "/%020" PRIu64 ".log: damaged at byte %" PRIu64
                           ", where change %" PRIu64
                           " should begin, and there are later ones; put the file back from a "
                           "copy, or build the index again (ragline-index)",
                           self->folder, self->segment, self->end, self->next);
        if (found == CHANGES_TAIL) {
            if (ftruncate(self->fd, (off_t)self->end) != 0 || fdatasync(self->fd) != 0)
                return fail_errno(self, "what a killed writer has left cannot be cut off", why,
                                  why_size);
            return 0;
        }
        self->end += sizeof frame + frame.size;
        self->next += frame.count;
        self->ended = frame.count == 0;
    }
    return 0;
}

// The segment to go on in: the last one; if that one has ended, a new one.
static int next_segment(change_log_writer_t *self, char *why, size_t why_size)
{
    size_t size;
    uint64_t *segments = changes_segments(self->folder, &size);
    uint64_t last = size > 0 ? segments[size - 1] : 0;
    free(segments);
    self->first |= last == 0;
    if (last == 0)
        return make_segment(self, self->after + 1, why, why_size);
    if (self->fd >= 0 && self->ended && last == self->segment)
        return make_segment(self, self->next, why, why_size);
    return open_segment(self, last, why, why_size);
}

// The last segment, up to its end.
static int find_end(change_log_writer_t *self, char *why, size_t why_size)
{
    do
        if (((self->fd < 0 || self->ended) && next_segment(self, why, why_size) != 0) ||
            catch_up(self, why, why_size) != 0)
            return -1;
    while (self->ended);
    if (self->next > self->after)
        return 0;
    // a generation of later changes than the log has: the log is not the one it was made from
    return rl_fail(why, why_size,
                   "%s/" CHANGE_LOG_FOLDER ": its last change is number %" PRIu64
                   ", the generation in force holds those up to %" PRIu64
                   "; remove this folder if the collection was copied without it",
                   self->folder, self->next - 1, self->after);
}

static int append_bytes(change_log_writer_t *self, const void *data, size_t size, char *why,
                        size_t why_size)
{
    ssize_t put_size = pwrite(self->fd, data, size, (off_t)self->end);
    if (put_size == (ssize_t)size && fdatasync(self->fd) == 0)
        return 0;
    int error = put_size >= 0 && put_size != (ssize_t)size ? ENOSPC : errno;
    if (ftruncate(self->fd, (off_t)self->end) != 0)
        close_segment(self);
    errno = error;
    return fail_errno(self, "cannot be written", why, why_size);
}

static int end_segment(change_log_writer_t *self, char *why, size_t why_size)
{
    changes_frame_t frame = {.first = self->next};
    memcpy(frame.magic, changes_frame_magic, sizeof frame.magic);
    frame.checksum = XXH64(&frame, sizeof frame, 0);
    if (append_bytes(self, &frame, sizeof frame, why, why_size) != 0)
        return -1;
    self->end += sizeof frame;
    self->ended = true;
    return make_segment(self, self->next, why, why_size);
}

// ---- the writer ---------------------------------------------------------------------------------

static int with_lock(change_log_writer_t *self, char *why, size_t why_size)
{
    while (flock(self->lock, LOCK_EX) != 0)
        if (errno != EINTR)
            return fail_errno(self, "cannot be locked", why, why_size);
    return find_end(self, why, why_size);
}

change_log_writer_t *change_log_writer_new(const char *folder, uint64_t after, char *why,
                                           size_t why_size)
{
    char path[FILE_PATH_MAX];
    change_log_writer_t *self = rl_new(*self);
    self->folder = rl_strdup(folder);
    self->lock = self->fd = -1;
    self->after = after;
    self->frame = rl_buf_make(CHANGE_LOG_MAX_FRAME);
    int rc = 0;
    if (path_format(path, "%s/" CHANGE_LOG_FOLDER, folder) != 0)
        rc = fail_errno(self, "the folder cannot be made", why, why_size);
    else if (mkdir(path, 0755) != 0 ? errno != EEXIST : file_sync(folder) != 0)
        rc = fail_errno(self, "the folder cannot be made", why, why_size);
    if (rc == 0 && (path_format(path, "%s/" CHANGE_LOG_FOLDER "/LOCK", folder) != 0 ||
                    (self->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) < 0))
        rc = fail_errno(self, "cannot be locked", why, why_size);
    if (rc == 0) {
        rc = with_lock(self, why, why_size);
        flock(self->lock, LOCK_UN);
    }
    if (rc != 0)
        change_log_writer_destroy(&self);
    return self;
}

void change_log_writer_destroy(change_log_writer_t **self_p)
{
    change_log_writer_t *self = *self_p;
    if (!self)
        return;
    close_segment(self);
    if (self->lock >= 0)
        close(self->lock);
    rl_buf_free(&self->frame);
    free(self->data);
    free(self->folder);
    free(self);
    *self_p = NULL;
}

bool change_log_writer_is_first(const change_log_writer_t *self)
{
    return self->first;
}

static int commit_frame(change_log_writer_t *self, uint64_t *first, char *why, size_t why_size)
{
    changes_frame_t head = {
        .count = self->count, .first = self->next, .size = self->frame.size - sizeof head};
    memcpy(head.magic, changes_frame_magic, sizeof head.magic);
    memcpy(self->frame.data, &head, sizeof head);
    head.checksum = XXH64(self->frame.data, self->frame.size, 0);
    memcpy(self->frame.data, &head, sizeof head);
    if (append_bytes(self, self->frame.data, self->frame.size, why, why_size) != 0)
        return -1;
    *first = self->next;
    self->end += self->frame.size;
    self->next += self->count;
    char ignored[256];
    if (self->end > CHANGE_LOG_SEGMENT && end_segment(self, ignored, sizeof ignored) != 0)
        close_segment(self); // the changes are in force; the next commit tries again
    return 0;
}

int change_log_commit(change_log_writer_t *self, uint64_t *first, char *why, size_t why_size)
{
    if (self->count == 0) {
        *first = self->next;
        return 0;
    }
    int rc = with_lock(self, why, why_size);
    if (rc == 0)
        rc = commit_frame(self, first, why, why_size);
    flock(self->lock, LOCK_UN);
    forget_gathered(self);
    return rc;
}

int change_log_rotate(change_log_writer_t *self, char *why, size_t why_size)
{
    int rc = with_lock(self, why, why_size);
    if (rc == 0 && self->next > self->segment)
        rc = end_segment(self, why, why_size);
    flock(self->lock, LOCK_UN);
    return rc;
}
