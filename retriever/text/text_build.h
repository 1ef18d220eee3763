// text_build: a shard's Xapian database from the passages that lie beside it: by several threads,
// each a segment at a time in memory, and then all segments made one.
#ifndef TEXT_BUILD_H
#define TEXT_BUILD_H

#include <stddef.h>
#include <stdint.h>

// So much of `total` is done of a stage: "text" (passages) or "merging" (bytes, about).
typedef void(text_progress_fn)(void *arg, const char *stage, uint64_t done, uint64_t total);

// Makes FOLDER/text of the `count` passages of FOLDER/passages.bin; docid = id. Memory: 8 bytes for
// each passage, and some 100 MiB for each thread. `progress` is called from this thread. Returns 0,
// or -1 with `why`.
int text_build(const char *folder, const char *language, uint64_t count, size_t threads,
               text_progress_fn *progress, void *arg, char *why, size_t why_size);

#endif
