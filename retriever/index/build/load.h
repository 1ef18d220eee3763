// load: the passages of a build into a distributed engine (retriever/engine.h) instead of an index
// on disk:
//
//   survey   goes through the spool once: the digest of all that will be loaded, which names the
//            load, and what passages can be filtered by
//   prepare  the collection is made there, or brought in line; its catalog says that it is loading
//   check    what the engine says about itself: faults that searches will have are told
//   batches  several requests under way; ids are made of document and place, so that what is there
//            already is written over
//   sweep    what other loads have left is removed
//   probe    some passages are searched for by their words until the engine finds them, which can
//            be as late as it writes them to disk; what it does not find then is told
//   finish   the catalog says what is there now
//
// The same passages give the same load, whatever was broken off before.
#ifndef LOAD_H
#define LOAD_H

#include "build_stages.h"

// Works for a turn, or waits for answers; the spool must have been rewound. The state is
// BUILD_WRITING before and BUILD_LOADING while it goes by answers.
void build_load(build_t *self);

void load_destroy(load_t **self_p);

#endif
