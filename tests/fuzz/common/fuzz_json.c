// JSON of an LLM or embedding server: what is valid is what jansson takes for valid, but for what
// either bounds (depth, numbers); values are looked at whatever they are.
#include "embedding.h"
#include "json.h"
#include "scratch.h"
#include "server_error.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void look_at(rl_json_t value)
{
    static const char *const keys[] = {"", "a", "data", "choices", "embedding"};
    size_t size = 0;
    double number = 0;
    int64_t integer = 0;
    float floats[4];
    const char *text = rl_json_string(value, &size);
    if (text && text[size] != '\0')
        abort();
    if (rl_json_integer(value, &integer) && !rl_json_number(value, &number))
        abort();
    if (rl_json_floats(value, floats, 4) && rl_json_size(value) != 4)
        abort();
    for (size_t at = 0; at < sizeof keys / sizeof *keys; at++)
        if (rl_json_get(value, keys[at]).document)
            look_at(rl_json_get(value, keys[at]));
    for (size_t at = 0; at < 3 && at < rl_json_size(value); at++)
        look_at(rl_json_at(value, at));
}

static void read_reply(const char *text, size_t size)
{
    rl_embedding_reply_t reply;
    char why[200] = "";
    if (rl_embedding_read_reply(text, size, 2, &reply, why, sizeof why) != 0) {
        if (!*why || reply.vectors)
            abort();
    }
    free(reply.vectors);
    rl_server_error_text(text, size, why, 64);
    if (strlen(why) >= 64 || strchr(why, '\n'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = scratch_text(data, size);
    const char *why = NULL;
    rl_json_doc_t *doc = rl_json_parse(text, size, &why);
    json_t *tree = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!doc && !why)
        abort();
    // jansson passes over a NUL byte between values, and takes a number for infinite that is not
    if (size < 64 && !doc != !tree && !memchr(text, '\0', size) && !strpbrk(text, "0123456789"))
        abort();
    look_at(rl_json_root(doc));
    read_reply(text, size);
    json_decref(tree);
    rl_json_free(&doc);
    free(text);
    return 0;
}
