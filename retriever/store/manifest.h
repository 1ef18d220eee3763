// manifest: manifest.json of a generation, read with suspicion and written.
#ifndef RL_MANIFEST_H
#define RL_MANIFEST_H

#include <jansson.h>

#include "effort.h"
#include "store.h"

#define RL_MANIFEST_FILE "manifest.json"

typedef struct rl_manifest_file {
    const char *name; // below the shard's folder
    uint64_t bytes;
    uint64_t checksum; // rl_checksum
} rl_manifest_file_t;

typedef struct rl_manifest_shard {
    rl_manifest_file_t *files;
    size_t files_size;
} rl_manifest_shard_t;

typedef struct rl_manifest_data {
    rl_manifest_t said;          // what rl_store_manifest hands out
    rl_manifest_shard_t *shards; // said.shards of them
    json_t *root;                // owns the strings
    char *build, *fields;
} rl_manifest_data_t;

// Reads FOLDER/manifest.json. NULL and `why`, which names the file, what is wrong and what to do.
rl_manifest_data_t *rl_manifest_read(const char *folder, char *why, size_t why_size);
void rl_manifest_destroy(rl_manifest_data_t **self_p);

// Writes the effort that searches take from now on into FOLDER/manifest.json, which stays as it is
// otherwise and is replaced as a whole. `kind` is not RL_EFFORT_NONE; `found` (may be NULL) goes
// along, for people: what it was chosen by. Returns 0, or -1 with `why`.
int rl_manifest_set_effort(const char *folder, rl_effort_kind_t kind, size_t effort, json_t *found,
                           char *why, size_t why_size);

// Writes FOLDER/manifest.json from what `said` says and what lies in FOLDER/shard-0…, whose files
// are read for their checksums; syncs them. Returns 0, or -1 with `why`.
int rl_manifest_write(const char *folder, const rl_manifest_t *said, rl_store_progress_fn *progress,
                      void *arg, char *why, size_t why_size);

#endif
