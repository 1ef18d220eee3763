// Bytes of an LLM server's event stream: the events are the same however the bytes are cut.
#include "scratch.h"
#include "sse.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_EVENT = 4096
};

typedef struct seen {
    uint64_t hash;
    size_t events;
} seen_t;

static bool on_event(void *arg, const char *name, const char *data, size_t size)
{
    seen_t *seen = arg;
    seen->events++;
    seen->hash = seen->hash * 31 + rl_hash64(name, strlen(name));
    seen->hash = seen->hash * 31 + rl_hash64(data, size);
    return true;
}

static int feed(const uint8_t *data, size_t size, size_t step, seen_t *seen)
{
    rl_sse_t *sse = rl_sse_new(MAX_EVENT, on_event, seen);
    int result = 0;
    for (size_t at = 0; at < size && result == 0; at += step) {
        size_t part = size - at < step ? size - at : step;
        char *copy = malloc(part);
        memcpy(copy, data + at, part);
        result = rl_sse_feed(sse, copy, part);
        free(copy);
    }
    if (result == 0)
        rl_sse_end(sse);
    rl_sse_destroy(&sse);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    seen_t whole = {0}, bytes = {0}, some = {0};
    int first = feed(data, size, size ? size : 1, &whole);
    int second = feed(data, size, 1, &bytes);
    feed(data, size, 7, &some);
    if (first != second)
        abort();
    if (first == 0 &&
        (whole.hash != bytes.hash || whole.events != bytes.events || whole.hash != some.hash))
        abort();
    return 0;
}
