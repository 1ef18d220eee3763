// size: how many shards, replicas and machines a corpus wants, computed from what was measured on
// the machine at hand (capacity_measure). No more than a rule of proportion with its laws stated;
// what the index in the end takes is said by ragline-index --check and by /metrics.
#ifndef CAPACITY_H
#define CAPACITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conf.h"

enum {
    CAPACITY_MAX_SHARDS = 1024,
    CAPACITY_MACHINES = 8, // more of them than this: the engine's work (see capacity_report)
};

typedef enum capacity_index {
    CAPACITY_FLAT,  // exact; t ~ n
    CAPACITY_GRAPH, // HNSW32; t ~ log n (Malkov and Yashunin, 2016)
    CAPACITY_LISTS, // IVF,SQ8 with lists as the square root of n, as many of them looked into: t ~
                    // sqrt n
    CAPACITY_INDEXES,
} capacity_index_t;

// One kind of index, measured in one thread with so many passages.
typedef struct capacity_kind {
    double p50_ms, p99_ms; // of a search for gateway.candidates (50)
    double recall;         // of the 10 best, against exact search
    double bytes;          // of the index for a passage
    double per_s;          // vectors built a second
} capacity_kind_t;

typedef struct capacity_figures {
    double passages;  // in what was measured
    double dimension; // of the vectors
    capacity_kind_t kinds[CAPACITY_INDEXES];
    capacity_kind_t words; // of the words' index; recall is 1
    double words_power;    // its p50 grows as n to this power
    double stored;         // bytes of text and metadata a passage, read for hits only
} capacity_figures_t;

typedef struct capacity_workload {
    double passages, rate, latency_ms; // questions a second at the busiest, p99 of a search
    unsigned replicas;                 // of each shard, at least
    double memory;                     // bytes of a machine
    unsigned cores;                    // of a machine
} capacity_workload_t;

// What one kind of index takes.
typedef struct capacity_need {
    bool possible; // within the latency, with at most CAPACITY_MAX_SHARDS shards
    unsigned shards, replicas, machines;
    double shard_passages, shard_memory; // of one shard; bytes
    double dense_p99_ms, lexical_p99_ms; // of one shard's search
    double cores;                        // that are busy at this rate, all machines
    double build_s;                      // on a machine like this one, words included
} capacity_need_t;

// Time of a search of `passages` in one shard; share: 50 or 99.
double capacity_dense_ms(const capacity_figures_t *figures, capacity_index_t index, double passages,
                         int share);
double capacity_lexical_ms(const capacity_figures_t *figures, double passages, int share);

// The fewest shards that keep the latency and fit into a machine each, then the machines that hold
// them and have the cores: a search may take half of the latency (the rest is for waiting its
// turn), cores may be busy for 60 %, four fifths of the memory used; with replicas, one machine may
// be gone.
void capacity_need(const capacity_figures_t *figures, const capacity_workload_t *workload,
                   capacity_index_t index, capacity_need_t *need);

// The kind to take: the fewest machines, then the fewest shards, then what the builder takes.
// CAPACITY_INDEXES if none is possible.
capacity_index_t capacity_choose(const capacity_figures_t *figures,
                                 const capacity_workload_t *workload,
                                 capacity_need_t needs[CAPACITY_INDEXES]);

// "Flat", "HNSW32", "IVF4096,SQ8" for a shard of so many passages, into `out` of 32 bytes.
void capacity_factory(capacity_index_t index, double passages, char *out);

// All of it in words.
void capacity_report(const capacity_figures_t *figures, const capacity_workload_t *workload,
                     FILE *out);

// Measures on this machine, in one thread (its CPU time), with made-up passages (synthetic.h) that
// it indexes in a temporary folder: about half a minute for 25,000 of 384 dimensions. `say` is told
// what it does. Returns 0, or -1 with `why`.
int capacity_measure(size_t passages, size_t dimension, void (*say)(const char *what),
                     capacity_figures_t *figures, char *why, size_t why_size);

// What `ragline-index --size-passages N` does. Returns its exit status (build's, build.h).
int capacity_run(const rl_conf_t *conf);

// As JSON in a file. Both return 0, or -1 with what is wrong in `why`.
int capacity_save(const capacity_figures_t *figures, const char *path, char *why, size_t why_size);
int capacity_load(capacity_figures_t *figures, const char *path, char *why, size_t why_size);

#endif
