// change_log_read: reads the log of changes, frame by frame, while others append to it.
#include "change_log_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

struct change_log_reader {
    char *folder;
    char *segments;   // their folder
    int fd;           // the segment at work, -1 while there is none
    uint64_t segment; // its number
    uint64_t at;      // place of the next frame
    uint64_t next;    // its number
    uint64_t after;
    bool ended;       // the segment: the next one is not there yet
    struct stat seen; // of the file when nothing more could be read
    char *data;
    size_t room;
    change_t *changes;
    rl_passage_t *passages;
    float *vectors;
};

change_log_reader_t *change_log_reader_new(const char *folder, uint64_t after)
{
    change_log_reader_t *self = rl_new(*self);
    self->folder = rl_strdup(folder);
    self->segments = rl_format("%s/" CHANGE_LOG_FOLDER, folder);
    self->fd = -1;
    self->after = after;
    self->next = after + 1;
    return self;
}

static void forget_frame(change_log_reader_t *self)
{
    free(self->changes);
    free(self->passages);
    free(self->vectors);
    self->changes = NULL;
    self->passages = NULL;
    self->vectors = NULL;
}

void change_log_reader_destroy(change_log_reader_t **self_p)
{
    change_log_reader_t *self = *self_p;
    if (!self)
        return;
    if (self->fd >= 0)
        close(self->fd);
    forget_frame(self);
    free(self->data);
    free(self->segments);
    free(self->folder);
    free(self);
    *self_p = NULL;
}

uint64_t change_log_reader_at(const change_log_reader_t *self)
{
    return self->next - 1 > self->after ? self->next - 1 : self->after;
}

bool change_log_reader_has_log(const change_log_reader_t *self)
{
    return self->fd >= 0;
}

bool change_log_reader_has_more(change_log_reader_t *self)
{
    struct stat st;
    char path[FILE_PATH_MAX];
    if (self->fd < 0)
        return access(self->segments, F_OK) == 0;
    if (self->ended)
        return changes_path(path, self->folder, self->next) == 0 && access(path, F_OK) == 0;
    // a tail that was cut off may have been replaced by as many bytes
    return fstat(self->fd, &st) == 0 &&
           (st.st_size != self->seen.st_size || st.st_mtim.tv_sec != self->seen.st_mtim.tv_sec ||
            st.st_mtim.tv_nsec != self->seen.st_mtim.tv_nsec);
}

// ---- segments -----------------------------------------------------------------------------------

// The segment that change `next` is in, or will be. GONE if it was removed; NONE if it is not
// there.
static change_log_next_t open_segment(change_log_reader_t *self, char *why, size_t why_size)
{
    size_t size, at = 0;
    char path[FILE_PATH_MAX];
    uint64_t *segments = changes_segments(self->folder, &size);
    while (at < size && segments[at] <= self->next)
        at++;
    uint64_t number = at > 0 ? segments[at - 1] : 0;
    free(segments);
    if (size == 0)
        return CHANGE_LOG_NONE;
    if (number == 0)
        return CHANGE_LOG_GONE;
    if (self->fd >= 0 && number == self->segment)
        return CHANGE_LOG_NONE; // it has ended, and the next one is being made
    int fd = changes_path(path, self->folder, number) == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        bool removed = errno == ENOENT; // meanwhile: a later one is there
        rl_fail(why, why_size, "%s: %s", path, strerror(errno));
        return removed ? CHANGE_LOG_GONE : CHANGE_LOG_FAILED;
    }
    if (!changes_is_segment(fd, number)) {
        close(fd);
        rl_fail(why, why_size,
                "%s: is no log of changes from number %" PRIu64
                " on; put the file back as it was, or build the index again",
                path, number);
        return CHANGE_LOG_DAMAGED;
    }
    if (self->fd >= 0)
        close(self->fd);
    self->fd = fd;
    self->segment = self->next = number; // those up to `after` are passed over
    self->at = sizeof(changes_head_t);
    self->seen = (struct stat){0};
    self->ended = false;
    return CHANGE_LOG_FRAME;
}

