// choice: which replica a search goes to. The simulation chooses as the gateway does (registry.c,
// latency.c): the least outstanding work, where a replica whose median of late is more than twice
// the fastest one's counts as so much slower; one choice of 32 does not mind who is slow.
#ifndef CHOICE_H
#define CHOICE_H

#include <stddef.h>
#include <stdint.h>

enum {
    CHOICE_LAST = 16, // durations that a median is of
};

typedef struct choice {
    unsigned outstanding;
    unsigned count;
    double last[CHOICE_LAST];
    double median_ms; // 0: too few are known
} choice_t;

// Index of one of `size` replicas, at least one; `random` is any number.
size_t choice_of(const choice_t *replicas, size_t size, uint64_t random);

// A search that was sent there (outstanding was counted up) took so long, there and back.
void choice_done(choice_t *self, double ms);

#endif
