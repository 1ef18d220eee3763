// spool: the passages of a build on their way from reading to embedding to writing, in a nameless
// file in the collection's folder: as many as the disk holds, and gone with the process.
#ifndef SPOOL_H
#define SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"
#include "vector_cache.h"

typedef struct spool spool_t;

typedef struct spooled {
    uint64_t shard;
    vector_key_t key;    // of its embedding in the cache, if vector is NULL
    const float *vector; // supplied with the document, NULL if none
    size_t vector_size;
    rl_passage_t passage; // doc, title, heading, source, text, meta, start, end, hash
} spooled_t;

// Returns NULL with `why` if no file can be made in the folder.
spool_t *spool_new(const char *folder, char *why, size_t why_size);
void spool_destroy(spool_t **self_p);

// Appends. Returns 0, or -1 with `why` (disk full).
int spool_add(spool_t *self, const spooled_t *item, char *why, size_t why_size);

// Back to the first; nothing can be added any more.
int spool_rewind(spool_t *self, char *why, size_t why_size);

// The next passage, whose strings are good until the next call. Returns 1, 0 behind the last, or -1
// with `why`.
int spool_next(spool_t *self, spooled_t *item, char *why, size_t why_size);

#endif
