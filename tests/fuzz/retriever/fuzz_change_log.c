// A log of changes: as its file lies there, or as the changes of a frame whose checksum is right.
#include "change_log_private.h"
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum {
    MOST_FRAMES = 1000,
};

static void write_log(const void *data, size_t size)
{
    char folder[600];
    snprintf(folder, sizeof folder, "%s/%s", scratch_folder(), CHANGE_LOG_FOLDER);
    mkdir(folder, 0700);
    scratch_file(CHANGE_LOG_FOLDER "/00000000000000000001.log", data, size);
}

// The number of changes is in the first byte.
static void write_frame(const uint8_t *data, size_t size)
{
    size_t bytes = size - 1, whole = sizeof(changes_head_t) + sizeof(changes_frame_t) + bytes;
    uint8_t *log = calloc(1, whole);
    changes_head_t segment = {.first = 1};
    changes_frame_t head = {.count = data[0] % 5, .first = 1, .size = bytes};
    memcpy(segment.magic, changes_magic, sizeof segment.magic);
    memcpy(head.magic, changes_frame_magic, sizeof head.magic);
    uint8_t *frame = log + sizeof segment;
    memcpy(log, &segment, sizeof segment);
    memcpy(frame, &head, sizeof head);
    memcpy(frame + sizeof head, data + 1, bytes);
    head.checksum = XXH64(frame, sizeof head + bytes, 0);
    memcpy(frame, &head, sizeof head);
    write_log(log, whole);
    free(log);
}

// Every byte that is given can be read.
static size_t length_of(const change_t *change)
{
    size_t length = strlen(change->name);
    for (size_t at = 0; at < change->passages_size; at++) {
        const rl_passage_t *passage = &change->passages[at];
        length += strlen(passage->doc) + strlen(passage->title) + strlen(passage->heading) +
                  strlen(passage->source) + strlen(passage->text) + strlen(passage->meta);
        for (size_t n = 0; change->vectors && n < change->dimension; n++)
            length += change->vectors[at * change->dimension + n] > 0;
    }
    return length;
}

static void read_log(void)
{
    char why[1024] = "";
    const change_t *changes;
    size_t size, length = 0;
    uint64_t first, last = 0;
    change_log_reader_t *reader = change_log_reader_new(scratch_folder(), 0);
    change_log_next_t next = CHANGE_LOG_FRAME;
    for (int frames = 0; frames < MOST_FRAMES && next == CHANGE_LOG_FRAME; frames++) {
        next = change_log_reader_next(reader, &changes, &size, &first, why, sizeof why);
        if (next == CHANGE_LOG_FRAME) {
            if (first <= last)
                abort(); // numbers only grow
            last = change_log_reader_at(reader);
            for (size_t at = 0; at < size; at++)
                length += length_of(&changes[at]);
        }
    }
    if ((next == CHANGE_LOG_DAMAGED || next == CHANGE_LOG_FAILED) && !*why)
        abort(); // it says what is wrong
    if (length > 2 * sizeof(changes_frame_t) + (1 << 17))
        abort(); // more than there was
    change_log_reader_destroy(&reader);
    if (change_log_last(scratch_folder(), &last, why, sizeof why) != 0 && !*why)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scratch_hush();
    if (size < 1 || size > 1 << 16)
        return 0;
    if (data[0] == 'R')
        write_log(data, size);
    else
        write_frame(data, size);
    read_log();
    return 0;
}
