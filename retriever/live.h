// live: what changes do to a served generation: the folder's log is followed, and each shard's
// delta kept up to it. A thread does that as soon as something is written; a search looks at the
// log once more before it begins, so that what is acknowledged is in force for every search after
// that.
#ifndef RL_LIVE_H
#define RL_LIVE_H

#include "delta.h"
#include "field_types.h"

typedef struct rl_live rl_live_t;

typedef struct rl_live_options {
    bool (*serves)(void *arg, uint64_t shard); // the shards that are kept up
    void *arg;
    rl_delta_kinds_t kinds;
} rl_live_options_t;

// Applies all that is in the log. The store outlives it. NULL with `why`: the log is damaged, the
// generation cannot be changed, out of memory, or *gone: changes that the generation does not have
// are no longer in the log, since a newer one has them.
rl_live_t *rl_live_new(const char *folder, const rl_store_t *store,
                       const rl_live_options_t *options, bool *gone, char *why, size_t why_size);
void rl_live_destroy(rl_live_t **self_p);

// Follows the log in a thread of its own from now on.
int rl_live_follow(rl_live_t *self, char *why, size_t why_size);

// Applies what was written since, and waits for who is at it. Any thread. Returns 0, or -1 with
// `why` when it cannot be known what is in force: the log is damaged, or has gone on without this
// generation.
int rl_live_look(rl_live_t *self, char *why, size_t why_size);

// Whether there is a log of changes in the folder.
bool rl_live_has_log(const rl_live_t *self);
// Number of the last change that all deltas have.
uint64_t rl_live_number(const rl_live_t *self);

// The fields of the metadata, those of passages added included.
rl_field_types_t *rl_live_fields(const rl_live_t *self);

// The delta of a shard, NULL if it is not served.
rl_delta_t *rl_live_delta(const rl_live_t *self, uint64_t shard);

#endif
