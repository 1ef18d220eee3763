// choice: the same rules and constants as the gateway's registry.
#include "choice.h"

enum {
    SLOW_TIMES = 2,
    PROBE_EVERY = 32,
};

static double fastest_median(const choice_t *replicas, size_t size)
{
    double fastest = 0;
    for (size_t at = 0; at < size; at++)
        if (replicas[at].median_ms > 0 && (fastest <= 0 || replicas[at].median_ms < fastest))
            fastest = replicas[at].median_ms;
    return fastest;
}

static double load_of(const choice_t *replica, double fastest)
{
    double unit =
        fastest > 0 && replica->median_ms > fastest * SLOW_TIMES ? replica->median_ms / fastest : 1;
    return (replica->outstanding + 1) * unit;
}

size_t choice_of(const choice_t *replicas, size_t size, uint64_t random)
{
    double fastest = random % PROBE_EVERY == 0 ? 0 : fastest_median(replicas, size), least = 0;
    size_t best = 0, ties = 0;
    random /= PROBE_EVERY;
    for (size_t at = 0; at < size; at++) {
        double load = load_of(&replicas[at], fastest);
        if (at > 0 && load > least)
            continue;
        ties = at > 0 && load >= least ? ties + 1 : 1;
        if (ties > 1) {
            uint64_t chance = random % ties;
            random = random / ties + (random << 40); // enough chance for the next
            if (chance != 0)
                continue;
        }
        best = at;
        least = load;
    }
    return best;
}

void choice_done(choice_t *self, double ms)
{
    double sorted[CHOICE_LAST];
    self->outstanding--;
    self->last[self->count++ % CHOICE_LAST] = ms;
    unsigned size = self->count < CHOICE_LAST ? self->count : CHOICE_LAST;
    if (size < CHOICE_LAST / 2)
        return;
    for (unsigned at = 0, hole; at < size; at++) { // few enough to sort by insertion
        for (hole = at; hole > 0 && sorted[hole - 1] > self->last[at]; hole--)
            sorted[hole] = sorted[hole - 1];
        sorted[hole] = self->last[at];
    }
    self->median_ms = sorted[size / 2] > 0 ? sorted[size / 2] : 1e-3;
}
