// follow: what changes do to a served generation: the folder's log is followed, and each shard's
// delta kept up to it. A thread does that as soon as something is written; a search looks at the
// log once more before it begins, so that what is acknowledged is in force for every search after
// that.
#ifndef RL_FOLLOW_H
#define RL_FOLLOW_H

#include "delta.h"
#include "field_types.h"

typedef struct rl_follow rl_follow_t;

typedef struct rl_follow_options {
    bool (*serves)(void *arg, uint64_t shard); // the shards that are kept up
    void *arg;
    rl_delta_kinds_t kinds;
} rl_follow_options_t;

// Applies all that is in the log. The store outlives it. NULL with `why`: the log is damaged, the
// generation cannot be changed, out of memory, or *gone: changes that the generation does not have
// are no longer in the log, since a newer one has them.
rl_follow_t *rl_follow_new(const char *folder, const rl_store_t *store,
                           const rl_follow_options_t *options, bool *gone, char *why,
                           size_t why_size);
void rl_follow_destroy(rl_follow_t **self_p);

// Follows the log in a thread of its own from now on.
int rl_follow_start(rl_follow_t *self, char *why, size_t why_size);

// Applies what was written since, and waits for who is at it. Any thread. Returns 0, or -1 with
// `why` when it cannot be known what is in force: the log is damaged, or has gone on without this
// generation.
int rl_follow_look(rl_follow_t *self, char *why, size_t why_size);

// Whether there is a log of changes in the folder.
bool rl_follow_has_log(const rl_follow_t *self);
// Number of the last change that all deltas have.
uint64_t rl_follow_number(const rl_follow_t *self);

// The fields of the metadata, those of passages added included.
rl_field_types_t *rl_follow_fields(const rl_follow_t *self);

// The delta of a shard, NULL if it is not served.
rl_delta_t *rl_follow_delta(const rl_follow_t *self, uint64_t shard);

#endif
