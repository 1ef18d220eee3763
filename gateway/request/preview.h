// preview: what one passage says to the question, word for word, for those who want to read
// something while the model still reads. It is no part of the answer: not of its text, its
// citations, or what another generator goes on from.
#ifndef PREVIEW_H
#define PREVIEW_H

#include "request.h"

// Sends it, once, if the client wants one and a passage has it.
void preview_send(request_t *self);

#endif
