// progress: how far long work is, shown to the user: a bar with rate and time left on a
// terminal, a plain line now and then otherwise. It writes to stderr.
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdint.h>

typedef struct progress progress_t;

progress_t *progress_new(void);
void progress_destroy(progress_t **self_p);

// A stage begins: "embedding" so many "passages" (`unit`; "bytes" are shown as MiB). A stage that
// was under way is ended first.
void progress_begin(progress_t *self, const char *stage, const char *unit, uint64_t total);

// So much of it is done; cheap, to be called as often as something is done.
void progress_at(progress_t *self, uint64_t done);

// The total has turned out to be another.
void progress_total(progress_t *self, uint64_t total);

// The stage is over: its last line stays, or (drop) nothing of it.
void progress_end(progress_t *self);
void progress_drop(progress_t *self);

// Takes the bar off the terminal, so that a line of another kind can be written.
void progress_clear(progress_t *self);

// 1234567 as "1,234,567" into `out` of 32 bytes, which it returns.
const char *progress_number(uint64_t number, char *out);

// "3 h 5 min", "2 min 10 s", "42 s" into `out`.
void progress_duration(double seconds, char *out, unsigned size);

#endif
