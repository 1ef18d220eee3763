// sorter: puts records in byte order, more of them than memory holds: what is full is sorted and
// written to a nameless file, and in the end all are merged.
#ifndef SORTER_H
#define SORTER_H

#include <stddef.h>
#include <stdint.h>

typedef struct sorter sorter_t;

enum {
    SORTER_MAX_RECORD = 1 << 16 // bytes
};

// `room` bytes of memory (at least twice SORTER_MAX_RECORD) for records; the file lies in
// `folder`.
sorter_t *sorter_new(const char *folder, size_t room);
void sorter_destroy(sorter_t **self_p);

// Adds a record. Returns 0, or -1 with `why` (too large, disk full).
int sorter_add(sorter_t *self, const void *record, size_t size, char *why, size_t why_size);

// All have been added.
int sorter_sort(sorter_t *self, char *why, size_t why_size);

// The next record, which is good until the next call: 1, 0 behind the last, or -1 with `why`.
int sorter_next(sorter_t *self, const uint8_t **record, size_t *size, char *why, size_t why_size);

#endif
