// passage_set: merged passages that more than one question may use: what the cache keeps, and what
// the question that searched hands to those that asked the same meanwhile.
#ifndef PASSAGE_SET_H
#define PASSAGE_SET_H

#include "lru.h"
#include "merged_passage.h"

// What a complete retrieval found. Counted references; never changed.
typedef struct passage_set {
    unsigned references;
    merged_passage_t *passages; // of merge; owned
    size_t passages_size;
    unsigned of;        // sources, which all answered
    bool sound;         // from the current generations, with all the search effort that was wanted:
                        // an answer from them may be kept
    char rest[LRU_KEY]; // key of everything but the question's words
    float *vector;      // the question's, NULL without dense retrieval; owned
    size_t dimension;
} passage_set_t;

// Takes the passages.
passage_set_t *passage_set_new(merged_passage_t *passages, size_t size, unsigned of);
passage_set_t *passage_set_ref(passage_set_t *self);
void passage_set_unref(passage_set_t **self_p);
// Bytes of memory, about.
size_t passage_set_cost(const passage_set_t *self);

#endif
