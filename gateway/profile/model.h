// model: what the simulation is made of: the stations that a question passes, how many it can serve
// at a time, and what each recorded question asked of them.
//
//   gateway ─▶ embedding server ─▶ retrievers, each with its queue ─▶ gateway (merge)
//           ─▶ a generator's slot ─▶ LLM server ─▶ first token
//
// How many a worker serves at a time is not in a timeline. It is read off the recording: where a
// task had waited, all servers were busy when its turn came, so that as many were at work then as
// there are. Where none ever waited, the most that were at work at a time is all that is known:
// retrievers are then taken to have that many, generators to be without bound.
#ifndef MODEL_H
#define MODEL_H

#include "recording.h"

enum {
    MODEL_MAX_PROCESSES = 4096, // retrievers, and generators
    MODEL_MAX_SOURCES = 4096,
    MODEL_ENDLESS = 1000000000, // servers: never all busy
};

typedef struct model_settings {
    unsigned threads;     // of a retriever, 0: from the recording
    unsigned slots;       // of a generator, 0: from the recording
    unsigned embed_slots; // calls that the embedding server works at, 0: not known, never all busy
    unsigned llm_slots;   // answers that the LLM server works at, the same
    unsigned gateways;    // that were recorded
    double gateway_ms;    // CPU of a gateway for one question, 0: from the timelines
    double gateway_most_ms; // by its metrics, what it does without questions included; 0: not known
} model_settings_t;

// One process that searches, or writes.
typedef struct model_process {
    uint32_t name;
    uint32_t station; // retrievers: those with the same sources are one station
    unsigned servers;
    bool known;     // servers was measured while tasks waited, or given
    double busy_ms; // of all its servers together in the recording
    size_t tasks;
} model_process_t;

typedef struct model_source {
    uint32_t name;
    uint32_t *processes; // indices into retrievers that serve it
    size_t size;
} model_source_t;

// A question's demands; what waiting there was is left out.
typedef struct demand_search {
    uint32_t source; // index into sources
    bool after_embed, missing;
    float gap_ms;              // from its beginning (retrieval's, or the vector's) until it is sent
    float work_ms, network_ms; // missing: work_ms is how long it was waited for
} demand_search_t;

typedef struct demand {
    float read_ms;                // until retrieval began
    float embed_gap_ms, embed_ms; // embed_ms −1: none
    float merge_ms, lost_ms;
    float ask_ms;   // in the generator's slot, before the LLM server has it
    float first_ms; // LLM server: then to its first token
    float hold_ms;  // LLM server: then to its last (from the same beginning as first_ms)
    float relay_ms;
    bool generates, counts;           // counts: its first token was measured
    uint32_t searches, searches_size; // first of them in `searches`
} demand_t;

typedef struct model {
    const recording_t *recording;
    demand_t *demands;
    size_t demands_size;
    demand_search_t *searches;
    size_t searches_size;
    model_process_t *retrievers, *generators;
    size_t retrievers_size, generators_size;
    model_source_t *sources;
    size_t sources_size;
    size_t stations; // of retrievers
    unsigned gateways;
    double gateway_ms, gateway_most_ms; // for one question; what it is at most, 0: not known
    bool gateway_measured; // else it is what the timelines show, the work for tokens left out
    unsigned embed_slots, llm_slots; // MODEL_ENDLESS: not known
    unsigned embed_most, llm_most;   // most that were there at a time
    double embed_ms, llm_ms;         // mean time there (service, where the slots are given)
    double lasted_ms;                // of the recording, 0: not known
} model_t;

model_t *model_new(const recording_t *recording, const model_settings_t *settings);
void model_destroy(model_t **self_p);

// A copy that can be changed.
model_t *model_copy(const model_t *from);

// One more retriever like the busiest, `count` times, or `times` as many of each.
void model_add_retrievers(model_t *self, unsigned count);
void model_multiply_retrievers(model_t *self, unsigned times);
void model_add_generators(model_t *self, unsigned count);
void model_multiply_generators(model_t *self, unsigned times);

// ---- how busy -----------------------------------------------------------------------------------

typedef enum station_kind {
    STATION_GATEWAY,
    STATION_EMBED,
    STATION_RETRIEVERS,
    STATION_GENERATORS,
    STATION_LLM,
} station_kind_t;

typedef struct station {
    station_kind_t kind;
    uint32_t number; // STATION_RETRIEVERS: which
    size_t processes;
    double servers; // of all its processes; MODEL_ENDLESS and above: not known
    bool known;
    double demand_ms; // of one question, in the mean
    double saturates; // questions per second that keep all servers busy; 0: not known
    double busy;      // share of the servers' time at the recorded rate, −1: not known
} station_t;

// The station at `at`; false behind the last.
bool model_station(const model_t *self, size_t at, station_t *out);
// Words for it: "retrievers of docs/0/dense and 3 more".
void model_station_name(const model_t *self, const station_t *station, char *out, size_t size);

#endif
