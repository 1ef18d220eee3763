// openai_request: the body of a request for a chat completion.
#ifndef OPENAI_REQUEST_H
#define OPENAI_REQUEST_H

#include <jansson.h>
#include <stdbool.h>

#include "backend.h"
#include "buf.h"
#include "openai_server.h"

typedef enum openai_reading {
    OPENAI_SAYS_NOTHING, // of what it has read
    OPENAI_SAYS_HOW_FAR, // llama-server: asked to tell how far it has read
    OPENAI_READS_ONLY,   // llama-server: reads the prompt, and no more than it cannot do without
    OPENAI_READS_ONE,    // any other: the same with one token
} openai_reading_t;

// Appends everything of the request behind the model's name, with the closing brace. The sampling
// fields of the request are the gateway's to check, here they only must be an object; `defaults`
// (NULL: none) are those where the request does not say. *has_params: whether it said any. Returns
// 0, or -1 when it is too long.
int openai_request_write(rl_buf_t *out, const backend_request_t *ask, json_t *defaults,
                         openai_reading_t reading, bool *has_params);

// Appends the field, if the server knows one, that keeps what it reads for this request apart from
// what it reads for those with another salt. Nothing where `salt` is "".
void openai_request_part(rl_buf_t *out, openai_kind_t kind, const char *salt);

#endif
