// sim: a discrete-event simulation of the model: questions arrive, wait in each station's queue,
// are served for as long as the recording says, and get their first token.
//
// Each station serves first come, first served; a search goes to the replica that the gateway would
// choose (balance.h) and a question to any generator with a free slot. Which
// recorded question stands behind which arrival is drawn anew in each round, by a generator of its
// own: the same seed gives the same result on any machine. Not simulated: hedging, deadlines,
// batches of searches.
#ifndef SIM_H
#define SIM_H

#include "model.h"

typedef struct sim_load {
    double rate;  // questions a second; 0: as recorded
    bool poisson; // arrivals at random, where the recorded ones are not to be used or not known
    size_t least; // questions to simulate, at least; whole rounds of the recording
    uint64_t seed;
} sim_load_t;

typedef struct sim_result {
    size_t questions;                       // with a first token
    double rate;                            // that arrived, per second
    double p50_ms, p90_ms, p99_ms, mean_ms; // time to the first token
    double search_wait_ms, slot_wait_ms;    // mean of each search, of each answer
    double gateway_wait_ms, embed_wait_ms, llm_wait_ms;
} sim_result_t;

enum {
    SIM_MAX_QUESTIONS = 2000000, // of one run
};

// Returns false where there is nothing to simulate: no rate is known, or no answer was generated.
bool sim_run(const model_t *model, const sim_load_t *load, sim_result_t *out);

#endif
