// effort: how much of an index one search looks at, what that costs on this machine, and how much
// of it fits into the time that is left.
#ifndef EFFORT_H
#define EFFORT_H

#include <stddef.h>
#include <stdint.h>

typedef enum effort_kind {
    EFFORT_NONE,      // the index has nothing to choose: it looks at all
    EFFORT_NPROBE,    // lists of an inverted file that are looked into
    EFFORT_EF_SEARCH, // candidates that a search of a graph keeps
    EFFORT_KINDS,     // their number
} effort_kind_t;

// "", "nprobe", "ef_search".
extern const char *const effort_names[EFFORT_KINDS];

enum {
    EFFORT_MOST = 1 << 16, // that may be asked for
};

// Of one search.
typedef struct effort {
    effort_kind_t kind;
    size_t wanted;
    size_t used; // less than wanted: the deadline was too near for more
} effort_t;

typedef struct effort_cost effort_cost_t;

// What searches cost, learnt from earlier ones. Never NULL.
effort_cost_t *effort_cost_new(void);
void effort_cost_destroy(effort_cost_t **self_p);

// A search with this effort (at least 1) took so long. Any thread. Effort 1 says what a search
// costs in any case.
void effort_cost_note(effort_cost_t *self, size_t effort, uint64_t took_us);

// What a search with this effort is likely not to exceed, in µs; 0 as long as nothing is known.
// Any thread.
uint64_t effort_cost_of(effort_cost_t *self, size_t effort);

// The most effort of `least` to `wanted` that is likely to be done within `left_us`. Any thread.
size_t effort_cost_fit(effort_cost_t *self, size_t wanted, size_t least, uint64_t left_us);

#endif
