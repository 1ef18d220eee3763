// A filter, and the file of an index that it is answered from. What is read has one text that gives
// the same again; no bytes of the file do more than be refused or keep some passages.
#include "fields.h"
#include "filter.h"
#include "scratch.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

static void read_filter(const char *text, size_t size)
{
    rl_filter_error_t trouble = {0};
    rl_filter_t *filter = rl_filter_parse(text, size, &trouble);
    if (!filter) {
        if (!*trouble.param || !*trouble.message ||
            !rl_utf8_valid(trouble.message, strlen(trouble.message)) ||
            !rl_utf8_valid(trouble.param, strlen(trouble.param)))
            abort();
        return;
    }
    char *canonical = rl_filter_text(filter);
    rl_filter_t *again = rl_filter_parse(canonical, strlen(canonical), &trouble);
    char *same = again ? rl_filter_text(again) : NULL;
    if (!same || strcmp(same, canonical) != 0)
        abort();
    rl_filter_destroy(&filter);
    rl_filter_destroy(&again);
    free(canonical);
    free(same);
}

// The first byte: how many passages; the file's magic is given.
static void read_fields(const uint8_t *data, size_t size)
{
    static const char *const filters[] = {
        "{\"field\":\"a\",\"in\":[true,1,\"x\"]}",
        "{\"not\":{\"field\":\"a\",\"gte\":0,\"lt\":3}}",
        "{\"or\":[{\"field\":\"a\",\"prefix\":\"x\"},{\"field\":\"b\",\"exists\":true}]}",
    };
    char why[1024] = "";
    uint8_t *file = malloc(size + 8);
    memcpy(file, "RLFLDS01", 8);
    memcpy(file + 8, data + 1, size - 1);
    scratch_file(FIELDS_FILE, file, size + 7);
    free(file);
    fields_t *fields = fields_open(scratch_folder(), data[0], why, sizeof why);
    if (!fields && !*why)
        abort();
    for (size_t at = 0; fields && at < 3; at++) {
        bool wrong;
        selection_t *kept = fields_select(fields, filters[at], &wrong, why, sizeof why);
        if (kept && (kept->count != data[0] || kept->size > kept->count))
            abort();
        selection_unref(&kept);
    }
    fields_close(&fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '{')
        read_filter((const char *)data, size);
    else if (size > 0)
        read_fields(data, size);
    return 0;
}
