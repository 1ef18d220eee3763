// registry_private: what the registry's files share; for them alone.
//
// announcement → registry.c (who is there) → registry_sources.c (what collections consist of)
// task → registry_pick.c (which worker gets it)
#ifndef REGISTRY_PRIVATE_H
#define REGISTRY_PRIVATE_H

#include "balance.h"
#include "registry.h"
#include "timer.h"

typedef struct replicas {
    LIST_HEAD(, worker) workers;
} replicas_t;

// What a collection should consist of.
typedef struct layout {
    char *name;
    uint64_t shards;
    uint64_t seen_us[KINDS];       // when a worker of the kind last announced itself, 0 never
    replicas_t **shards_of[KINDS]; // by shard; each stays where it is for good
    uint64_t made;                 // shards in those rows
    LIST_ENTRY(layout) all;
} layout_t;

struct registry {
    rl_proc_t *proc;
    char *gateway_id, *tokens;
    registry_events_t events;
    TAILQ_HEAD(, worker) workers;
    LIST_HEAD(, layout) layouts;
    size_t layouts_size;
    size_t size;
    rl_timer_t *sweep;
    uint64_t swept_us; // when it was last
    registry_counts_t counts;
    uint64_t version; // of who serves what, in which generation
    uint64_t random;  // for rl_choice_t
};

// Makes *text a copy of `with` if it is another text; returns whether it was.
bool registry_replace_text(char **text, const char *with);

// registry_sources.c
// Puts a retriever among the replicas of its shard and kind, and notes what its collection consists
// of; takes it away from there.
void registry_place(registry_t *self, worker_t *worker, uint64_t now);
void registry_unplace(worker_t *worker);
// Reads the fields of the metadata that it announces.
void registry_take_fields(worker_t *worker, const rl_announce_t *announce);
// Empty if nobody ever announced the source.
replicas_t *registry_replicas(registry_t *self, const source_t *source);
void registry_free_layouts(registry_t *self);

#endif
