// openai_failure: what a failed request to the LLM server means, and what to do about it.
#ifndef OPENAI_FAILURE_H
#define OPENAI_FAILURE_H

#include <stdbool.h>
#include <stddef.h>

#include "openai_server.h"

enum {
    OPENAI_TOLD = 700, // bytes of a server's own words in a message: a remedy stands at their end
    OPENAI_MESSAGE = OPENAI_TOLD + 700,
};

// `has_params`: the client gave sampling fields, which may be
// what the server does not like. The failure's message is written into `message`.
void openai_failure(const rl_fetch_result_t *result, const openai_server_t *server, bool has_params,
                    backend_failure_t *failure, char *message, size_t message_size);

// The same for an error that came in place of a part of the answer; `code` is its own, as an HTTP
// status, or any number.
void openai_failure_of_error(long code, const char *said, const openai_server_t *server,
                             backend_failure_t *failure, char *message, size_t message_size);

#endif
