// Text from outside: a repaired text is valid, a valid one is left as it is, and cutting at whole
// characters never loses or breaks one.
#include "buf.h"
#include "scratch.h"
#include "utf8.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void check_json(const char *text, size_t size)
{
    rl_buf_t out = rl_buf_make(size * 6 + 16);
    if (rl_buf_add_json(&out, text, size) != 0)
        abort();
    json_t *back = json_loadb(out.data, out.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!json_is_string(back) || json_string_length(back) != size ||
        memcmp(json_string_value(back), text, size) != 0)
        abort();
    json_decref(back);
    rl_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = scratch_text(data, size);
    size_t repaired_size = 0;
    char *repaired = rl_utf8_repair(text, size, &repaired_size);
    if (!repaired || !rl_utf8_valid(repaired, repaired_size))
        abort();
    if (rl_utf8_valid(text, size)) {
        if (repaired_size != size || memcmp(repaired, text, size) != 0)
            abort();
        if (rl_utf8_whole(text, size) != size)
            abort();
    }
    for (size_t cut = 0; cut < repaired_size && cut < 64; cut++) {
        size_t whole = rl_utf8_whole(repaired, cut);
        if (whole > cut || cut - whole > 3 || !rl_utf8_valid(repaired, whole))
            abort();
    }
    check_json(repaired, repaired_size);
    free(repaired);
    free(text);
    return 0;
}
