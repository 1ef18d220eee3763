// request_run: the sequence of a question: the one function that takes it from state to state.
#ifndef REQUEST_RUN_H
#define REQUEST_RUN_H

#include "request_private.h"

// Goes on as far as it can. The request is freed here, and only here, when it has ended.
void request_run(request_t *self);

#endif
