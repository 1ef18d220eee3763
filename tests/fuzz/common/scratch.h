// scratch: what the fuzz programs share: files for parsers that read files, and quiet.
#ifndef SCRATCH_H
#define SCRATCH_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A folder of this process's own, removed at its end.
const char *scratch_folder(void);

// Writes these bytes to FOLDER/name; returns the path, which stays valid until the next call.
const char *scratch_file(const char *name, const void *data, size_t size);

// A NUL-terminated copy in memory of exactly its size, so that a read beyond its end is seen.
char *scratch_text(const void *data, size_t size);

// The programs' complaints about what the fuzzer feeds them go nowhere. libFuzzer keeps its own.
void scratch_hush(void);

#endif
