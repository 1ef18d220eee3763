// server_error: what a server says in the body of an error.
#include "server_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "utf8.h"

void rl_server_error_line(const char *text, size_t size, char *out, size_t out_size)
{
    size_t repaired_size = 0;
    if (size > out_size) // what is repaired gets no shorter
        size = rl_utf8_whole(text, out_size);
    char *repaired = rl_utf8_repair(text, size, &repaired_size);
    if (repaired_size >= out_size)
        repaired_size = rl_utf8_whole(repaired, out_size - 1);
    snprintf(out, out_size, "%.*s", (int)repaired_size, repaired ? repaired : "");
    for (char *at = out; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    free(repaired);
}

void rl_server_error_text(const char *body, size_t size, char *out, size_t out_size)
{
    const char *why, *text = NULL;
    rl_json_doc_t *doc = rl_json_parse(body, size, &why);
    rl_json_t root = rl_json_root(doc);
    if (rl_json_is_array(root))
        root = rl_json_at(root, 0);
    rl_json_t error = rl_json_get(root, "error");
    const rl_json_t places[] = {rl_json_get(error, "message"), error, rl_json_get(root, "message"),
                                rl_json_get(root, "detail")};
    size_t length = size;
    for (size_t at = 0; at < sizeof places / sizeof *places && !text; at++)
        text = rl_json_string(places[at], &length);
    rl_server_error_line(text ? text : body, text ? length : size, out, out_size);
    rl_json_free(&doc);
}

bool rl_server_error_is_too_long(const char *text)
{
    static const char *const signs[] = {"too long",   "too large", "token",    "context",
                                        "max length", "maximum",   "exceed",   "sequence",
                                        "batch size", "n_ctx",     "truncate", "input length"};
    for (size_t at = 0; at < sizeof signs / sizeof *signs; at++)
        if (strcasestr(text, signs[at]))
            return true;
    return false;
}
