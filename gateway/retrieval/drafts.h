// drafts: questions that are still being typed (POST /v1/draft). The passages found for the words
// so far are kept here, by caller and session, for the question that is sent in the end.
#ifndef DRAFTS_H
#define DRAFTS_H

#include "keys.h"
#include "passage_set.h"

struct request;
typedef struct drafts drafts_t;

typedef struct drafts_counts {
    uint64_t taken;   // drafts searched for
    uint64_t used;    // whose passages a question used
    uint64_t wasted;  // replaced or forgotten without that
    uint64_t refused; // too many at a time, or too much to do
    uint64_t missed;  // questions that had been drafted otherwise, or not at all in time
} drafts_counts_t;

drafts_t *drafts_new(void);
void drafts_destroy(drafts_t **self_p);

// A draft of the session begins: an earlier one that is still at work is given back, to be ended.
struct request *drafts_begin(drafts_t *self, const keys_caller_t *caller, const char *session,
                             struct request *request);
// The draft has ended, in whatever way.
void drafts_end(drafts_t *self, const keys_caller_t *caller, const char *session,
                const struct request *request);
// The passages for the words so far. Keeps a reference of its own. Returns whether they are the
// same as for the words before.
bool drafts_found(drafts_t *self, const keys_caller_t *caller, const char *session,
                  const char *text, const char *rest, passage_set_t *set);
// The question of the session is sent: the passages of its last draft if that was, but for capital
// letters, white space and the marks that end words and sentences, the same, and everything else
// is; a reference for the caller. NULL otherwise. The session is over in either case.
passage_set_t *drafts_take(drafts_t *self, const keys_caller_t *caller, const char *session,
                           const char *text, const char *rest, char *prefilled_by,
                           size_t prefilled_by_size);
// A generator prefills the session's passages (drafts_take's `prefilled_by`).
void drafts_prefilled_by(drafts_t *self, const keys_caller_t *caller, const char *session,
                         const char *generator);

void drafts_refused(drafts_t *self);
size_t drafts_running(const drafts_t *self);
const drafts_counts_t *drafts_counts(const drafts_t *self);

#endif
