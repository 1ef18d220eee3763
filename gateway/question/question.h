// question: what a client asked, read from JSON and checked, whatever form it came in.
#ifndef QUESTION_H
#define QUESTION_H

#include "http.h"
#include "kind.h"
#include "proto.h"

typedef enum question_form {
    FORM_ASK,    // POST /v1/ask
    FORM_SEARCH, // POST /v1/search
    FORM_CHAT,   // POST /v1/chat/completions
    FORM_DRAFT,  // POST /v1/draft
} question_form_t;

enum {
    QUESTION_MAX_COLLECTIONS = 64,
    QUESTION_MAX_K = 100
};

typedef struct question {
    question_form_t form;
    char *text;       // the question, never empty
    rl_turn_t *turns; // earlier turns, oldest first
    size_t turns_size;
    char *collections[QUESTION_MAX_COLLECTIONS];
    size_t collections_size; // 0: the gateway's default
    unsigned k;              // passages wanted; 0: the gateway's default
    bool kinds[KINDS];       // which kinds of retrieval to use (all true by default)
    double weights[KINDS];   // < 0: the gateway's default
    bool stream;
    bool require_all;  // a missing source is an error
    bool continuation; // an answer whose generator is lost is continued by another one
    bool fresh;        // the answer is written anew, also where it was given before
    bool preview,
        preview_given; // a quotation while the model reads; whether the client says it
    bool resumable;    // the answer outlives its connection, for a client that comes back
    long timeout_ms, soft_ms, hard_ms; // 0: the gateway's default
    long target_first_token_ms;        // passages are cut to be read in so long; 0: the generator's
    unsigned quorum;                   // 0: default
    unsigned nprobe, ef_search; // how much of an index to search, by its kind; 0: the index's own
    char *filter;        // condition on the passages' metadata: canonical text (filter.h), or NULL
    char *draft;         // the session of drafts that it belongs to; NULL: none
    char *params;        // JSON object for the LLM: sampling fields as the client sent them
    unsigned max_tokens; // 0: default
    char *model;         // as the client named it ("ragline" if it did not)
    bool want_timings, want_progress, want_usage, inline_citations; // of FORM_CHAT
} question_t;

// Reads the request's body. On anything wrong answers the request with an error that names the
// field (*req_p becomes NULL) and returns NULL. Collections that the caller may not read and
// unknown fields are refused here; unknown collections by the one who knows them.
question_t *question_read(http_req_t **req_p, question_form_t form);
void question_destroy(question_t **self_p);

#endif
