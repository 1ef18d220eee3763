// meter: how far long work is, for the person who waits: a bar with rate and time left on a
// terminal, a plain line now and then otherwise. It writes to stderr.
#ifndef RL_METER_H
#define RL_METER_H

#include <stdint.h>

typedef struct rl_meter rl_meter_t;

rl_meter_t *rl_meter_new(void);
void rl_meter_destroy(rl_meter_t **self_p);

// A stage begins: "embedding" so many "passages" (`unit`; "bytes" are shown as MiB). A stage that
// was under way is ended first.
void rl_meter_begin(rl_meter_t *self, const char *stage, const char *unit, uint64_t total);

// So much of it is done; cheap, to be called as often as something is done.
void rl_meter_at(rl_meter_t *self, uint64_t done);

// The total has turned out to be another.
void rl_meter_total(rl_meter_t *self, uint64_t total);

// The stage is over: its last line stays, or (drop) nothing of it.
void rl_meter_end(rl_meter_t *self);
void rl_meter_drop(rl_meter_t *self);

// Takes the bar off the terminal, so that a line of another kind can be written.
void rl_meter_clear(rl_meter_t *self);

// "3 h 5 min", "2 min 10 s", "42 s" into `out`.
void rl_meter_duration(double seconds, char *out, unsigned size);

#endif
