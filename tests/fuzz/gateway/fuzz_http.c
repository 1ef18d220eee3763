// Bytes of an HTTP client: heads, escapes and chunked bodies; cut in any way they mean the same.
#include "http_parse.h"
#include "scratch.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

static void check_head(const uint8_t *data, size_t size)
{
    http_fault_t fault = {0};
    size_t scanned = 0;
    long end = 0;
    for (size_t have = size < 3 ? size : 3;; have = have + 5 < size ? have + 5 : size) {
        end = http_head_end((const char *)data, have, &scanned, &fault);
        if (end != 0 || have == size)
            break;
    }
    if (end < 0 && (fault.status < 400 || fault.status > 599 || !fault.message))
        abort();
    if (end <= 0)
        return;
    if ((size_t)end > size)
        abort();
    char *text = scratch_text(data, (size_t)end);
    http_head_t head;
    memset(&head, 0, sizeof head);
    if (http_head_parse(text, (size_t)end, &head, &fault) == 0) {
        if (!head.method || !head.path || !rl_utf8_valid(head.path, strlen(head.path)))
            abort();
        if (head.path[0] != '/' && strcmp(head.path, "*") != 0)
            abort();
        if (head.fields_size > HTTP_MAX_FIELDS)
            abort();
        http_head_field(&head, "content-type");
        http_value_has(http_head_field(&head, "connection") ? "a, close" : "", "close");
    } else if (fault.status < 400 || !fault.message) {
        abort();
    }
    http_head_clear(&head);
    free(text);
}

// Feeds chunked bytes in steps; returns 1 done, 0 more needed, -1 refused.
static int feed(const uint8_t *data, size_t size, size_t step, rl_buf_t *out)
{
    http_chunks_t chunks = {0};
    http_fault_t fault = {0};
    bool done = false;
    size_t at = 0;
    while (at < size && !done) {
        size_t part = size - at < step ? size - at : step;
        long took = http_chunks_feed(&chunks, (const char *)data + at, part, out, &done, &fault);
        if (took < 0) {
            if (fault.status < 400 || !fault.message)
                abort();
            return -1;
        }
        if ((size_t)took > part || (took == 0 && !done))
            abort();
        at += (size_t)took;
    }
    return done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_head(data, size);
    rl_buf_t whole = rl_buf_make(4096), bytes = rl_buf_make(4096);
    int first = feed(data, size, size ? size : 1, &whole), second = feed(data, size, 1, &bytes);
    if (first != second)
        abort();
    if (first > 0 && (whole.size != bytes.size ||
                      (whole.size && memcmp(whole.data, bytes.data, whole.size) != 0)))
        abort();
    rl_buf_free(&whole);
    rl_buf_free(&bytes);
    char *text = scratch_text(data, size);
    if (http_unescape(text, size % 2 == 0) == 0 && !rl_utf8_valid(text, strlen(text)))
        abort();
    free(text);
    return 0;
}
