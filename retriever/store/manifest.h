// manifest: reads manifest.json of a generation, checking every field, and writes it.
#ifndef MANIFEST_H
#define MANIFEST_H

#include <jansson.h>

#include "effort.h"
#include "store.h"

#define MANIFEST_FILE "manifest.json"

typedef struct manifest_file {
    const char *name; // below the shard's folder
    uint64_t bytes;
    uint64_t checksum; // XXH64
} manifest_file_t;

typedef struct manifest_shard {
    manifest_file_t *files;
    size_t files_size;
} manifest_shard_t;

typedef struct manifest_data {
    manifest_t contents;      // what store_manifest hands out
    manifest_shard_t *shards; // contents.shards of them
    json_t *root;             // owns the strings
    char *build, *fields;
} manifest_data_t;

// Reads FOLDER/manifest.json. NULL and `why`, which names the file, what is wrong and what to do.
manifest_data_t *manifest_read(const char *folder, char *why, size_t why_size);
void manifest_destroy(manifest_data_t **self_p);

// Writes the effort that searches take from now on into FOLDER/manifest.json, which stays as it is
// otherwise and is replaced as a whole. `kind` is not EFFORT_NONE; `found` (may be NULL) goes
// along, for people: what it was chosen by. Returns 0, or -1 with `why`.
int manifest_set_effort(const char *folder, effort_kind_t kind, size_t effort, json_t *found,
                        char *why, size_t why_size);

// Writes FOLDER/manifest.json from what `manifest` says and what lies in FOLDER/shard-0…, whose
// files are read for their checksums; syncs them. Returns 0, or -1 with `why`.
int manifest_write(const char *folder, const manifest_t *manifest, store_progress_fn *progress,
                   void *arg, char *why, size_t why_size);

#endif
