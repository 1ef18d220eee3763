// generation_passages: the passages that a shard has now: those of its generation that are not
// deleted, and those that changes have added since.
#ifndef GENERATION_PASSAGES_H
#define GENERATION_PASSAGES_H

#include "log_tailer.h"
#include "store.h"

// The changes behind a generation, of all its shards; `vectors`: those of passages added too. NULL
// as log_tailer_new.
log_tailer_t *generation_follow(const char *folder, const store_t *store, bool vectors, bool *gone,
                                char *why, size_t why_size);

// Calls `fn` with each shard of the generation in force, until it returns other than 0, and the
// changes behind it. Returns 0, what `fn` returned, or -1 with `why` where they cannot be opened.
typedef int(generation_shard_fn)(void *arg, const store_t *store, delta_t *delta, uint64_t shard,
                                 char *why, size_t why_size);
int generation_shards_each(const char *folder, generation_shard_fn *fn, void *arg, char *why,
                           size_t why_size);

// One of them, good during the call: `added` tells whether it is of the changes (its vector is
// delta_vector's), or of the generation (row id - 1). Returns 0 to go on.
typedef int(generation_passage_fn)(void *arg, uint64_t shard, uint64_t id, bool added,
                                   const rl_passage_t *passage);

// Calls `fn` with each, in the order of ids. Returns 0, what `fn` returned to stop, or -1 with
// `why` where the shard cannot be read.
int generation_passages_each(const store_t *store, delta_t *delta, uint64_t shard,
                             generation_passage_fn *fn, void *arg, char *why, size_t why_size);

#endif
