// The body of a question in its three forms: read into something that holds, or refused with an
// error that names a field; in either case exactly one of the two.
#include "question.h"
#include "scratch.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The HTTP side, played here: these win over the library's.
static struct {
    const uint8_t *data;
    size_t size;
    unsigned refused;
} client;

static char request; // its address stands for one

json_t *http_json(http_req_t **req_p)
{
    json_t *body = json_loadb((const char *)client.data, client.size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(body))
        return body;
    json_decref(body);
    http_reply_error(req_p, 400, "invalid_json", NULL, 0, "The body must be a JSON object.");
    return NULL;
}

void http_reply_error_v(http_req_t **req_p, int status, const char *code, const char *param,
                        long retry_after_s, const char *format, va_list args)
{
    char message[4096];
    int size = vsnprintf(message, sizeof message, format, args);
    if (!*req_p || status < 400 || status > 599 || !code || size < 8 || retry_after_s < 0)
        abort();
    if (status == 400 && strcmp(code, "invalid_json") != 0 && !param)
        abort(); // names nothing
    *req_p = NULL;
    client.refused++;
}

void http_reply_error(http_req_t **req_p, int status, const char *code, const char *param,
                      long retry_after_s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    http_reply_error_v(req_p, status, code, param, retry_after_s, format, args);
    va_end(args);
}

const keys_caller_t *http_caller(const http_req_t *req)
{
    static keys_t *keys;
    (void)req;
    if (!keys)
        keys = keys_new(NULL, (char[64]){0}, 64);
    return keys_anonymous(keys);
}

static void check_text(const char *text)
{
    if (!text || !rl_utf8_valid(text, strlen(text)))
        abort();
}

static void check(const question_t *question)
{
    check_text(question->text);
    check_text(question->model);
    if (!*question->text || question->k > QUESTION_MAX_K ||
        question->collections_size > QUESTION_MAX_COLLECTIONS ||
        question->turns_size > RL_MAX_TURNS)
        abort();
    for (size_t at = 0; at < question->collections_size; at++)
        check_text(question->collections[at]);
    for (size_t at = 0; at < question->turns_size; at++) {
        check_text(question->turns[at].role);
        check_text(question->turns[at].content);
    }
    if (!question->kinds[KIND_DENSE] && !question->kinds[KIND_LEXICAL])
        abort();
    json_t *params = json_loads(question->params, 0, NULL);
    if (!json_is_object(params))
        abort();
    json_decref(params);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const question_form_t forms[] = {FORM_ASK, FORM_SEARCH, FORM_CHAT};
    if (size == 0)
        return 0;
    client.data = data + 1;
    client.size = size - 1;
    client.refused = 0;
    http_req_t *req = (http_req_t *)(void *)&request;
    question_t *question = question_read(&req, forms[data[0] % 3]);
    if (question) {
        if (!req || client.refused)
            abort();
        check(question);
    } else if (req || client.refused != 1) {
        abort();
    }
    question_destroy(&question);
    return 0;
}
