// store: a collection's index on disk: read by the retriever, written by ragline-index (its room
// generation/).
//
//   FOLDER/CURRENT                          the name of the generation in force, renamed into place
//   FOLDER/LOCK                             held (flock) while someone builds
//   FOLDER/g-NNNNNN/manifest.json           what it is, how much, sizes and checksums of its files
//   FOLDER/g-NNNNNN/shard-S/vectors.faiss   FAISS index; position + 1 = id (none if lexical only)
//   FOLDER/g-NNNNNN/shard-S/vectors.f32     the vectors in floats, beside an index without them
//                                           (see vectors.h; generations of earlier versions have
//                                           none)
//   FOLDER/g-NNNNNN/shard-S/text/           Xapian: the postings; docid = id
//   FOLDER/g-NNNNNN/shard-S/passages.bin    the passages themselves, by id (see passages.h)
//   FOLDER/g-NNNNNN/shard-S/fields.bin      what filters look at (see fields.h); generations built
//                                           by earlier versions have none, and cannot be filtered
//   FOLDER/g-NNNNNN.tmp/                    a build under way, or what an interrupted one left
//
// Files of a finished generation never change. Other files in FOLDER (an embedding cache, say) are
// left alone.
#ifndef STORE_H
#define STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "effort.h"
#include "proto.h"
#include "selection.h"

enum {
    STORE_FORMAT = 1,         // version of all of the above; another one is refused
    STORE_NAME = 32,          // bytes that hold a generation's name, NUL included
    STORE_MAX_SHARDS = 1024,  // of one collection
    STORE_MAX_FIELD = 1 << 20 // bytes of one string of a passage
};

// What manifest.json says. Strings are owned by the store and never NULL.
typedef struct manifest {
    const char *collection; // name of the collection
    const char *generation; // "g-000003"
    const char *model;      // embedding model = embedding space; "" if lexical only
    uint64_t dimension;     // of the vectors; 0 if lexical only
    const char *metric;     // "ip": inner product of normalised vectors = cosine
    bool normalised;        // vectors have length 1
    const char *language;   // of stemming and stop words, "english"; "none" for neither
    const char *factory;    // FAISS factory string of the shards' indexes, "" if lexical only
    const char *build;      // JSON object of the builder's own: chunker, prefixes, sources…; "{}"
    const char *created;    // UTC, "2025-01-31T12:00:00Z"
    const char *fields;     // JSON object: names and types of the metadata's fields; "" if there is
                            // nothing to filter on
    bool fields_more;       // some passages have further ones, which were too many
    uint64_t changes;       // it holds the changes up to this number (change_log.h)
    uint64_t nprobe;    // lists that a search of an inverted file looks into, and candidates that
    uint64_t ef_search; // one of a graph keeps, as ragline-index --check chose; 0: it has not
    uint64_t documents; // in all shards
    uint64_t passages;  // in all shards
    uint64_t shards;
    const uint64_t *shard_passages; // passages of each shard: ids 1..shard_passages[S]
} manifest_t;

// ---- reading ------------------------------------------------------------------------------------

typedef struct store store_t;

// Reads FOLDER/CURRENT into `name` (STORE_NAME bytes). Returns 0, or -1 with what is wrong in
// `why`. Cheap: what a retriever looks at to notice a new generation.
int store_current(const char *folder, char *name, char *why, size_t why_size);

// Opens the generation in force. `verify` compares the checksum of every file of all shards (their
// sizes are always compared). Returns NULL and writes into `why` which file is wrong, what is wrong
// with it and what to do about it.
store_t *store_open(const char *folder, bool verify, char *why, size_t why_size);
void store_destroy(store_t **self_p);

const manifest_t *store_manifest(const store_t *self);

// Compares checksums of one shard's files (a retriever may serve only some). `stop` (may be NULL)
// ends it early, as a success, when it becomes true. Returns 0 or -1 with `why`.
int store_verify(const store_t *self, uint64_t shard, const atomic_bool *stop, char *why,
                 size_t why_size);

// Bytes of a shard's files.
uint64_t store_bytes(const store_t *self, uint64_t shard);

// The effort that searches take, written into the manifest of the generation that is open, as
// `kind` ("nprobe", "ef_search"); `found` (may be NULL) is a JSON object of what it was chosen by.
// Returns 0, or -1 with `why`. Retrievers that serve it take it up.
int store_set_effort(store_t *self, effort_kind_t kind, size_t effort, const char *found, char *why,
                     size_t why_size);

// Reads the effort again if the manifest was replaced since. Returns whether it was; *manifest then
// is that of store_manifest with the new effort. Cheap where it was not.
bool store_retuned(store_t *self, manifest_t *manifest);

// "FOLDER/g-000003/shard-S/NAME" in a malloc'd string that the caller owns; never NULL.
char *store_path(const store_t *self, uint64_t shard, const char *name);

// Passages by id, in the order asked for: fills passages[0..size) (score 0) whose strings live in
// *memory_p, which the caller frees with free(). Any thread may call it. Returns 0, or -1 with
// `why` when an id is not in the shard (ids are 1..shard_passages[shard]) or the file is damaged.
int store_passages(const store_t *self, uint64_t shard, const uint64_t *ids, size_t size,
                   rl_passage_t *passages, void **memory_p, char *why, size_t why_size);

// The passages of a shard that fulfil a filter (filter.h's JSON), as a reference that the caller
// drops; those of recent filters are cached. Any thread may call it. NULL with *code
// ("no_metadata": the index has none, "bad_filter", "index_gone": damaged) and `why`.
selection_t *store_select(const store_t *self, uint64_t shard, const char *filter,
                          const char **code, char *why, size_t why_size);

// Calls `fn` with the id of each passage of a shard whose "id" (the document's) or "source"
// (`field`) is this, until it returns false. Returns 0, or -1 with `why`. Strings above
// CHANGE_LOG_MAX_ID bytes cannot be looked up.
int store_find(const store_t *self, uint64_t shard, const char *field, const char *value,
               bool (*fn)(void *arg, uint64_t id), void *arg, char *why, size_t why_size);

// ---- for writing (ragline-index) ----------------------------------------------------------------

// How far the writing of a generation is (generation_writer.h): `stage` is "text", "merging" (of
// the text's parts), "training", "vectors", "lists" (of an inverted file), "fields", "checksums" or
// "sync"; done of total in passages (merging and checksums: bytes; training: steps).
typedef void(store_progress_fn)(void *arg, const char *stage, uint64_t shard, uint64_t done,
                                uint64_t total);

// The FAISS factory string for so many passages in a shard (what "" in the settings stands for),
// and in *reason (static text; may be NULL) why.
const char *store_factory(uint64_t passages, const char **reason);

// The hash of a text with its white space folded (rl_passage_t.hash).
uint64_t store_text_hash(const char *text, size_t size);

#endif
