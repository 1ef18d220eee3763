// openai_trouble: what a failed request to the LLM server means, and what to do about it.
#ifndef GEN_OPENAI_TROUBLE_H
#define GEN_OPENAI_TROUBLE_H

#include <stdbool.h>
#include <stddef.h>

#include "fetch.h"
#include "upstream.h"

enum {
    OPENAI_MESSAGE = 1024
};

// `peer` is the server's host:port; `has_params`: the client gave sampling fields, which may be
// what the server does not like. The failure's message is written into `message`.
void openai_trouble(const rl_fetch_result_t *result, const char *peer, bool has_params,
                    upstream_failure_t *failure, char *message, size_t message_size);

#endif
