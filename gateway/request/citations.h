// citations: which part of the answer's text a citation is of: the sentence that has just ended.
#ifndef CITATIONS_H
#define CITATIONS_H

#include "request.h"

// Adds it to the answer and sends it.
void citations_add(request_t *self, const rl_token_t *token);

#endif
