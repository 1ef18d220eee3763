// build: one run of ragline-index, from files to a generation in force:
//
//   reading    files → documents → passages, into the spool; which embeddings are not cached yet.
//              Where nothing is to be embedded, into the new generation at once
//   embedding  those, by the embedding server, into the cache
//   writing    spool and cache → the new generation, or a distributed engine (load.h)
//   finishing  the generation, shard by shard: text, training, vectors; then checksums, CURRENT
//
// A build that ends before that leaves the old generation in force, and in the cache all that was
// embedded, from which the next run goes on.
#ifndef BUILD_H
#define BUILD_H

#include "plan.h"
#include "proc.h"
#include "report.h"

typedef struct build build_t;

// What the program's exit status says.
enum {
    BUILD_WHOLE = 0,         // everything is in the index
    BUILD_PARTS = 1,         // the index is in force, but some documents are not wholly in it
    BUILD_WRONG = 2,         // wrong use: nothing was begun
    BUILD_FAILED = 3,        // nothing was changed; the old index stays in force
    BUILD_INTERRUPTED = 130, // by a signal; the old one stays in force, the next run resumes
};

// Starts; the work is done from the loop, which it ends with one of the above. Plan and report must
// outlive it.
build_t *build_new(rl_proc_t *proc, const plan_t *plan, report_t *report);
void build_destroy(build_t **self_p);

#endif