// ---- changes of a frame -------------------------------------------------------------------------

// The bytes of a frame or a change that were not read yet.
typedef struct cursor {
    const char *at, *end;
    bool bad; // they ended too early, or are not well formed
} cursor_t;

static const char *take_bytes(cursor_t *self, size_t size)
{
    const char *from = self->at;
    if (self->bad || size > (size_t)(self->end - self->at)) {
        self->bad = true;
        return NULL;
    }
    self->at += size;
    return from;
}

static uint64_t take_u64(cursor_t *self)
{
    uint64_t number = 0;
    const char *from = take_bytes(self, sizeof number);
    if (from)
        memcpy(&number, from, sizeof number);
    return number;
}

static uint32_t take_u32(cursor_t *self)
{
    uint32_t number = 0;
    const char *from = take_bytes(self, sizeof number);
    if (from)
        memcpy(&number, from, sizeof number);
    return number;
}

static const char *take_string(cursor_t *self)
{
    uint32_t size = take_u32(self);
    const char *text = take_bytes(self, (size_t)size + 1);
    if (!text || text[size] != '\0' || strlen(text) != size) {
        self->bad = true;
        return "";
    }
    return text;
}

static void take_passage(cursor_t *self, const char *doc, rl_passage_t *passage, float *vector,
                         size_t dimension)
{
    *passage = (rl_passage_t){.doc = doc};
    passage->start = take_u64(self);
    passage->end = take_u64(self);
    passage->hash = take_u64(self);
    passage->title = take_string(self);
    passage->heading = take_string(self);
    passage->source = take_string(self);
    passage->text = take_string(self);
    passage->meta = take_string(self);
    const char *numbers = dimension > 0 ? take_bytes(self, dimension * sizeof *vector) : NULL;
    if (numbers)
        memcpy(vector, numbers, dimension * sizeof *vector);
    for (size_t at = 0; numbers && at < dimension; at++)
        self->bad |= !isfinite(vector[at]);
}

enum {
    PASSAGE_LEAST = 3 * 8 + 5 * 5, // bytes of one: its numbers, its empty strings
};

// What a frame's changes need in all, and whether they are well formed.
typedef struct needs {
    size_t passages, floats;
} needs_t;

static void measure_frame(cursor_t *frame, uint32_t count, needs_t *needs)
{
    for (uint32_t each = 0; each < count && !frame->bad; each++) {
        uint32_t size = take_u32(frame);
        const char *from = take_bytes(frame, size);
        if (!from)
            break;
        cursor_t change = {from, from + size, false};
        const char *kind = take_bytes(&change, 1);
        take_string(&change);
        if (kind && *kind == CHANGE_PUT) {
            take_u64(&change);
            uint64_t passages = take_u32(&change), dimension = take_u32(&change);
            if (passages > CHANGE_LOG_MAX_PASSAGES || dimension > RL_MAX_DIMENSION ||
                passages * (PASSAGE_LEAST + dimension * sizeof(float)) > size)
                change.bad = true;
            needs->passages += passages;
            needs->floats += passages * dimension;
        } else if (!kind || (*kind != CHANGE_DELETE && *kind != CHANGE_DELETE_SOURCE)) {
            change.bad = true;
        }
        frame->bad |= change.bad;
    }
    frame->bad |= frame->at != frame->end;
}

static void take_change(cursor_t *self, change_t *change, rl_passage_t *passages, float *vectors)
{
    take_u32(self);
    const char *kind = take_bytes(self, 1);
    *change = (change_t){.kind = kind ? (change_kind_t)*kind : 0, .name = take_string(self)};
    if (change->kind != CHANGE_PUT)
        return;
    change->passages = passages;
    change->model_hash = take_u64(self);
    change->passages_size = take_u32(self);
    change->dimension = take_u32(self);
    change->vectors = change->dimension > 0 ? vectors : NULL;
    for (size_t at = 0; at < change->passages_size && !self->bad; at++)
        take_passage(self, change->name, &passages[at], vectors + at * change->dimension,
                     change->dimension);
}

