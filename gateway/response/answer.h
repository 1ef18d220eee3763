// answer: what is known so far of the answer to one question; filled by the request's states,
// written out by a response.
#ifndef ANSWER_H
#define ANSWER_H

#include <jansson.h>

#include "buf.h"
#include "merged_passage.h"
#include "question.h"
#include "timeline.h"

typedef struct answer_citation {
    uint64_t passage;    // from 1
    uint64_t start, end; // code points of the answer's text
    double score;
} answer_citation_t;

// What one passage says, before the model does.
typedef struct answer_preview {
    const char *text;
    size_t passage; // from 1
    double score;   // share of the question's words, weighted: 0 to 1
} answer_preview_t;

typedef struct answer {
    const char *id;  // http_id of the request
    int64_t created; // Unix time in seconds
    // retrieval
    const merged_passage_t *passages; // best first
    size_t passages_size;
    unsigned answered, of; // sources
    const missing_source_t *missing;
    size_t missing_size;
    const missing_source_t *awaited; // while searching: sources that may answer yet
    size_t awaited_size;
    char headline[96];   // "8 passages from 4 of 4 sources"
    const char *prefill; // of a draft: what came of reading the passages ahead; static
    bool settled;        // of a draft: the passages are those of the one before
    // generation
    rl_buf_t text; // as far as it has come
    answer_citation_t *citations;
    size_t citations_size;
    char *finish, *model, *upstream; // NULL until done
    uint64_t prompt_tokens, completion_tokens, passages_used;
    const timeline_t *timeline; // NULL until done
} answer_t;

typedef struct answer_error {
    int status;       // HTTP
    const char *code; // "no_generator", "llm_unreachable"…
    const char *message;
    long retry_after_s; // 0: none
} answer_error_t;

#endif
