// whatif: what one more retriever, generator or gateway would change, by simulation, and how far
// the simulation is from what was recorded.
#ifndef WHATIF_H
#define WHATIF_H

#include "model.h"
#include "shares.h"
#include "sim.h"

enum {
    WHATIF_MAX = 8,
    WHATIF_NAME = 160,
};

// More of something: +N, or N times as many.
typedef struct more {
    unsigned add, times; // times 1: none
} more_t;

typedef struct whatif_settings {
    more_t retrievers, generators, gateways;
    double rate; // 0: as recorded
    bool poisson;
    uint64_t seed;
} whatif_settings_t;

typedef struct whatif {
    char name[WHATIF_NAME];
    bool possible; // there was something to simulate
    sim_result_t sim;
    double saturates;        // questions per second, 0: not known
    char first[WHATIF_NAME]; // the station that does
    bool over;               // more come than that
} whatif_t;

typedef struct whatifs {
    whatif_t rows[WHATIF_MAX]; // the first is the configuration that was recorded, at its rate
    size_t size;
    double error_p50, error_p99; // of the first: simulated to measured, less 1
    bool compared;
} whatifs_t;

// "+2" or "x2" ("×2"); false where it is neither. "" is none.
bool more_read(const char *text, more_t *out);

void whatif_all(const model_t *model, const shares_t *measured, const whatif_settings_t *settings,
                whatifs_t *out);

// Which station saturates first; false where none is known to.
bool whatif_first(const model_t *model, station_t *out);

#endif
