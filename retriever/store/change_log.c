// change_log: the log's files and frames; change_log_write.c writes them, change_log_read.c reads
// them.
#include "change_log_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "mem.h"

const char changes_magic[8] = "RLCHNG01";
const char changes_frame_magic[4] = "RLCF";

enum {
    NAME_DIGITS = 20,
    SCAN = 1 << 20, // bytes looked through at a time
};

int changes_path(char path[FILE_PATH_MAX], const char *folder, uint64_t first)
{
    return path_format(path, "%s/" CHANGE_LOG_FOLDER "/%020" PRIu64 ".log", folder, first);
}

static int by_number(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

uint64_t *changes_segments(const char *folder, size_t *size)
{
    char path[FILE_PATH_MAX];
    uint64_t *numbers = NULL;
    size_t room = 0;
    *size = 0;
    DIR *dir = path_format(path, "%s/" CHANGE_LOG_FOLDER, folder) == 0 ? opendir(path) : NULL;
    if (!dir)
        return NULL;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        if (strspn(name, "0123456789") != NAME_DIGITS || strcmp(name + NAME_DIGITS, ".log") != 0)
            continue;
        if (*size == room) {
            room = room ? 2 * room : 16;
            numbers = rl_realloc(numbers, room, sizeof *numbers);
        }
        numbers[(*size)++] = strtoull(name, NULL, 10);
    }
    closedir(dir);
    if (*size > 0)
        qsort(numbers, *size, sizeof *numbers, by_number);
    return numbers;
}

bool changes_is_segment(int fd, uint64_t first)
{
    changes_head_t head;
    return pread(fd, &head, sizeof head, 0) == (ssize_t)sizeof head &&
           memcmp(head.magic, changes_magic, sizeof head.magic) == 0 && head.first == first;
}

// ---- frames -------------------------------------------------------------------------------------

static bool looks_whole(const changes_frame_t *frame, uint64_t room)
{
    return memcmp(frame->magic, changes_frame_magic, sizeof frame->magic) == 0 &&
           frame->size <= CHANGE_LOG_MAX_FRAME && frame->size <= room &&
           (frame->count > 0) == (frame->size > 0);
}

// The whole frame at `at`: its bytes in *data_p behind its head. 1, 0 if there is none, -1 errno.
static int read_whole(int fd, uint64_t at, uint64_t end, changes_frame_t *frame, char **data_p,
                      size_t *room_p)
{
    if (at > end || end - at < sizeof *frame)
        return 0;
    ssize_t got = pread(fd, frame, sizeof *frame, (off_t)at);
    if (got != (ssize_t)sizeof *frame)
        return got < 0 ? -1 : 0;
    if (!looks_whole(frame, end - at - sizeof *frame))
        return 0;
    size_t size = sizeof *frame + frame->size;
    if (size > *room_p) {
        char *more = realloc(*data_p, size);
        if (!more)
            return -1;
        *data_p = more;
        *room_p = size;
    }
    got = pread(fd, *data_p, size, (off_t)at);
    if (got != (ssize_t)size)
        return got < 0 ? -1 : 0;
    memcpy(frame, *data_p, sizeof *frame);
    changes_frame_t unsigned_frame = *frame;
    unsigned_frame.checksum = 0;
    memcpy(*data_p, &unsigned_frame, sizeof unsigned_frame);
    return looks_whole(frame, size - sizeof *frame) && sizeof *frame + frame->size == size &&
           XXH64(*data_p, size, 0) == frame->checksum;
}

// Whether a whole frame of changes from `first` on begins anywhere behind `at`: then what stands at
// `at` was whole once, since a frame is only begun when those before it are on disk.
static bool whole_behind(int fd, uint64_t at, uint64_t end, uint64_t first)
{
    char *block = rl_alloc(SCAN), *data = NULL;
    size_t room = 0;
    bool found = false;
    changes_frame_t frame;
    for (at++; !found && at + sizeof frame <= end;) {
        size_t want = end - at < SCAN ? (size_t)(end - at) : SCAN;
        ssize_t got = pread(fd, block, want, (off_t)at);
        if (got < (ssize_t)sizeof frame)
            break;
        const char *from = block, *hit;
        size_t left = (size_t)got;
        while (!found && (hit = memmem(from, left, changes_frame_magic, sizeof frame.magic))) {
            found = read_whole(fd, at + (uint64_t)(hit - block), end, &frame, &data, &room) == 1 &&
                    frame.first >= first;
            left -= (size_t)(hit + 1 - from);
            from = hit + 1;
        }
        at += (uint64_t)got - sizeof frame.magic + 1; // a mark may lie across two blocks
    }
    free(block);
    free(data);
    return found;
}

changes_found_t changes_read_frame(int fd, uint64_t at, uint64_t end, uint64_t first,
                                   changes_frame_t *frame, char **data_p, size_t *room_p)
{
    int rc = read_whole(fd, at, end, frame, data_p, room_p);
    if (rc < 0)
        return CHANGES_ERROR;
    if (rc > 0 && frame->first == first)
        return CHANGES_FRAME;
    if (rc > 0)
        return CHANGES_BROKEN; // whole, and not the one that should be here
    return whole_behind(fd, at, end, first) ? CHANGES_BROKEN : CHANGES_TAIL;
}

uint64_t change_log_model_hash(const char *model)
{
    return XXH64(model, strlen(model), 0);
}

// ---- the folder ---------------------------------------------------------------------------------

int change_log_last(const char *folder, uint64_t *number, char *why, size_t why_size)
{
    size_t size = 0, changes_size;
    uint64_t *segments = changes_segments(folder, &size), first;
    uint64_t from = size > 0 ? segments[size - 1] : 0;
    free(segments);
    *number = 0;
    if (from == 0)
        return 0;
    change_log_reader_t *reader = change_log_reader_new(folder, from - 1);
    const change_t *changes;
    change_log_next_t next;
    do
        next = change_log_reader_next(reader, &changes, &changes_size, &first, why, why_size);
    while (next == CHANGE_LOG_FRAME);
    *number = change_log_reader_at(reader);
    change_log_reader_destroy(&reader);
    return next == CHANGE_LOG_DAMAGED || next == CHANGE_LOG_FAILED ? -1 : 0;
}

uint64_t change_log_bytes(const char *folder, uint64_t after)
{
    size_t size = 0;
    uint64_t *segments = changes_segments(folder, &size), bytes = 0;
    for (size_t at = 0; at < size; at++) {
        char path[FILE_PATH_MAX];
        uint64_t own = 0;
        bool over = at + 1 < size && segments[at + 1] <= after + 1;
        if (!over && changes_path(path, folder, segments[at]) == 0 && file_size(path, &own) == 0)
            bytes += own;
    }
    free(segments);
    return bytes;
}

uint64_t change_log_bound(const char *folder)
{
    size_t size = 0;
    uint64_t *segments = changes_segments(folder, &size), bytes = 0;
    uint64_t last = size > 0 ? segments[size - 1] : 0;
    char path[FILE_PATH_MAX];
    if (last > 0 && changes_path(path, folder, last) == 0)
        file_size(path, &bytes);
    free(segments);
    return last + bytes; // a change takes more than a byte
}

void change_log_forget(const char *folder, uint64_t upto)
{
    size_t size = 0;
    uint64_t *segments = changes_segments(folder, &size);
    char path[FILE_PATH_MAX];
    bool all = upto == UINT64_MAX;
    for (size_t at = 0; all ? at < size : at + 1 < size && segments[at + 1] <= upto + 1; at++)
        if (changes_path(path, folder, segments[at]) == 0)
            unlink(path);
    free(segments);
}
