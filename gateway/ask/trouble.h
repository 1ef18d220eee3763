// trouble: what went wrong between this program and the gateway, in words with what to do about it.
#ifndef TROUBLE_H
#define TROUBLE_H

#include <jansson.h>

#include "buf.h"
#include "fetch.h"

// Writes one or two lines (harmless text) about a fetch that brought no answer: no connection, a
// time limit, a status other than 2xx with the gateway's error in its body. `url` is what was
// asked.
void trouble_of_fetch(rl_buf_t *out, const rl_fetch_result_t *result, const char *url);

// The data of an error event: {"error": {"message", "code"…}}.
void trouble_of_event(rl_buf_t *out, const json_t *data);

#endif
