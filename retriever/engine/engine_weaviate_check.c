// engine_weaviate_check: what makes searches by words come out wrong in a Weaviate that answers
// all the same: versions with known faults, and few passages in many shards.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine_weaviate_private.h"
#include "fail.h"

// Its BlockMax WAND prunes passages that have rare words: terms of a single passage in a segment
// (Weaviate's pull request 11772), terms not yet written to disk (11780), impacts written with k1
// and b interchanged (12022). All three are mended from these versions on.
static const unsigned mended[][3] = {{1, 37, 12}, {1, 38, 3}};

static bool is_mended(const char *version)
{
    unsigned major = 0, minor = 0, patch = 0;
    sscanf(version, "%u.%u.%u", &major, &minor, &patch);
    for (size_t at = 0; at < sizeof mended / sizeof *mended; at++)
        if (major == mended[at][0] && minor == mended[at][1])
            return patch >= mended[at][2];
    return major > 1 || (major == 1 && minor > 38);
}

void weaviate_note_schema(engine_place_t *self, const json_t *schema)
{
    const json_t *sharding = json_object_get(schema, "shardingConfig");
    double parts = json_number_value(json_object_get(sharding, "actualCount"));
    self->parts = parts >= 1 ? parts : 1;
    self->block_max = json_is_true(
        json_object_get(json_object_get(schema, "invertedIndexConfig"), "usingBlockMaxWAND"));
}

void weaviate_check(engine_request_t *out)
{
    out->method = "GET";
    out->header = NULL;
    snprintf(out->path, sizeof out->path, "/v1/meta");
    rl_buf_clear(&out->body);
}

engine_verdict_t weaviate_take_check(engine_place_t *self, long status, const char *body,
                                     size_t size, char *why, size_t why_size)
{
    engine_verdict_t verdict =
        weaviate_judge("asking for the version", status, body, size, why, why_size);
    if (verdict != ENGINE_OK)
        return verdict;
    json_t *root = json_loadb(body, size, 0, NULL);
    const char *version = json_string_value(json_object_get(root, "version"));
    uint64_t passages = self->catalog.manifest.passages;
    if (version && self->block_max && !is_mended(version)) {
        rl_fail(why, why_size,
                "Weaviate %.20s can lose passages that have rare words when it searches by words: "
                "take 1.37.12, 1.38.3 or later; or start its nodes with "
                "USE_INVERTED_SEARCHABLE=false and load under another name",
                version);
        verdict = ENGINE_REFUSED;
    } else if (self->parts > 1 && passages < WEAVIATE_ONE_SHARD) {
        rl_fail(why, why_size,
                "%" PRIu64 " passages lie in %g shards, each of which weighs words by its own "
                "passages alone: too few for a good order; load under another name, which makes "
                "one shard for them",
                passages, self->parts);
        verdict = ENGINE_REFUSED;
    }
    json_decref(root);
    return verdict;
}
