// generation_writer: writes a new generation of a collection's index beside the one in force.
//
// All is written into g-NNNNNN.tmp, which then gets its name, and then CURRENT names it. Whatever
// is interrupted before that last rename leaves the old generation in force.
#ifndef GENERATION_WRITER_H
#define GENERATION_WRITER_H

#include "store.h"

typedef struct generation_writer generation_writer_t;

typedef struct generation_settings {
    const char *collection; // its name: 1..64 of letters, digits, '-', '_', '.'
    const char *model;      // embedding model; "" for a lexical-only collection
    const char *language;   // a Xapian stemmer's name ("english", "german"…), or "none"
    const char *factory;    // FAISS factory string; "" to have it chosen by size
    uint64_t shards;        // 1..STORE_MAX_SHARDS
    size_t threads;         // that generation_writer_finish works with; 0: one for each CPU
    const char *build;      // JSON object kept in the manifest as it is; NULL or "": "{}"
} generation_settings_t;

enum {
    GENERATION_TIMESTAMP = 24, // bytes that hold one, NUL included
};

// The time now as manifests have it: UTC, "2025-01-31T12:00:00Z".
void generation_timestamp(char *out);

// Whether this can be a collection's name.
bool generation_is_name(const char *collection);

// Begins a new generation beside those in FOLDER (made if missing, its parent must exist). Takes
// the folder's lock: a second builder is refused with the pid of the first; a lock whose holder is
// dead is free. What an interrupted build left is removed. Returns NULL and `why` on failure.
generation_writer_t *generation_writer_new(const char *folder,
                                           const generation_settings_t *settings, char *why,
                                           size_t why_size);

// The generation's name to be.
const char *generation_writer_name(const generation_writer_t *self);

// The generation holds the changes up to this number; otherwise those that were in the folder's log
// when the build began: files are indexed as they are now, and changes that are made meanwhile are
// applied to it.
void generation_writer_set_changes(generation_writer_t *self, uint64_t number);

// Adds a passage to a shard; returns its id (1, 2, 3… in each shard), or 0 with `why`. Used of it:
// doc, title, heading, source, text, start, end, meta (a JSON object or ""); hash if not 0, else
// computed (white space folded). `vector` is its embedding, `dimension` components, of any length
// (it is normalised here); zeros for a passage that is to be found by its words alone; NULL and 0
// in a lexical-only collection. The first vector fixes the dimension. Refused with `why`, and
// nothing added: invalid UTF-8, a vector with a number that is not finite, another dimension than
// the others', a missing vector. After a failure for want of disk space or the like every further
// call fails too.
uint64_t generation_writer_add(generation_writer_t *self, uint64_t shard,
                               const rl_passage_t *passage, const float *vector, size_t dimension,
                               char *why, size_t why_size);

// Builds the text's and the FAISS indexes, writes the manifest, syncs all to disk, puts CURRENT in
// force and removes generations older than the one in force until now. `documents` goes into the
// manifest; `progress` may be NULL. Ends the build: *self_p becomes NULL in every case. Returns 0,
// or -1 with `why`; then the old generation is still in force.
int generation_writer_finish(generation_writer_t **self_p, uint64_t documents,
                             store_progress_fn *progress, void *arg, char *why, size_t why_size);

// Gives the build up: its files are removed, the lock is let go, the old generation stays in force.
// Does nothing if *self_p is NULL.
void generation_writer_abandon(generation_writer_t **self_p);

#endif
