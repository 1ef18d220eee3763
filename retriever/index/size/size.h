// size: how many shards, replicas and machines a corpus wants, computed from what was measured on
// the machine at hand (rl_size_measure). No more than a rule of proportion with its laws stated;
// what the index in the end takes is said by ragline-index --check and by /metrics.
#ifndef RL_SIZE_H
#define RL_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conf.h"

enum {
    RL_SIZE_MAX_SHARDS = 1024,
    RL_SIZE_MACHINES = 8, // more of them than this: the engine's work (see rl_size_report)
};

typedef enum rl_size_index {
    RL_SIZE_FLAT,  // exact; t ~ n
    RL_SIZE_GRAPH, // HNSW32; t ~ log n (Malkov and Yashunin, 2016)
    RL_SIZE_LISTS, // IVF,SQ8 with lists as the square root of n, as many of them looked into: t ~
                   // sqrt n
    RL_SIZE_INDEXES,
} rl_size_index_t;

// One kind of index, measured in one thread with so many passages.
typedef struct rl_size_kind {
    double p50_ms, p99_ms; // of a search for gateway.candidates (50)
    double recall;         // of the 10 best, against exact search
    double bytes;          // of the index for a passage
    double per_s;          // vectors built a second
} rl_size_kind_t;

typedef struct rl_size_figures {
    double passages;  // in what was measured
    double dimension; // of the vectors
    rl_size_kind_t kinds[RL_SIZE_INDEXES];
    rl_size_kind_t words; // of the words' index; recall is 1
    double words_power;   // its p50 grows as n to this power
    double stored;        // bytes of text and metadata a passage, read for hits only
} rl_size_figures_t;

typedef struct rl_size_wish {
    double passages, rate, latency_ms; // questions a second at the busiest, p99 of a search
    unsigned replicas;                 // of each shard, at least
    double memory;                     // bytes of a machine
    unsigned cores;                    // of a machine
} rl_size_wish_t;

// What one kind of index takes.
typedef struct rl_size_need {
    bool possible; // within the latency, with at most RL_SIZE_MAX_SHARDS shards
    unsigned shards, replicas, machines;
    double shard_passages, shard_memory; // of one shard; bytes
    double dense_p99_ms, lexical_p99_ms; // of one shard's search
    double cores;                        // that are busy at this rate, all machines
    double build_s;                      // on a machine like this one, words included
} rl_size_need_t;

// Time of a search of `passages` in one shard; share: 50 or 99.
double rl_size_dense_ms(const rl_size_figures_t *figures, rl_size_index_t index, double passages,
                        int share);
double rl_size_lexical_ms(const rl_size_figures_t *figures, double passages, int share);

// The fewest shards that keep the latency and fit into a machine each, then the machines that hold
// them and have the cores: a search may take half of the latency (the rest is for waiting its
// turn), cores may be busy for 60 %, four fifths of the memory used; with replicas, one machine may
// be gone.
void rl_size_need(const rl_size_figures_t *figures, const rl_size_wish_t *wish,
                  rl_size_index_t index, rl_size_need_t *need);

// The kind to take: the fewest machines, then the fewest shards, then what the builder takes.
// RL_SIZE_INDEXES if none is possible.
rl_size_index_t rl_size_choose(const rl_size_figures_t *figures, const rl_size_wish_t *wish,
                               rl_size_need_t needs[RL_SIZE_INDEXES]);

// "Flat", "HNSW32", "IVF4096,SQ8" for a shard of so many passages, into `out` of 32 bytes.
void rl_size_factory(rl_size_index_t index, double passages, char *out);

// All of it in words.
void rl_size_report(const rl_size_figures_t *figures, const rl_size_wish_t *wish, FILE *out);

// Measures on this machine, in one thread (its CPU time), with made-up passages (synthetic.h) that
// it indexes in a temporary folder: about half a minute for 25,000 of 384 dimensions. `say` is told
// what it does. Returns 0, or -1 with `why`.
int rl_size_measure(size_t passages, size_t dimension, void (*say)(const char *what),
                    rl_size_figures_t *figures, char *why, size_t why_size);

// What `ragline-index --size-passages N` does. Returns its exit status (rl_build's, build.h).
int rl_size_run(const rl_conf_t *conf);

// As JSON in a file. Both return 0, or -1 with what is wrong in `why`.
int rl_size_save(const rl_size_figures_t *figures, const char *path, char *why, size_t why_size);
int rl_size_load(rl_size_figures_t *figures, const char *path, char *why, size_t why_size);

#endif
