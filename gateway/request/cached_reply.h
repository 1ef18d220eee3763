// cached_reply: an answer that was given before is given again (cache.answers_mb): to exactly the
// same question, from the same passages, while a generator would ask the same model the same.
//
// The key holds what the passages depend on and the rights of the caller (coalesce.h), the question
// and the conversation to the byte, the fields for the LLM, and the model's fingerprint: what a
// generator says of its server, its model and its settings. An answer is found as long as one of
// the generators that are there has the fingerprint of the one that wrote it.
#ifndef CACHED_REPLY_H
#define CACHED_REPLY_H

#include "passage_set.h"
#include "request.h"

// Looks for the answer, once. Its passages (borrowed), NULL if there is none.
passage_set_t *cached_reply_find(request_t *self);
bool cached_reply_is_there(const request_t *self);
// The passages have gone out: sends as much of it as the client takes in this turn. Returns the
// state that comes next.
request_state_t cached_reply_send(request_t *self);
// Event: the client has caught up.
void cached_reply_resume(request_t *self);

// A piece of a new answer has come; all of it has, from a model with this fingerprint.
void cached_reply_note(request_t *self);
void cached_reply_keep(request_t *self, const char *fingerprint);
void cached_reply_end(request_t *self);

#endif
