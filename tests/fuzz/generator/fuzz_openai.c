// What an LLM server sends in an event or as a body.
#include "openai_chunk.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = scratch_text(data, size);
    openai_chunk_t chunk;
    const char *why = NULL;
    if (openai_chunk_read(&chunk, text, size, &why) != 0) {
        if (!why)
            abort();
    } else if (chunk.text && chunk.text_size > size * 3) {
        abort();
    }
    openai_chunk_free(&chunk);
    free(text);
    return 0;
}
