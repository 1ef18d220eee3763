// manifest.json of an index, and the flat file of passages beside it.
#include "manifest.h"
#include "passages.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

static void read_manifest(const uint8_t *data, size_t size)
{
    char why[1024] = "";
    scratch_file(MANIFEST_FILE, data, size);
    manifest_data_t *manifest = manifest_read(scratch_folder(), why, sizeof why);
    if (!manifest && !*why)
        abort(); // a refusal says why
    if (manifest &&
        (manifest->contents.shards == 0 || manifest->contents.shards > STORE_MAX_SHARDS))
        abort();
    manifest_destroy(&manifest);
}

// The first byte says how the rest is shared between the two files.
static void read_passages(const uint8_t *data, size_t size)
{
    char why[1024] = "";
    uint64_t count = size ? data[0] % 4 : 0;
    size_t index = 8 + (count + 1) * 8;
    if (size < 1 + index)
        return;
    uint8_t *idx = malloc(index), *bin = malloc(size + 8);
    memcpy(idx, data + 1, index);
    memcpy(idx, "RLPIDX01", 8);
    memcpy(bin, "RLPASS01", 8);
    memcpy(bin + 8, data + 1 + index, size - 1 - index);
    scratch_file(PASSAGES_IDX, idx, index);
    scratch_file(PASSAGES_BIN, bin, 8 + size - 1 - index);
    passages_t *passages = passages_open(scratch_folder(), count, why, sizeof why);
    if (passages) {
        uint64_t ids[] = {1, 2, 3, 0, 4};
        rl_passage_t got[5];
        for (size_t at = 0; at < 5; at++) {
            void *memory = NULL;
            if (passages_get(passages, ids + at, 1, got, &memory, why, sizeof why) == 0) {
                size_t length = strlen(got[0].text) + strlen(got[0].doc) + strlen(got[0].meta);
                if (length > size)
                    abort();
                free(memory);
            }
        }
    }
    passages_close(&passages);
    free(idx);
    free(bin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '{')
        read_manifest(data, size);
    else
        read_passages(data, size);
    return 0;
}
