// notes: a line of JSON for each answer, what the client saw beside what the gateway said of it:
// {"unix_ms":…,"client":{"status_ms":…,…},"timings":{…}}. ragline-profile reads them.
#ifndef BENCH_NOTES_H
#define BENCH_NOTES_H

#include <stdint.h>

typedef struct note {
    uint64_t sent_us; // the question's first byte was written
    uint64_t status_us, sources_us, first_token_us, timings_us; // came; 0: has not
    char *timings;                                              // the event's data, or NULL
} note_t;

// Where notes go; ends the program where it cannot be written.
void notes_open(const char *path);

// Nothing happens without notes_open.
void note_start(note_t *self, uint64_t now_us);
void note_timings(note_t *self, const char *data, uint64_t now_us);
void note_end(note_t *self, uint64_t now_us);
void note_drop(note_t *self);

#endif
