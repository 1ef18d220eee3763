// store_merge: a generation and the changes behind it become a new generation, while both are
// searched.
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include "store.h"

typedef struct store_merged {
    char generation[STORE_NAME]; // the new one
    uint64_t changes;            // that it holds, up to this number
    uint64_t documents, passages;
} store_merged_t;

// Merges all changes that are in the log now. Those that are made meanwhile stay in the log, behind
// the new generation. Returns 1; 0 when there is nothing to merge; -1 with `why`: then all is as
// before. Killed at any moment, it leaves all as before too.
int store_merge(const char *folder, store_progress_fn *progress, void *arg, store_merged_t *merged,
                char *why, size_t why_size);

// How much a merge would take in: changes that the generation in force does not have, and about how
// many bytes they take in the log. Returns 0, or -1 with `why`.
int store_unmerged(const char *folder, uint64_t *changes, uint64_t *bytes, char *why,
                   size_t why_size);

#endif
