// snapshot: one open generation with its sources, with a count of references: a new one is opened
// beside it, and it is closed when the last search in it has ended.
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "source.h"

enum {
    // bytes that hold a generation's name and a change's number
    SNAPSHOT_MAX_VERSION = STORE_NAME + 24,
};

typedef struct snapshot snapshot_t;

typedef struct snapshot_options {
    const uint64_t *shards; // to serve; NULL: all
    size_t shards_size;
    bool kinds[SOURCE_KINDS]; // to serve
    uint64_t check_first; // bytes of files whose checksums are compared before they are served; of
                          // more they are compared in a thread, while they are served
    source_options_t source;
} snapshot_options_t;

// Opens the generation in force in FOLDER, checks the files of the shards to serve (those of large
// ones in a thread of its own: see snapshot_damage), opens their sources for the kinds that the
// collection has, and searches each once. Returns NULL and `why`. Where the index cannot be mapped
// it takes the longer the larger that is; at run time it is called from a thread of its own.
snapshot_t *snapshot_open(const char *folder, const snapshot_options_t *options, char *why,
                          size_t why_size);

// What is wrong with its files, if that was found after it was opened; else NULL. Any thread.
const char *snapshot_damage(const snapshot_t *self);

// Takes up the effort that its manifest says, if that was replaced; whether it was. One thread at a
// time.
bool snapshot_tune(snapshot_t *self);

snapshot_t *snapshot_ref(snapshot_t *self); // any thread
void snapshot_unref(snapshot_t **self_p);   // any thread; the last one closes it, not waiting

const manifest_t *snapshot_manifest(const snapshot_t *self);

// What is in force: the generation's name, and, where the folder has a log of changes, "+" and the
// number of the last one that is applied: "g-000003+127". All changes acknowledged before the call
// are. Returns 0, or -1 with `why` if that cannot be known.
int snapshot_version(snapshot_t *self, char position[SNAPSHOT_MAX_VERSION], char *why,
                     size_t why_size);
// The same as it was when something was last looked at; cheap.
void snapshot_last_version(const snapshot_t *self, char position[SNAPSHOT_MAX_VERSION]);

// The fields of the metadata that filters can name; those of passages added are noted in it.
struct field_types *snapshot_fields(const snapshot_t *self);

// Passages of a shard that are there, those added counted and those deleted not.
uint64_t snapshot_passages(const snapshot_t *self, uint64_t shard);

// One source of it.
typedef struct snapshot_source {
    uint64_t shard;
    const source_backend_t *backend;
    void *source;
} snapshot_source_t;

size_t snapshot_sources(const snapshot_t *self);
const snapshot_source_t *snapshot_source_at(const snapshot_t *self, size_t at);

// Searches one source as its backend does, and what changes have made of it: every change that was
// acknowledged before the call is in force. `position` gets what was searched.
void snapshot_search(snapshot_t *self, const snapshot_source_t *source, size_t thread,
                     const query_t *queries, size_t size, result_t *results,
                     char position[SNAPSHOT_MAX_VERSION]);

#endif
