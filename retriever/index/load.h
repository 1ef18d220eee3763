// load: the passages of a build into a distributed engine (retriever/engine.h) instead of an index
// on disk:
//
//   survey   goes through the spool once: the digest of all that will be loaded, which names the
//            load, and what passages can be filtered by
//   prepare  the collection is made there, or brought in line; its catalog says that it is loading
//   batches  several requests under way; ids are made of document and place, so that what is there
//            already is written over
//   sweep    what other loads have left is removed
//   finish   the catalog says what is there now
//
// The same passages give the same load, whatever was broken off before.
#ifndef RL_LOAD_H
#define RL_LOAD_H

#include "build_stages.h"

// Works for a turn, or waits for answers; the spool must have been rewound. The state is
// RL_BUILD_WRITING before and RL_BUILD_LOADING while it goes by answers.
void rl_build_load(rl_build_t *self);

void rl_load_destroy(rl_load_t **self_p);

#endif
