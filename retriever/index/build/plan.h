// plan: what is to be built, from the configuration, checked.
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "bulk_embed.h"
#include "chunker.h"
#include "conf.h"
#include "engine.h"
#include "roots.h"

typedef struct plan {
    const rl_conf_t *conf;  // owns the strings below unless said otherwise
    const char *out;        // the collection's folder
    const engine_t *engine; // to load it into; NULL: an index in the folder
    char own[4096];         // what `out` is where none was given: for what has been embedded
    char collection[65];    // its name
    const char *language, *factory;
    size_t shards, threads;
    bool lexical_only; // asked for, or there is no embedding server
    bulk_settings_t embedding;
    chunk_rules_t rules;
} plan_t;

// Fills *plan. Returns 0, or -1 with what is wrong and what to do in `why`. Of what the
// configuration's table cannot check by itself: paths are given, a folder to write to, a name for
// the collection, a known language, lengths that go together.
int plan_make(const rl_conf_t *conf, plan_t *plan, char *why, size_t why_size);

// The builder's part of the manifest, a JSON object: how passages were cut and what was embedded.
// malloc'd, owned by the caller. With the roots, where they are not NULL.
char *plan_json(const plan_t *plan, const roots_t *roots);

#endif
