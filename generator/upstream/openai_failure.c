// openai_failure: what a failed request to the LLM server means.
#include "openai_failure.h"

#include <stdio.h>
#include <string.h>

#include "server_error.h"

// By HTTP status; the first row that fits. "@" stands for "llm." or the section's name.
static const struct {
    long from, to;
    backend_failure_kind_t kind;
    const char *code;
    const char *hint;
} rows[] = {
    {300, 399, BACKEND_MISTAKE, "llm_not_found", "set @url to where it leads"},
    {401, 401, BACKEND_MISTAKE, "llm_unauthorized", "check @key or @key_file"},
    {403, 403, BACKEND_MISTAKE, "llm_unauthorized", "check @key and that it may use @model"},
    {404, 405, BACKEND_MISTAKE, "llm_not_found", "check @url (it ends in /v1) and @model"},
    {408, 408, BACKEND_DOWN, "llm_timeout", "it took too long there"},
    {429, 429, BACKEND_BUSY, "llm_busy", "it has too much to do"},
    {400, 499, BACKEND_MISTAKE, "llm_bad_request", "check @model and @context_tokens"},
    {500, 599, BACKEND_DOWN, "llm_failed", "its own log says why"},
    {0, 999, BACKEND_BROKEN, "llm_broken_answer", "is @url right?"},
};

static void add_hint(char *message, size_t size, const char *hint, const char *where)
{
    size_t used = strlen(message);
    for (; *hint && used < size; hint++)
        used += (size_t)(*hint == '@' ? snprintf(message + used, size - used, "%s", where)
                                      : snprintf(message + used, size - used, "%c", *hint));
}

void openai_failure_of_error(long code, const char *said, const openai_server_t *server,
                             backend_failure_t *failure, char *message, size_t size)
{
    char told[OPENAI_TOLD];
    size_t at = 0;
    long status = code >= 400 && code <= 599 ? code : 500;
    while (status > rows[at].to || status < rows[at].from)
        at++;
    rl_server_error_line(said, strlen(said), told, sizeof told);
    snprintf(message, size, "the LLM server at %s reported: %s", server->peer, told);
    *failure = (backend_failure_t){.kind = rows[at].kind,
                                   .status = rows[at].kind == BACKEND_BUSY ? 503 : 502,
                                   .code = rows[at].code,
                                   .message = message,
                                   .retry_after_s = -1};
}

static void failure_of_status(const rl_fetch_result_t *result, const openai_server_t *server,
                              bool has_params, backend_failure_t *failure, char *message,
                              size_t size)
{
    char told[OPENAI_TOLD] = "";
    size_t at = 0;
    while (result->status < rows[at].from || result->status > rows[at].to)
        at++;
    failure->kind = rows[at].kind;
    failure->code = rows[at].code;
    failure->retry_after_s = result->retry_after_s;
    if (result->status == 503 && result->retry_after_s >= 0) {
        failure->kind = BACKEND_BUSY;
        failure->code = "llm_busy";
    }
    failure->status = failure->kind == BACKEND_BUSY ? 503 : 502;
    const char *hint = failure->kind == BACKEND_BUSY ? "it has too much to do" : rows[at].hint;
    if (result->status == 400 || result->status == 422) {
        // what the client asked for may be what it refuses
        failure->status = has_params ? 400 : 502;
        if (has_params)
            hint = "check the request's sampling fields, @model and @context_tokens";
    }
    if (result->body_size > 0)
        rl_server_error_text(result->body, result->body_size, told, sizeof told);
    snprintf(message, size, "the LLM server at %s answered %ld%s%s%s: ", server->peer,
             result->status, told[0] ? " (" : "", told, told[0] ? ")" : "");
    add_hint(message, size, hint, server->where);
}

void openai_failure(const rl_fetch_result_t *result, const openai_server_t *server, bool has_params,
                    backend_failure_t *failure, char *message, size_t message_size)
{
    *failure = (backend_failure_t){.message = message, .retry_after_s = -1, .status = 502};
    if (result->status >= 300 || (result->ok && result->status < 200)) {
        failure_of_status(result, server, has_params, failure, message, message_size);
        return;
    }
    failure->kind = BACKEND_DOWN;
    if (result->refused) {
        failure->code = "llm_unreachable";
        snprintf(message, message_size, "the LLM server cannot be reached (%surl): %s",
                 server->where, result->error);
    } else if (result->timed_out) {
        failure->code = "llm_timeout";
        failure->status = 504;
        snprintf(message, message_size, "the LLM server did not answer in time: %s", result->error);
    } else {
        failure->code = "llm_lost";
        snprintf(message, message_size, "the LLM server was lost: %s", result->error);
    }
}
