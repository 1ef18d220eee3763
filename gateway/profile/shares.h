// shares: what the first token waited for: each stage's part of the critical path, in the answers
// about the median and in the slowest.
#ifndef SHARES_H
#define SHARES_H

#include "recording.h"

enum {
    SHARES_MAX = 64, // stages that are told apart
};

typedef struct share {
    uint32_t stage;
    uint32_t source;       // that has most of it at p99, RECORDING_NONE if it is no search's
    double source_part;    // and what part, 0 to 1
    double p50_ms, p99_ms; // mean in the answers about that percentile of the first token
    double without_50_ms, without_99_ms; // of the same, the first token had the stage taken no time
    double own_p50_ms, own_p99_ms; // percentiles of the stage itself, where it was on the path
    size_t on_path;                // answers in which the first token waited for it
} share_t;

typedef struct shares {
    share_t rows[SHARES_MAX]; // the largest at p99 first
    size_t size;
    size_t answers, without_path, slow; // with a first token; of them without a path; at p99
    double p50_ms, p99_ms, mean_ms;     // the first token
} shares_t;

void shares_of(const recording_t *recording, shares_t *out);

#endif
