// recording: the answers that a profile is made of, read from what was recorded: timelines of
// GET /v1/traces, or `timings` objects that a client saved.
//
// Of each answer only what the profile needs is kept, in one block of its own. Durations are
// milliseconds; points in time are milliseconds since the question's first byte.
#ifndef RECORDING_H
#define RECORDING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

enum {
    RECORDING_MAX_ANSWERS = 200000,   // the newest that are kept
    RECORDING_MAX_PIECES = 4000000,   // searches and steps of all of them together
    RECORDING_MAX_OF_ANSWER = 2000,   // searches of one answer
    RECORDING_MAX_STEPS = 64,         // of one critical path
    RECORDING_NONE = (int)0xffffffff, // no such name
};

// One source's search.
typedef struct seek {
    uint32_t source, worker; // names
    float start_ms, took_ms; // took: queue + work + network where it answered
    float queue_ms, work_ms, network_ms;
    bool missing; // no answer: nothing but the time until it was given up is known
} seek_t;

// A step of the critical path.
typedef struct charge {
    uint32_t stage, source; // names; source RECORDING_NONE where the stage is no search's
    float ms, without_ms;
} charge_t;

typedef struct answer_record {
    double at_ms; // Unix time of the question's first byte; NAN: not recorded
    float total_ms;
    float first_ms;                 // first token, −1: none came
    float search_ms;                // retrieval began (the question was read, and rewritten)
    float embed_start_ms, embed_ms; // embed_ms −1: not embedded
    float found_ms;                 // the last of the searches and the embedding was over
    float merge_ms;                 // from then until a generator was looked for
    float wait_ms;                  // for a generator's slot in the gateway
    float lost_ms;                  // with generators that failed
    float queue_ms;                 // inside the generator
    float ask_ms;                   // prompt, connection, request
    float prefill_ms;               // then to the LLM's first token
    float tokens_ms;                // then to its last
    float relay_ms;                 // of the first token's time, what is left
    float generate_ms;              // when the generator got it, −1: none did
    uint32_t generator;             // name of the worker
    uint32_t tokens;
    uint32_t seeks_size, charges_size;
    const seek_t *seeks;
    const charge_t *charges;
} answer_record_t;

typedef struct recording recording_t;

recording_t *recording_new(void);
void recording_destroy(recording_t **self_p);

// Takes one JSON value: a timeline, an object with `timings` inside it, or a list of either (an
// array, or the member `traces`). What is none of these is counted and left out.
void recording_take(recording_t *self, const json_t *value);

// Answers in the order of their arrival (of the recording, where that is not known).
size_t recording_size(const recording_t *self);
const answer_record_t *recording_at(const recording_t *self, size_t at);
names_t *recording_names(const recording_t *self);

// Values that were no timelines; answers that were dropped because there were too many.
size_t recording_foreign(const recording_t *self);
size_t recording_dropped(const recording_t *self);

// Sorts by arrival and keeps the busiest stretch of `window_s`, if arrivals are known.
void recording_busiest(recording_t *self, double window_s);
// Answers per second from the first arrival to the last; 0: not known.
double recording_rate(const recording_t *self);
// Milliseconds between these two arrivals; 0: not known.
double recording_lasted_ms(const recording_t *self);

// Index of the search's process among the names: a worker's id up to its first "/".
uint32_t recording_process(const recording_t *self, uint32_t worker);

#endif
