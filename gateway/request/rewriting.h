// rewriting: a follow-up question is made to stand on its own by an LLM (gateway.rewrite), for
// retrieval only.
#ifndef REWRITING_H
#define REWRITING_H

#include "request.h"

// The text to search with.
void rewriting_take_text(request_t *self);
bool rewriting_is_wanted(const request_t *self);
// Begins when called first. True once there is nothing more to wait for.
bool rewriting_is_over(request_t *self);
void rewriting_end(request_t *self);

#endif
