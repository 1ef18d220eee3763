// openai_request: the body of a request for a chat completion.
#include "openai_request.h"

#include <stdlib.h>
#include <string.h>

// Fields that a request's or the configuration's params do not decide.
static bool is_ours(const char *field)
{
    static const char *const ours[] = {
        "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens",
        "n"};
    for (size_t at = 0; at < sizeof ours / sizeof *ours; at++)
        if (strcmp(field, ours[at]) == 0)
            return true;
    return false;
}

// Fields that say whose readings are used.
static bool is_cache_field(const char *field)
{
    return strcmp(field, "cache_prompt") == 0 || strcmp(field, "cache_salt") == 0 ||
           strcmp(field, "id_slot") == 0;
}

static void write_params(rl_buf_t *out, json_t *params, const json_t *except, bool salted)
{
    const char *field;
    json_t *value;
    json_object_foreach(params, field, value)
    {
        if (is_ours(field) || (salted && is_cache_field(field)) || json_object_get(except, field))
            continue;
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        rl_buf_adds(out, ",");
        rl_buf_add_json(out, field, strlen(field));
        rl_buf_adds(out, ":");
        rl_buf_adds(out, text ? text : "null");
        free(text);
    }
}

// llama-server's own fields: https://github.com/ggml-org/llama.cpp, tools/server/README.md
static void write_llama(rl_buf_t *out, const json_t *params, const json_t *defaults, bool salted)
{
    static const char *const fields[] = {"cache_prompt", "return_progress"};
    for (size_t at = 0; at < sizeof fields / sizeof *fields; at++)
        if (!(salted && is_cache_field(fields[at])) && !json_object_get(params, fields[at]) &&
            !json_object_get(defaults, fields[at]))
            rl_buf_addf(out, ",\"%s\":true", fields[at]);
}

// vLLM: https://docs.vllm.ai/en/latest/design/prefix_caching.html (cache isolation).
void openai_request_part(rl_buf_t *out, openai_kind_t kind, const char *salt)
{
    if (!*salt)
        return;
    if (kind == OPENAI_LLAMA)
        rl_buf_adds(out, ",\"cache_prompt\":false");
    if (kind == OPENAI_VLLM) {
        rl_buf_adds(out, ",\"cache_salt\":");
        rl_buf_add_json(out, salt, strlen(salt));
    }
}

int openai_request_write(rl_buf_t *out, const backend_request_t *ask, json_t *defaults,
                         openai_reading_t reading, bool *has_params)
{
    const prompt_t *prompt = ask->prompt;
    bool salted = ask->generate->salt && *ask->generate->salt;
    rl_buf_adds(out, ",\"messages\":");
    rl_buf_add(out, prompt->messages.data, prompt->messages.size);
    uint64_t max_tokens = reading == OPENAI_READS_ONLY  ? 0
                          : reading == OPENAI_READS_ONE ? 1
                                                        : ask->max_tokens;
    rl_buf_addf(out,
                ",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":%llu",
                (unsigned long long)max_tokens);
    json_error_t error;
    json_t *params = json_loads(ask->generate->params, 0, &error);
    if (reading == OPENAI_SAYS_HOW_FAR || reading == OPENAI_READS_ONLY)
        write_llama(out, params, defaults, salted);
    *has_params = json_object_size(params) > 0;
    write_params(out, params, NULL, salted);
    write_params(out, defaults, params, salted);
    json_decref(params);
    return rl_buf_adds(out, "}");
}
