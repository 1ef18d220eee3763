// effort: how much of an index one search looks at, what that costs on this machine, and how much
// of it fits into the time that is left.
#ifndef RL_EFFORT_H
#define RL_EFFORT_H

#include <stddef.h>
#include <stdint.h>

typedef enum rl_effort_kind {
    RL_EFFORT_NONE,      // the index has nothing to choose: it looks at all
    RL_EFFORT_NPROBE,    // lists of an inverted file that are looked into
    RL_EFFORT_EF_SEARCH, // candidates that a search of a graph keeps
    RL_EFFORT_KINDS,     // their number
} rl_effort_kind_t;

// "", "nprobe", "ef_search".
extern const char *const rl_effort_names[RL_EFFORT_KINDS];

enum {
    RL_EFFORT_MOST = 1 << 16, // that may be asked for
};

// Of one search.
typedef struct rl_effort {
    rl_effort_kind_t kind;
    size_t wanted;
    size_t used; // less than wanted: the deadline was too near for more
} rl_effort_t;

typedef struct rl_effort_cost rl_effort_cost_t;

// What searches cost, learnt from those that were. NULL if memory runs out.
rl_effort_cost_t *rl_effort_cost_new(void);
void rl_effort_cost_destroy(rl_effort_cost_t **self_p);

// A search with this effort (at least 1) took so long. Any thread. Effort 1 says what a search
// costs in any case.
void rl_effort_cost_note(rl_effort_cost_t *self, size_t effort, uint64_t took_us);

// What a search with this effort is likely not to exceed, in µs; 0 as long as nothing is known.
// Any thread.
uint64_t rl_effort_cost_of(rl_effort_cost_t *self, size_t effort);

// The most effort of `least` to `wanted` that is likely to be done within `left_us`. Any thread.
size_t rl_effort_cost_fit(rl_effort_cost_t *self, size_t wanted, size_t least, uint64_t left_us);

#endif
