// engine_weaviate_private: shared by the engine_weaviate files only.
#ifndef ENGINE_WEAVIATE_PRIVATE_H
#define ENGINE_WEAVIATE_PRIVATE_H

#include "analyzer.h"
#include "engine.h"
#include "filter.h"

enum {
    WEAVIATE_CLASS = 220,     // bytes of a class's name
    WEAVIATE_PROPERTY = 200,  // of a property's; Weaviate takes 230
    WEAVIATE_TERMS = 128,     // of a question
    WEAVIATE_SLOTS = 1 << 15, // terms whose frequency is remembered
    // Passages that are one shard's for the engine to weigh words well: its idf is each shard's
    // own.
    WEAVIATE_ONE_SHARD = 10000,
};

// Around strings that filters compare, which Weaviate trims otherwise. The one behind is the lowest
// byte that text has, so that the order of strings stays.
#define WEAVIATE_BEFORE "="
#define WEAVIATE_BEHIND "\x01"

// How many passages have a term, of the last terms that hashed to the slot.
typedef struct weaviate_frequency {
    uint64_t hash;
    uint64_t passages;
} weaviate_frequency_t;

struct engine_place {
    engine_settings_t settings;
    char collection[80], class[WEAVIATE_CLASS], consistency[16];
    engine_catalog_t catalog;          // empty until it was taken
    analyzer_t *rules;                 // of the catalog's language
    weaviate_frequency_t *frequencies; // WEAVIATE_SLOTS of them, of the catalog's generation
    double parts;                      // the engine's own shards of the collection
    bool block_max;                    // it is searched by BlockMax WAND
    json_t *schema;                    // loading: the class as it is there; NULL: not asked yet
    bool missing;                      // there is none
    char adding[WEAVIATE_PROPERTY];    // the property that is being added, "" if none
};

// The property for values of a field: the type's first letter and the field's name.
void weaviate_property(const char *field, rl_filter_type_t type, char name[WEAVIATE_PROPERTY]);

// Whether values of this type are among a field's types ("number|string"; NULL: it has none).
bool weaviate_has_type(const char *types, rl_filter_type_t type);

// " where:{…}", or nothing without a filter. Returns -1 after making the result a failure.
int weaviate_put_where(engine_place_t *self, const char *filter, rl_buf_t *out, result_t *result);

// A string as filters compare it, as JSON; `behind`: a whole value, not the beginning of one.
void weaviate_put_string(rl_buf_t *out, const char *text, size_t size, bool behind);

// What an HTTP status says, in general; where it is not OK, `why` says what Weaviate said.
engine_verdict_t weaviate_judge(const char *doing, long status, const char *body, size_t size,
                                char *why, size_t why_size);

// The class's description as a catalog.
engine_verdict_t weaviate_read_schema(const engine_place_t *self, const json_t *schema,
                                      engine_catalog_t *catalog, char *why, size_t why_size);
// Searches and loads go by it from now on. Returns 0, or -1 if there are no rules for its language.
int weaviate_keep_catalog(engine_place_t *self, const engine_catalog_t *catalog);

// Takes from a class's description what searches and their check go by.
void weaviate_note_schema(engine_place_t *self, const json_t *schema);

// Terms of texts together, each as often as it stands there, with spaces between them.
int weaviate_put_terms(analyzer_t *rules, const char *const *texts, size_t size, rl_buf_t *out);

// What may be wrong with searches (engine_weaviate_check.c); see engine.h.
void weaviate_check(engine_request_t *out);
engine_verdict_t weaviate_take_check(engine_place_t *self, long status, const char *body,
                                     size_t size, char *why, size_t why_size);

// Loading (engine_weaviate_load.c); see engine.h.
int weaviate_prepare(engine_place_t *self, const engine_catalog_t *catalog, engine_request_t *out);
engine_verdict_t weaviate_take_prepare(engine_place_t *self, long status, const char *body,
                                       size_t size, char *why, size_t why_size);
int weaviate_batch(engine_place_t *self, engine_request_t *out);
int weaviate_batch_add(engine_place_t *self, engine_request_t *out, const char *load,
                       const rl_passage_t *passage, const float *vector, size_t dimension);
int weaviate_batch_end(engine_place_t *self, engine_request_t *out);
engine_verdict_t weaviate_take_batch(engine_place_t *self, long status, const char *body,
                                     size_t size, char *why, size_t why_size);
void weaviate_relax(engine_request_t *request);
int weaviate_sweep(engine_place_t *self, const char *load, engine_request_t *out);
engine_verdict_t weaviate_take_sweep(engine_place_t *self, long status, const char *body,
                                     size_t size, uint64_t *removed, bool *more, char *why,
                                     size_t why_size);

#endif
