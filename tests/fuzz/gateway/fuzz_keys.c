// A file of API keys, and a key that a client sends.
#include "keys.h"
#include "scratch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scratch_hush();
    char why[1024] = "";
    const char *file = scratch_file("keys", data, size);
    keys_t *keys = keys_new(file, why, sizeof why);
    if (!keys && !*why)
        abort();
    if (keys) {
        char *key = scratch_text(data, size < 100 ? size : 100);
        const keys_caller_t *caller = keys_find(keys, key);
        if (caller) {
            keys_take(caller, 1000000);
            keys_may_read(caller, "docs");
            keys_unref(&caller);
        }
        keys_reload(keys, file, why, sizeof why);
        free(key);
    }
    keys_destroy(&keys);
    return 0;
}
