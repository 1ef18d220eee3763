// JSON of an LLM or embedding server, read without a tree: it must hold exactly what jansson holds
// for JSON, but for what either bounds (depth, numbers, UTF-8 and NUL in strings).
#include "json_scan.h"
#include "scratch.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void walk(rl_scan_t *scan, int depth)
{
    const char *text;
    size_t size;
    double number;
    switch (depth > 64 ? 0 : rl_scan_peek(scan)) {
    case '{':
        if (rl_scan_enter_object(scan))
            while (rl_scan_member(scan, &text, &size))
                walk(scan, depth + 1);
        break;
    case '[':
        if (rl_scan_enter_array(scan))
            while (rl_scan_item(scan))
                walk(scan, depth + 1);
        break;
    case '"':
        if (rl_scan_string(scan, &text, &size)) {
            char *out = malloc(size + 1);
            long length = rl_scan_unescape(text, size, out);
            if (length > (long)size)
                abort();
            if (length >= 0 && out[length] != '\0')
                abort();
            free(out);
        }
        break;
    case '-':
    case '0' ... '9':
        rl_scan_number(scan, &number);
        break;
    default:
        rl_scan_skip(scan);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1); // of exactly its size: a read beyond its end is seen
    if (size > 0)
        memcpy(text, data, size);
    rl_scan_t walked = rl_scan_make(text, size), skipped = rl_scan_make(text, size);
    walk(&walked, 0);
    bool walked_holds = rl_scan_ends(&walked) && !walked.bad;
    rl_scan_skip(&skipped);
    bool skipped_holds = rl_scan_ends(&skipped) && !skipped.bad;
    if (walked_holds && !skipped_holds)
        abort(); // what is passed over is checked as what is taken
    json_t *tree = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    // Deeper nesting than this it may refuse; and jansson passes over a NUL byte between values.
    if (tree && !skipped_holds && size < 64 && !memchr(text, '\0', size))
        abort();
    json_decref(tree);
    free(text);
    return 0;
}
