// trouble: what went wrong, in words with what to do about it.
#include "trouble.h"

#include <string.h>

#include "sanitize.h"

enum {
    LONGEST = 600
}; // columns of a foreign message

typedef struct advice {
    long status;
    const char *message; // when the gateway gave no message
    const char *what_to_do;
} advice_t;

static const advice_t advices[] = {
    {400, "the request is not accepted", ""},
    {401, "the gateway asks for an API key",
     "Give one with --ask-key-file FILE or RAGLINE_ASK_KEY."},
    {403, "this API key may not do that", "Ask for another key, or other --ask-collections."},
    {404, "there is no such thing",
     "Does --ask-url name a ragline gateway, and is the collection there?"},
    {408, "the request took too long to arrive", ""},
    {413, "the question is too long", "Make it shorter."},
    {429, "too many questions at the moment", ""},
    {502, "the language model's server gave no usable answer", "The generator's log says more."},
    {503, "the gateway is not ready to answer",
     "Are a retriever and a generator running? ragline-ask --workers lists them."},
    {504, "it took too long", ""},
};

static void add_message(rl_buf_t *out, const json_t *data, const char *otherwise)
{
    const json_t *error = json_object_get(data, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    rl_sanitize_line(out, message && *message ? message : otherwise, LONGEST);
}

static void add_status(rl_buf_t *out, const rl_fetch_result_t *result)
{
    const advice_t *advice = NULL;
    for (size_t at = 0; at < sizeof advices / sizeof *advices; at++)
        if (advices[at].status == result->status)
            advice = &advices[at];
    json_t *body = json_loadb(result->body, result->body_size, 0, NULL);
    add_message(out, body, advice ? advice->message : "the gateway could not answer");
    json_decref(body);
    rl_buf_addf(out, " (status %ld)", result->status);
    if (result->retry_after_s > 0)
        rl_buf_addf(out, "\nTry again in %ld s.", result->retry_after_s);
    else if (advice && *advice->what_to_do)
        rl_buf_addf(out, "\n%s", advice->what_to_do);
}

void trouble_of_fetch(rl_buf_t *out, const rl_fetch_result_t *result, const char *url)
{
    if (result->status >= 300 || (result->status > 0 && result->status < 200)) {
        add_status(out, result);
        return;
    }
    if (result->timed_out && result->status == 0)
        rl_buf_addf(out, "%s does not answer", url);
    else if (result->status == 0)
        rl_buf_addf(out, "cannot reach the gateway at %s", url);
    else
        rl_buf_adds(out, "the connection was lost before the answer was complete");
    if (*result->error) {
        rl_buf_adds(out, ": ");
        rl_sanitize_line(out, result->error, LONGEST);
    }
    if (result->status == 0)
        rl_buf_adds(out, "\nIs ragline-gateway running there? --ask-url names another one.");
}

void trouble_of_event(rl_buf_t *out, const json_t *data)
{
    add_message(out, data, "the answer could not be completed");
}
