// Words of a model, cut in any way, against passages.
#include "cite.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

static const rl_passage_t passages[] = {
    {.id = 1,
     .doc = "",
     .title = "",
     .heading = "",
     .source = "",
     .meta = "",
     .text = "The pump runs at 42 bar. It squeals."},
    {.id = 2,
     .doc = "",
     .title = "",
     .heading = "",
     .source = "",
     .meta = "",
     .text = "The valve closes within 9 seconds."},
    {.id = 3, .doc = "", .title = "", .heading = "", .source = "", .meta = "", .text = ""},
};

static void check(const cite_found_t *found, size_t size)
{
    if (size > CITE_MAX)
        abort();
    for (size_t at = 0; at < size; at++)
        if (found[at].passage < 1 || found[at].passage > 3 ||
            !(found[at].score >= 0 && found[at].score <= 1))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    cite_t *cite = cite_new();
    cite_learn(cite, passages, 3);
    size_t step = 1 + data[0] % 16;
    cite_found_t found[CITE_MAX];
    size_t found_size;
    for (size_t at = 1; at < size; at += step) {
        size_t part = size - at < step ? size - at : step;
        char *text = scratch_text(data + at, part);
        for (size_t given = 0; given < part;) {
            size_t took = cite_take(cite, text + given, part - given, found, &found_size);
            check(found, found_size);
            if (took > part - given || (took == 0 && found_size == 0))
                abort(); // no way forward
            given += took;
        }
        free(text);
    }
    check(found, cite_end(cite, found));
    cite_destroy(&cite);
    return 0;
}
