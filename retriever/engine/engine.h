// engine: a distributed search engine that holds passages in place of an index on disk, as what is
// particular to it: what is sent to it over HTTP and what its answers mean. Nothing here waits or
// has a socket: source_engine.c and ragline-index send the requests. Another engine is another file
// like engine_weaviate.c and a line in the table of engine.c.
#ifndef ENGINE_H
#define ENGINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "source.h"

enum {
    ENGINE_BODY = 16 << 20,     // bytes of a request's body at most
    ENGINE_REPLY = 16 << 20,    // of a reply
    ENGINE_PATH = 512,          // of a path
    ENGINE_ID = 37,             // bytes that hold a passage's id, NUL included
    ENGINE_MAX_FIELDS = 256,    // metadata's fields that can be filtered by
    ENGINE_CATALOG = 256 << 10, // bytes of a collection's description
};

// One request; what it holds is reused from one to the next.
typedef struct engine_request {
    const char *method;
    char path[ENGINE_PATH]; // behind the node's URL
    rl_buf_t body;          // JSON; empty: none
    const char *header;     // one more header line, NULL for none
} engine_request_t;

engine_request_t engine_request_make(void);
void engine_request_free(engine_request_t *self);

typedef enum engine_mode {
    ENGINE_VECTOR,  // nearest vectors
    ENGINE_LEXICAL, // BM25
    ENGINE_HYBRID,  // both, put together by the engine
} engine_mode_t;

// What an answer is.
typedef enum engine_verdict {
    ENGINE_OK,
    ENGINE_ELSEWHERE, // this node cannot; another one may
    ENGINE_NONE,      // there is no such collection
    ENGINE_REFUSED,   // no node will
} engine_verdict_t;

typedef struct engine_settings {
    const char *collection;  // ragline's name of it
    const char *consistency; // of reads: "one", "quorum", "all"
    double alpha;            // weight of the vectors in ENGINE_HYBRID, 0..1
    uint64_t replicas;       // of a collection that is made: copies of each passage
    uint64_t shards;         // and parts; 0: one for few passages, else the engine's choice
} engine_settings_t;

// The description of a collection in the engine, kept there by the load: ragline's manifest, of one
// shard, however many the engine has.
typedef struct engine_catalog {
    manifest_t manifest; // strings are the catalog's own
    uint64_t passages;   // manifest.shard_passages
    bool loading;        // a load is under way, or was broken off
    json_t *root;        // owns the strings; "multi": names of fields that have lists
    json_t *types;       // {"year": "number"}
    char *build, *fields;
} engine_catalog_t;

void engine_catalog_clear(engine_catalog_t *self);
// As JSON; the caller owns it. NULL if a string is no UTF-8.
char *engine_catalog_json(const engine_catalog_t *self);
// Reads such a text into an empty one. Returns 0, or -1 with `why`.
int engine_catalog_read(engine_catalog_t *self, const char *text, char *why, size_t why_size);
// Whether some passage has several values in this field.
bool engine_catalog_is_multi(const engine_catalog_t *self, const char *field);
// The types of a field ("number|string"), NULL if there is no such field.
const char *engine_catalog_types(const engine_catalog_t *self, const char *field);

typedef struct engine_place engine_place_t; // one collection at one engine

typedef struct engine {
    const char *name;       // as in retriever.engine
    const char *ready_path; // answers 200 when a node takes requests

    // The collection's requests and answers. NULL and `why` for a name that cannot be used.
    engine_place_t *(*open)(const engine_settings_t *settings, char *why, size_t why_size);
    void (*close)(engine_place_t **self_p);

    // Asks for the catalog, and takes it from the answer; the place then searches by it.
    int (*describe)(engine_place_t *self, engine_request_t *out);
    engine_verdict_t (*take_catalog)(engine_place_t *self, long status, const char *body,
                                     size_t size, engine_catalog_t *catalog, char *why,
                                     size_t why_size);
    // 1: `out` is the request; 0: there is nothing to ask, the result is empty; -1: it is a
    // failure.
    int (*search)(engine_place_t *self, engine_mode_t mode, const query_t *query,
                  engine_request_t *out, result_t *result);
    // Fills the result, or makes it a failure. The query is the one that was asked.
    engine_verdict_t (*take_hits)(engine_place_t *self, engine_mode_t mode, const query_t *query,
                                  long status, const char *body, size_t size, result_t *result);

    // Whether searches of the place come out right, after take_catalog or take_prepare: REFUSED
    // where they do not, `why` says why and what helps.
    void (*check)(engine_request_t *out);
    engine_verdict_t (*take_check)(engine_place_t *self, long status, const char *body, size_t size,
                                   char *why, size_t why_size);

    // Loading. The next request that brings what is there in line with `catalog` (its description
    // and what its passages can be filtered by): 1 when there is one, 0 when all is as it should
    // be, -1 when it does not fit.
    int (*prepare)(engine_place_t *self, const engine_catalog_t *catalog, engine_request_t *out);
    engine_verdict_t (*take_prepare)(engine_place_t *self, long status, const char *body,
                                     size_t size, char *why, size_t why_size);
    // A batch: begin, passages, end. Each returns 0, or -1 when it does not fit.
    int (*batch)(engine_place_t *self, engine_request_t *out);
    int (*batch_add)(engine_place_t *self, engine_request_t *out, const char *load,
                     const rl_passage_t *passage, const float *vector, size_t dimension);
    int (*batch_end)(engine_place_t *self, engine_request_t *out);
    engine_verdict_t (*take_batch)(engine_place_t *self, long status, const char *body, size_t size,
                                   char *why, size_t why_size);
    // A batch or sweep is going to be tried again: with less asked of replicas that may be away.
    void (*relax)(engine_request_t *request);
    // Removes what other loads than this one have left; *removed counts, *more: ask again.
    int (*sweep)(engine_place_t *self, const char *load, engine_request_t *out);
    engine_verdict_t (*take_sweep)(engine_place_t *self, long status, const char *body, size_t size,
                                   uint64_t *removed, bool *more, char *why, size_t why_size);
} engine_t;

extern const engine_t engine_weaviate;

// The engine of a name, NULL if there is none.
const engine_t *engine_of(const char *name);

// The id of a passage in an engine: the same for the same document and place in it, a UUID (RFC
// 9562, version 8) of the first 16 bytes of SHA-256 over document id and offsets.
void engine_id(const rl_passage_t *passage, char id[ENGINE_ID]);
// The passage's number among ragline's processes: the UUID's last 62 bits. 0 if it is no UUID.
uint64_t engine_number(const char *id);

#endif
