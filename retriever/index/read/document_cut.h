// document_cut: the passages of a document, as an index holds them.
#ifndef DOCUMENT_CUT_H
#define DOCUMENT_CUT_H

#include "chunker.h"
#include "proto.h"

// Takes one passage, whose strings (none is NULL) and hash are set; they are good during the call.
// Returns 0 to go on.
typedef int(document_passage_fn)(void *arg, const rl_passage_t *passage);

// Cuts by these rules; NULL: the document stays whole, as one that brings its vector does, since
// who embedded it has cut it. It must have blocks. Returns 0, what `fn` returned to stop, or -1 if
// memory ran out.
int document_cut(const document_t *doc, const chunk_rules_t *rules, document_passage_fn *fn,
                 void *arg);

// What is embedded for a passage (chunk_embedded) in the place of what is in `out`. Returns 0,
// or -1 when it does not fit into the buffer.
int document_embedded(const chunk_rules_t *rules, const rl_passage_t *passage, rl_buf_t *out);

#endif
