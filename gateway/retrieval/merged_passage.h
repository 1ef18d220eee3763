// merged_passage: the result of retrieval: passages in one order, and the sources that did not
// answer.
#ifndef MERGED_PASSAGE_H
#define MERGED_PASSAGE_H

#include "kind.h"
#include "proto.h"

typedef struct merged_passage {
    const rl_passage_t *passage; // owned by the HITS message that the request keeps
    const char *collection;
    uint64_t shard;
    bool kinds[KINDS]; // which kinds of retrieval found it
    double score;      // fused
} merged_passage_t;

typedef struct missing_source {
    char source[96]; // "docs/0/dense"
    char reason[160];
} missing_source_t;

#endif
