// live: counts and durations of the last minute, by second, in memory of a fixed size, for GET
// /v1/live (gateway/README.md, "Live"). A second is added when it is over, so that figures are at
// most a second old.
#ifndef LIVE_H
#define LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "metrics.h"
#include "timeline.h"

typedef struct live live_t;

enum {
    LIVE_SECONDS = 60, // that are remembered
};

// `now_us` by rl_now_us: the first second begins then.
live_t *live_new(uint64_t now_us);
void live_destroy(live_t **self_p);

// Adds an answer that has ended, in whatever way. Called once for each.
//
// A stage's durations are those of its pieces of work (each search of an answer counts); where the
// timeline has none, the time that the critical path was charged for it. Stages that took no time
// are not counted.
void live_answer(live_t *self, const timeline_t *timeline);

// The second is over (or whatever time has gone by since the last call): the counters are read and
// the next one begins. `in_flight`: questions at work.
void live_tick(live_t *self, const metrics_t *metrics, size_t in_flight, uint64_t now_us);

typedef enum live_parts {
    LIVE_HISTORY = 1, // the last minute's seconds, one by one
    LIVE_BUCKETS = 2, // the histograms themselves, so that several gateways can be added up
} live_parts_t;

// Appends the members "totals", "windows", "second" and, where wanted, "history" of the snapshot:
// without braces around them. `parts`: LIVE_HISTORY | LIVE_BUCKETS, or 0.
void live_write(const live_t *self, unsigned parts, rl_buf_t *out);

#endif
