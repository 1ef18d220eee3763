// change_merge: merges the changes of a run into a new generation when many have gathered, in a
// thread that yields to everything else on the machine.
#ifndef CHANGE_MERGE_H
#define CHANGE_MERGE_H

#include "change_target.h"
#include "generation_merge.h"

typedef struct change_merge change_merge_t;

change_merge_t *change_merge_new(change_target_t *target);
// Waits for the one that is at work.
void change_merge_destroy(change_merge_t **self_p);

// Starts a merge if enough has gathered up to change number `last` (or `anyway`), and takes the end
// of one.
void change_merge_poll(change_merge_t *self, uint64_t last, bool anyway);

// Waits for the one that is at work, and takes its end.
void change_merge_wait(change_merge_t *self);

bool change_merge_is_running(const change_merge_t *self);

// Whether so much has gathered that the merge must catch up first.
bool change_merge_is_behind(const change_merge_t *self, uint64_t last);

// What the last one returned (generation_merge), and made.
int change_merge_result(const change_merge_t *self, generation_merged_t *merged);

#endif
