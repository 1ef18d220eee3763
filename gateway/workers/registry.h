// registry: the workers that are there, as their announcements say, and the choice among them.
// There is no configured list of workers: a worker that does not announce itself again is gone.
#ifndef REGISTRY_H
#define REGISTRY_H

#include <jansson.h>

#include "kind.h"
#include "latency.h"
#include "tasks.h"
#include "wire.h"

typedef enum worker_role {
    ROLE_DENSE = KIND_DENSE,
    ROLE_LEXICAL = KIND_LEXICAL,
    ROLE_GENERATOR,
    ROLES, // their number
} worker_role_t;

struct replicas; // the workers of one shard and kind; private to the registry

typedef struct worker {
    char *id;
    worker_role_t role;
    char *tasks_endpoint;
    rl_wire_t *push;
    uint64_t route;
    bool ready, leaving;
    // as announced
    uint64_t queued, running, slots, service_us, served, period_ms;
    char *collection, *generation, *embedding_model, *model, *language;
    char *fingerprint;   // of a generator's model: what answers depend on, "" if not known
    bool prefill;        // its LLM server caches prompts
    char *fields;        // of the metadata, as announced
    json_t *field_types; // the same, read; NULL if it is no object
    bool fields_more;
    uint64_t shard, shards, dimension, passages;
    // as seen from here
    uint64_t seen_us;     // of the last announcement
    uint64_t welcomed_us; // of the last WELCOME sent
    uint64_t leaving_us;
    size_t outstanding; // tasks given and not answered
    struct task_list tasks;
    latency_t latency;         // of recent tasks, sent to answered
    struct replicas *replicas; // that it is one of; NULL for a generator
    LIST_ENTRY(worker) replica;
    TAILQ_ENTRY(worker) all;
} worker_t;

// What a question can be sent to: one shard of a collection by one kind of retrieval.
typedef struct source {
    const char *collection; // owned by the registry, as long as it lives
    uint64_t shard;
    kind_t kind;
    struct replicas *replicas; // of registry_sources; NULL: looked up by the others
} source_t;

typedef struct registry registry_t;

typedef struct registry_events {
    // The worker has been removed: all its tasks (worker->tasks) must end before this returns.
    void (*lost)(void *arg, worker_t *worker);
    // A worker became ready, or has room again.
    void (*ready)(void *arg);
    void *arg;
} registry_events_t;

// `gateway_id` and `tokens` (endpoint as generators reach it) go out in WELCOME.
registry_t *registry_new(rl_proc_t *proc, const char *gateway_id, const char *tokens,
                         const registry_events_t *events);
void registry_destroy(registry_t **self_p);

void registry_announced(registry_t *self, const rl_announce_t *announce);
void registry_left(registry_t *self, const rl_leave_t *leave);

// The ready replica with the least outstanding work (ties at random) that is not `except` (may be
// NULL) and has fewer than `bound` tasks; NULL if there is none. At a replica that is much slower
// than the others each task counts for more, so that it gets less; one whose announcement is
// overdue is the last choice.
worker_t *registry_pick(registry_t *self, const source_t *source, const worker_t *except,
                        size_t bound);
// The same among generators, by outstanding work per slot; only those with a free slot.
worker_t *registry_pick_generator(registry_t *self, const worker_t *except);
// The worker with this id; NULL: it is not known.
worker_t *registry_find(registry_t *self, const char *id);
// The generator with this id, if it has a free slot; NULL otherwise.
worker_t *registry_find_generator(registry_t *self, const char *id);
// A generator whose LLM server can prefill prompts, with a free slot, the least busy; NULL if none.
worker_t *registry_pick_prefiller(registry_t *self);
// The 95th percentile of the recent durations of the source's fastest replica, in µs; 0 if too few
// are known or the source has only one replica that is ready.
uint64_t registry_hedge_after_us(registry_t *self, const source_t *source);
// The model fingerprints of the ready generators, each once, at most `most`; their number.
// Borrowed: valid until the next announcement.
size_t registry_fingerprints(registry_t *self, const char **out, size_t most);
// Whether a replica of the source (a generator) is ready, busy or not.
bool registry_has_replica(registry_t *self, const source_t *source);
bool registry_has_generator(registry_t *self);
// Any replica of the source, ready or not; NULL if none announces itself.
const worker_t *registry_find_replica(registry_t *self, const source_t *source);

// The sources a question to `collection` should be sent to: every shard there should be by every
// kind that was there in the last ten minutes and is in `kinds`. Shards without a worker are among
// them, so that a missing one is noticed. Returns their number, at most `max`.
size_t registry_sources(registry_t *self, const char *collection, const bool kinds[KINDS],
                        source_t *out, size_t max);
// The newest index generation of those that ready replicas of the source announce, "" if none.
// Behind "+" stands the number of the last change that is applied to it: "g-000003+127".
const char *registry_generation(registry_t *self, const source_t *source);
// Grows whenever what registry_generation gives may have changed.
uint64_t registry_version(const registry_t *self);
// A worker has answered from this generation: where it is newer than the one that it announced, it
// counts at once.
void registry_note_generation(registry_t *self, worker_t *worker, const char *generation);
// Whether the source's index takes changes between its generations.
bool registry_takes_changes(registry_t *self, const source_t *source);
// Generations are named g-000001 and up: < 0 if a is older than b; changes do not matter.
int registry_compare_generations(const char *a, const char *b);
bool registry_knows(registry_t *self, const char *collection);

// Names and types of the fields that filters on the collection can name: {"year": "number"}, owned
// by the registry; NULL if none are announced. *more: there may be others (too many to be named, or
// nobody serves the collection now).
const json_t *registry_fields(registry_t *self, const char *collection, bool *more);

// Names of all collections in the order of their names; caller frees the array, not the names.
const char **registry_collections(registry_t *self, size_t *size);

// For GET /v1/workers, /v1/info and metrics.
json_t *registry_workers_json(registry_t *self);
json_t *registry_collections_json(registry_t *self);
typedef struct registry_counts {
    size_t workers[ROLES], ready[ROLES], outstanding[ROLES];
    uint64_t joined, left, lost, refused;
} registry_counts_t;
registry_counts_t registry_counts(registry_t *self);
worker_t *registry_first(registry_t *self);
worker_t *registry_next(worker_t *worker);
const char *worker_role_name(worker_role_t role);
const char *worker_state_name(const worker_t *worker); // "starting", "ready", "leaving"

#endif