// Whether the frame's bytes, whose checksum is right, are changes as this version writes them.
static bool parse_frame(change_log_reader_t *self, const changes_frame_t *frame)
{
    const char *data = self->data + sizeof *frame;
    needs_t needs = {0, 0};
    cursor_t cursor = {data, data + frame->size, false};
    measure_frame(&cursor, frame->count, &needs);
    forget_frame(self);
    if (cursor.bad)
        return false;
    self->changes = calloc(frame->count + (size_t)1, sizeof *self->changes);
    self->passages = calloc(needs.passages + 1, sizeof *self->passages);
    self->vectors = calloc(needs.floats + 1, sizeof *self->vectors);
    if (!self->changes || !self->passages || !self->vectors)
        return false;
    cursor = (cursor_t){data, data + frame->size, false};
    rl_passage_t *passages = self->passages;
    float *vectors = self->vectors;
    for (uint32_t each = 0; each < frame->count; each++) {
        change_t *change = &self->changes[each];
        take_change(&cursor, change, passages, vectors);
        passages += change->passages_size;
        vectors += change->passages_size * change->dimension;
    }
    return !cursor.bad;
}

static change_log_next_t report_damage(const change_log_reader_t *self, const char *what, char *why,
                                       size_t why_size)
{
    rl_fail(why, why_size,
            "%s/%020" PRIu64 ".log: %s at byte %" PRIu64 ", where change %" PRIu64
            " should begin; put the file back from a copy, or build the index again "
            "(ragline-index)",
            self->segments, self->segment, what, self->at, self->next);
    return CHANGE_LOG_DAMAGED;
}

// Reads the frame at `at`.
static change_log_next_t read_frame(change_log_reader_t *self, changes_frame_t *frame, char *why,
                                    size_t why_size)
{
    struct stat st;
    if (fstat(self->fd, &st) != 0) {
        rl_fail(why, why_size, "%s: %s", self->segments, strerror(errno));
        return CHANGE_LOG_FAILED;
    }
    uint64_t size = (uint64_t)st.st_size;
    if (self->at >= size) {
        self->seen = st;
        return CHANGE_LOG_NONE;
    }
    switch (
        changes_read_frame(self->fd, self->at, size, self->next, frame, &self->data, &self->room)) {
    case CHANGES_FRAME:
        return CHANGE_LOG_FRAME;
    case CHANGES_TAIL: // being written, or left by a killed writer
        self->seen = st;
        return CHANGE_LOG_NONE;
    case CHANGES_BROKEN:
        return report_damage(self, "damaged", why, why_size);
    default:
        rl_fail(why, why_size, "%s: %s", self->segments, strerror(errno));
        return CHANGE_LOG_FAILED;
    }
}

change_log_next_t change_log_reader_next(change_log_reader_t *self, const change_t **changes_p,
                                         size_t *size_p, uint64_t *first_p, char *why,
                                         size_t why_size)
{
    changes_frame_t frame;
    for (;;) {
        change_log_next_t next = CHANGE_LOG_FRAME;
        if (self->fd < 0 || self->ended)
            next = open_segment(self, why, why_size);
        if (next == CHANGE_LOG_FRAME)
            next = read_frame(self, &frame, why, why_size);
        if (next != CHANGE_LOG_FRAME)
            return next;
        uint64_t last = frame.first + frame.count - 1;
        if (frame.count > 0 && last > self->after && !parse_frame(self, &frame))
            return report_damage(self, "not written by this version", why, why_size);
        self->at += sizeof frame + frame.size;
        self->next += frame.count;
        self->ended = frame.count == 0;
        if (self->ended || last <= self->after)
            continue;
        // a generation may hold only the first of a frame's changes
        size_t held = frame.first <= self->after ? (size_t)(self->after + 1 - frame.first) : 0;
        *changes_p = self->changes + held;
        *size_p = frame.count - held;
        *first_p = frame.first + held;
        return CHANGE_LOG_FRAME;
    }
}
