// balance: the choice among replicas that do the same work: the least loaded one, ties at random.
// The gateway chooses with it, and what simulates the gateway.
#ifndef RL_BALANCE_H
#define RL_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RL_RECENT = 16, // durations that a median is of: it follows a change soon
};

// How long a replica's last tasks took.
typedef struct rl_recent {
    uint32_t last[RL_RECENT]; // µs, a ring
    uint64_t count;           // all there ever were
    uint64_t median_us;       // 0: fewer than half of the ring are known
} rl_recent_t;

void rl_recent_add(rl_recent_t *self, uint64_t us);

// One choice. Each candidate is offered once; then `best` is the one chosen, NULL if there was
// none.
typedef struct rl_choice {
    uint64_t *random; // state of the random numbers that decide ties; never 0
    void *best;
    uint64_t load, of;
    bool late;
    unsigned ties;
} rl_choice_t;

// Whether this choice is one of those (1 in 32) that do not mind who is slow, since a slow replica
// may have recovered.
bool rl_choice_probes(uint64_t *random);

// The time that one more task has to expect behind `outstanding` others: at a replica that is much
// slower than the fastest each counts for as many times more. `fastest_us` 0: all count the same.
uint64_t rl_choice_load(uint64_t outstanding, uint64_t median_us, uint64_t fastest_us);

// Its load is `load` / `of`, `of` > 0. One that is `late` is taken where there is no other.
void rl_choice_offer(rl_choice_t *self, void *candidate, bool late, uint64_t load, uint64_t of);

#endif
