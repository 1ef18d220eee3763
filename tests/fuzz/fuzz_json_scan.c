// Arbitrary bytes as JSON: what jansson takes, the scan takes; what it hands out lies within.
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *raw, *text = (const char *)data;
    size_t raw_size;
    rl_scan_t scan = rl_scan_make(text, size);
    bool taken = rl_scan_skip(&scan) && rl_scan_ends(&scan);
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (root && !taken && size < 1000 && !memchr(text, 0, size) && !memchr(text, '[', size) &&
        !memchr(text, '{', size))
        abort(); // (nesting has another bound there)
    json_decref(root);
    scan = rl_scan_make(text, size);
    if (rl_scan_peek(&scan) == '"' && rl_scan_string(&scan, &raw, &raw_size)) {
        char *out = malloc(raw_size + 1);
        if (!out || rl_scan_unescape(raw, raw_size, out) > (long)raw_size)
            abort();
        free(out);
    }
    return 0;
}
