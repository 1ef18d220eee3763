// balance: the choice among replicas.
#include "balance.h"

#include <stddef.h>

enum {
    SLOW_TIMES = 2,   // slower than the fastest replica by so much is slow; less is chance
    PROBE_EVERY = 32, // choices
    LOAD_UNIT = 16,   // what a task counts at a replica that is not slow
};

void rl_recent_add(rl_recent_t *self, uint64_t us)
{
    uint32_t sorted[RL_RECENT];
    self->last[self->count++ % RL_RECENT] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    size_t size = self->count < RL_RECENT ? (size_t)self->count : RL_RECENT;
    for (size_t at = 0, hole; at < size; at++) { // few enough to sort by insertion
        for (hole = at; hole > 0 && sorted[hole - 1] > self->last[at]; hole--)
            sorted[hole] = sorted[hole - 1];
        sorted[hole] = self->last[at];
    }
    if (size >= RL_RECENT / 2)
        self->median_us = sorted[size / 2] ? sorted[size / 2] : 1;
}

// A number by xorshift.
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

bool rl_choice_probes(uint64_t *random)
{
    return random_next(random) % PROBE_EVERY == 0;
}

uint64_t rl_choice_load(uint64_t outstanding, uint64_t median_us, uint64_t fastest_us)
{
    uint64_t unit = LOAD_UNIT;
    if (fastest_us && median_us > fastest_us * SLOW_TIMES)
        unit = LOAD_UNIT * median_us / fastest_us;
    return (outstanding + 1) * unit;
}

void rl_choice_offer(rl_choice_t *self, void *candidate, bool late, uint64_t load, uint64_t of)
{
    if (self->best && late != self->late) {
        if (late)
            return;
        self->best = NULL;
    }
    uint64_t mine = self->best ? load * self->of : 0, its = self->best ? self->load * of : 1;
    if (mine > its)
        return;
    self->ties = mine == its ? self->ties + 1 : 1;
    if (self->ties > 1 && random_next(self->random) % self->ties != 0)
        return;
    self->best = candidate;
    self->load = load;
    self->of = of;
    self->late = late;
}
