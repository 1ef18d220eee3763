// generation_merge: a generation and the changes behind it become a new generation, while both are
// searched.
#ifndef GENERATION_MERGE_H
#define GENERATION_MERGE_H

#include "generation_writer.h"

typedef struct generation_merged {
    char generation[STORE_NAME]; // the new one
    uint64_t changes;            // that it holds, up to this number
    uint64_t documents, passages;
} generation_merged_t;

// Merges all changes that are in the log now. Those that are made meanwhile stay in the log, behind
// the new generation. Returns 1; 0 when there is nothing to merge; -1 with `why`: then all is as
// before. Killed at any moment, it leaves all as before too.
int generation_merge(const char *folder, store_progress_fn *progress, void *arg,
                     generation_merged_t *merged, char *why, size_t why_size);

#endif
