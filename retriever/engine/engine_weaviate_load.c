// engine_weaviate_load: how passages get into Weaviate: the class and its properties, batches of
// objects, and the removal of what an earlier load has left.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_weaviate_private.h"
#include "fields.h"
#include "files.h"

enum {
    TERMS = 8 << 20, // bytes of one passage's terms
};

static const double k1 = 1.2, length_weight = 0.75; // as text_index.cc has them

// ---- the class ----------------------------------------------------------------------------------

typedef struct property {
    const char *name, *type, *tokenization; // NULL: none
    bool filterable, searchable;
} property_t;

static const property_t properties[] = {
    {"doc", "text", "field", true, false},       {"title", "text", "field", false, false},
    {"heading", "text", "field", false, false},  {"source", "text", "field", false, false},
    {"text", "text", "field", false, false},     {"meta", "text", "field", false, false},
    {"start", "int", NULL, false, false},        {"end", "int", NULL, false, false},
    {"terms", "text", "whitespace", true, true}, {"has", "text[]", "field", true, false},
    {"load", "text", "field", true, false},
};

static json_t *property_json(const property_t *property)
{
    json_t *out = json_pack("{s:s, s:[s], s:b}", "name", property->name, "dataType", property->type,
                            "indexFilterable", (int)property->filterable);
    if (property->tokenization) {
        json_object_set_new(out, "tokenization", json_string(property->tokenization));
        json_object_set_new(out, "indexSearchable", json_boolean(property->searchable));
    }
    return out;
}

static property_t field_property(const char *name, rl_filter_type_t type)
{
    static const char *const types[] = {[RL_FILTER_BOOLEAN] = "boolean[]",
                                        [RL_FILTER_NUMBER] = "number[]",
                                        [RL_FILTER_STRING] = "text[]"};
    return (property_t){.name = name,
                        .type = types[type],
                        .tokenization = type == RL_FILTER_STRING ? "field" : NULL,
                        .filterable = true};
}

// Calls `fn` with each property that the catalog's fields want, until it returns false.
static void each_field_property(const engine_catalog_t *catalog,
                                bool (*fn)(void *arg, const property_t *property), void *arg)
{
    const char *field;
    json_t *types;
    bool on = true;
    json_object_foreach(catalog->types, field, types)
    {
        for (int type = 0; on && type < RL_FILTER_TYPES; type++) {
            char name[WEAVIATE_PROPERTY];
            if (!weaviate_has_type(json_string_value(types), (rl_filter_type_t)type))
                continue;
            weaviate_property(field, (rl_filter_type_t)type, name);
            property_t property = field_property(name, (rl_filter_type_t)type);
            on = fn(arg, &property);
        }
    }
}

static bool append_property(void *arg, const property_t *property)
{
    return json_array_append_new(arg, property_json(property)) == 0;
}

static json_t *class_json(const engine_place_t *self, const engine_catalog_t *catalog,
                          const char *description)
{
    json_t *list = json_array();
    for (size_t at = 0; at < sizeof properties / sizeof *properties; at++)
        append_property(list, &properties[at]);
    each_field_property(catalog, append_property, list);
    json_t *sharding = json_object();
    uint64_t shards = self->settings.shards;
    if (shards == 0 && catalog->manifest.passages < WEAVIATE_ONE_SHARD)
        shards = 1;
    if (shards > 0)
        json_object_set_new(sharding, "desiredCount", json_integer((json_int_t)shards));
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:{s:s}, s:{s:i, s:b, s:s}, s:o, s:{s:{s:f,s:f}, s:{s:s}}}",
        "class", self->class, "description", description, "vectorizer", "none", "properties", list,
        "vectorIndexType", "hnsw", "vectorIndexConfig", "distance", "cosine", "replicationConfig",
        "factor", (int)self->settings.replicas, "asyncEnabled", (int)(self->settings.replicas > 1),
        "deletionStrategy", "TimeBasedResolution", "shardingConfig", sharding,
        "invertedIndexConfig", "bm25", "k1", k1, "b", length_weight, "stopwords", "preset", "none");
}

typedef struct wanted {
    const engine_place_t *place;
    json_t *missing; // the first property that is not there
} wanted_t;

static bool has_property(const json_t *schema, const char *name)
{
    size_t at;
    const json_t *there;
    json_array_foreach(json_object_get(schema, "properties"), at, there)
    {
        const char *text = json_string_value(json_object_get(there, "name"));
        if (text && strcmp(text, name) == 0)
            return true;
    }
    return false;
}

static bool look_for(void *arg, const property_t *property)
{
    wanted_t *wanted = arg;
    if (has_property(wanted->place->schema, property->name))
        return true;
    wanted->missing = property_json(property);
    return false;
}

static int put_json(engine_request_t *out, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    rl_buf_clear(&out->body);
    int rc = text ? rl_buf_adds(&out->body, text) : -1;
    free(text);
    json_decref(body);
    return rc == 0 ? 1 : -1;
}

// The next thing that is not as it should be in a class that is there.
static int put_difference(engine_place_t *self, const engine_catalog_t *catalog,
                          const char *description, engine_request_t *out)
{
    wanted_t wanted = {self, NULL};
    each_field_property(catalog, look_for, &wanted);
    if (wanted.missing) {
        out->method = "POST";
        snprintf(out->path, sizeof out->path, "/v1/schema/%s/properties", self->class);
        snprintf(self->adding, sizeof self->adding, "%s",
                 json_string_value(json_object_get(wanted.missing, "name")));
        return put_json(out, wanted.missing);
    }
    const char *there = json_string_value(json_object_get(self->schema, "description"));
    if (there && strcmp(there, description) == 0)
        return 0;
    out->method = "PUT";
    snprintf(out->path, sizeof out->path, "/v1/schema/%s", self->class);
    json_object_set_new(self->schema, "description", json_string(description));
    return put_json(out, json_incref(self->schema));
}

int weaviate_prepare(engine_place_t *self, const engine_catalog_t *catalog, engine_request_t *out)
{
    char *description = engine_catalog_json(catalog);
    int rc = description && weaviate_keep_catalog(self, catalog) == 0 ? 1 : -1;
    out->header = NULL;
    if (rc > 0 && self->missing) {
        out->method = "POST";
        snprintf(out->path, sizeof out->path, "/v1/schema");
        rc = put_json(out, class_json(self, catalog, description));
    } else if (rc > 0 && !self->schema) {
        out->method = "GET";
        snprintf(out->path, sizeof out->path, "/v1/schema/%s", self->class);
        rl_buf_clear(&out->body);
    } else if (rc > 0) {
        rc = put_difference(self, catalog, description, out);
    }
    free(description);
    return rc;
}

// Whether passages of this load can stand in the class that is there.
static engine_verdict_t class_fits(const engine_place_t *self, const json_t *schema, char *why,
                                   size_t why_size)
{
    engine_catalog_t there;
    engine_verdict_t verdict = weaviate_read_schema(self, schema, &there, why, why_size);
    if (verdict != ENGINE_OK)
        return verdict;
    const manifest_t *old = &there.manifest, *new = &self->catalog.manifest;
    if (strcmp(old->collection, new->collection) != 0 || strcmp(old->model, new->model) != 0 ||
        old->dimension != new->dimension) {
        rl_fail(why, why_size,
                "class %s has the collection %s with %" PRIu64 " dimensions of \"%s\", and this is "
                "%s with %" PRIu64 " of \"%s\": choose another name, or remove the class",
                self->class, old->collection, old->dimension, old->model, new->collection,
                new->dimension, new->model);
        verdict = ENGINE_REFUSED;
    }
    engine_catalog_clear(&there);
    return verdict;
}

engine_verdict_t weaviate_take_prepare(engine_place_t *self, long status, const char *body,
                                       size_t size, char *why, size_t why_size)
{
    if (status == 404 && !self->schema && !self->missing) {
        self->missing = true;
        return ENGINE_OK;
    }
    engine_verdict_t verdict =
        weaviate_judge("making the class", status, body, size, why, why_size);
    if (verdict != ENGINE_OK) {
        // the request may have been done in part, or by another load
        json_decref(self->schema);
        self->schema = NULL;
        self->missing = false;
        return verdict;
    }
    json_t *root = json_loadb(body, size, 0, NULL);
    if (*self->adding) {
        json_array_append_new(json_object_get(self->schema, "properties"),
                              json_pack("{s:s}", "name", self->adding));
        json_decref(self->schema); // a PUT sends what is there: it is asked for again
        self->schema = NULL;
        *self->adding = '\0';
    } else if (!self->schema) {
        weaviate_note_schema(self, root);
        verdict = class_fits(self, root, why, why_size);
        self->schema = verdict == ENGINE_OK ? json_incref(root) : NULL;
        self->missing = false;
    }
    json_decref(root);
    return verdict;
}

// All replicas, so that a read at any of them is complete once the load has ended; only a quorum
// where one is away (Weaviate brings it up to date afterwards).
static const char batch_path[] = "/v1/batch/objects?consistency_level=ALL";
static const char relaxed_path[] = "/v1/batch/objects?consistency_level=QUORUM";

void weaviate_relax(engine_request_t *request)
{
    if (strcmp(request->path, batch_path) == 0)
        snprintf(request->path, sizeof request->path, "%s", relaxed_path);
}

// ---- batches ------------------------------------------------------------------------------------

int weaviate_batch(engine_place_t *self, engine_request_t *out)
{
    (void)self;
    out->method = "POST";
    out->header = NULL;
    snprintf(out->path, sizeof out->path, "%s", batch_path);
    rl_buf_clear(&out->body);
    return rl_buf_adds(&out->body, "{\"objects\":[");
}

// Values of one passage's metadata, by property.
typedef struct gathered {
    const engine_place_t *place;
    json_t *values; // {"fs_lang": ["=c\x01"]}
    json_t *has;    // {"=lang\x01": null}
} gathered_t;

static json_t *marked_string(const char *text)
{
    rl_buf_t whole = rl_buf_make(2 * RL_FILTER_MAX_STRING);
    rl_buf_adds(&whole, WEAVIATE_BEFORE);
    rl_buf_adds(&whole, text);
    rl_buf_adds(&whole, WEAVIATE_BEHIND);
    json_t *out = whole.full ? NULL : json_stringn(whole.data, whole.size);
    rl_buf_free(&whole);
    return out;
}

static int gather_value(void *arg, const char *field, const json_t *value)
{
    gathered_t *self = arg;
    const char *types = engine_catalog_types(&self->place->catalog, field);
    if (!types)
        return 0; // one of too many
    json_t *name = marked_string(field);
    int rc = json_object_set_new(self->has, json_string_value(name), json_null());
    json_decref(name);
    if (rc != 0)
        return -1;
    size_t length = json_string_length(value);
    rl_filter_type_t type = json_is_boolean(value)  ? RL_FILTER_BOOLEAN
                            : json_is_number(value) ? RL_FILTER_NUMBER
                                                    : RL_FILTER_STRING;
    if (type == RL_FILTER_STRING &&
        (length > RL_FILTER_MAX_STRING || strlen(json_string_value(value)) != length))
        return 0; // it only exists
    char property[WEAVIATE_PROPERTY];
    weaviate_property(field, type, property);
    json_t *list = json_object_get(self->values, property);
    if (!list) {
        json_object_set_new(self->values, property, json_array());
        list = json_object_get(self->values, property);
    }
    return json_array_append_new(list, type == RL_FILTER_STRING
                                           ? marked_string(json_string_value(value))
                                           : json_copy((json_t *)value));
}

// `, "has": […], "fs_lang": […]`
static int add_metadata(engine_place_t *self, const rl_passage_t *passage, rl_buf_t *out)
{
    gathered_t gathered = {self, json_object(), json_object()};
    int rc = fields_each(passage, gather_value, &gathered);
    const char *key;
    json_t *value, *names = json_array();
    json_object_foreach(gathered.has, key, value)
    {
        json_array_append_new(names, json_string(key));
    }
    json_object_set_new(gathered.values, "has", names);
    char *text = rc == 0 ? json_dumps(gathered.values, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (text && strlen(text) > 2) {
        rl_buf_adds(out, ",");
        rl_buf_add(out, text + 1, strlen(text) - 2);
    }
    rc = text ? 0 : -1;
    free(text);
    json_decref(gathered.values);
    json_decref(gathered.has);
    return rc;
}

static void add_string(rl_buf_t *out, const char *name, const char *text)
{
    rl_buf_addf(out, "\"%s\":", name);
    rl_buf_add_json(out, text ? text : "", text ? strlen(text) : 0);
    rl_buf_adds(out, ",");
}

int weaviate_batch_add(engine_place_t *self, engine_request_t *out, const char *load,
                       const rl_passage_t *passage, const float *vector, size_t dimension)
{
    char id[ENGINE_ID];
    const char *const texts[] = {passage->title, passage->heading, passage->text};
    rl_buf_t *body = &out->body, terms = rl_buf_make(TERMS);
    engine_id(passage, id);
    int rc = weaviate_put_terms(self->rules, texts, 3, &terms);
    rl_buf_addf(body, "%s{\"class\":\"%s\",\"id\":\"%s\",\"properties\":{",
                body->data[body->size - 1] == '[' ? "" : ",", self->class, id);
    add_string(body, "doc", passage->doc);
    add_string(body, "title", passage->title);
    add_string(body, "heading", passage->heading);
    add_string(body, "source", passage->source);
    add_string(body, "text", passage->text);
    add_string(body, "meta", passage->meta);
    add_string(body, "terms", terms.data);
    rl_buf_adds(body, "\"load\":");
    weaviate_put_string(body, load, strlen(load), true);
    rl_buf_addf(body, ",\"start\":%" PRIu64 ",\"end\":%" PRIu64, passage->start, passage->end);
    if (rc == 0)
        rc = add_metadata(self, passage, body);
    rl_buf_adds(body, "}");
    for (size_t at = 0; at < dimension; at++)
        rl_buf_addf(body, at == 0 ? ",\"vector\":[%.9g" : ",%.9g", (double)vector[at]);
    rl_buf_adds(body, dimension > 0 ? "]}" : "}");
    rl_buf_free(&terms);
    return rc == 0 && !body->full ? 0 : -1;
}

int weaviate_batch_end(engine_place_t *self, engine_request_t *out)
{
    (void)self;
    return rl_buf_adds(&out->body, "]}");
}

// Each object has its own result.
engine_verdict_t weaviate_take_batch(engine_place_t *self, long status, const char *body,
                                     size_t size, char *why, size_t why_size)
{
    (void)self;
    engine_verdict_t verdict = weaviate_judge("a batch", status, body, size, why, why_size);
    if (verdict != ENGINE_OK)
        return verdict;
    json_t *root = json_loadb(body, size, JSON_ALLOW_NUL, NULL);
    size_t at;
    const json_t *object;
    if (!json_is_array(root)) {
        rl_fail(why, why_size, "a batch: Weaviate's answer is no list");
        verdict = ENGINE_ELSEWHERE;
    }
    json_array_foreach(root, at, object)
    {
        const json_t *result = json_object_get(object, "result");
        const char *state = json_string_value(json_object_get(result, "status"));
        const json_t *errors = json_object_get(json_object_get(result, "errors"), "error");
        if (json_array_size(errors) == 0 && state && strcmp(state, "FAILED") != 0)
            continue;
        const char *message =
            json_string_value(json_object_get(json_array_get(errors, 0), "message"));
        rl_fail(why, why_size, "a batch: Weaviate refuses an object: %.300s",
                message ? message : "it does not say why");
        verdict = ENGINE_ELSEWHERE; // a replica that is away, or the object: trying again tells
        break;
    }
    json_decref(root);
    return verdict;
}

// ---- what is left of earlier loads --------------------------------------------------------------

int weaviate_sweep(engine_place_t *self, const char *load, engine_request_t *out)
{
    out->method = "DELETE";
    out->header = NULL;
    snprintf(out->path, sizeof out->path, "%s", batch_path);
    rl_buf_clear(&out->body);
    rl_buf_addf(
        &out->body,
        "{\"output\":\"minimal\",\"match\":{\"class\":\"%s\",\"where\":{\"path\":[\"load\"],"
        "\"operator\":\"NotEqual\",\"valueText\":",
        self->class);
    weaviate_put_string(&out->body, load, strlen(load), true);
    return rl_buf_adds(&out->body, "}}}");
}

engine_verdict_t weaviate_take_sweep(engine_place_t *self, long status, const char *body,
                                     size_t size, uint64_t *removed, bool *more, char *why,
                                     size_t why_size)
{
    (void)self;
    engine_verdict_t verdict = weaviate_judge("removing", status, body, size, why, why_size);
    if (verdict != ENGINE_OK)
        return verdict;
    json_t *root = json_loadb(body, size, 0, NULL);
    const json_t *results = json_object_get(root, "results");
    json_int_t done = json_integer_value(json_object_get(results, "successful"));
    json_int_t failed = json_integer_value(json_object_get(results, "failed"));
    if (!results || failed > 0) {
        rl_fail(why, why_size, "removing: Weaviate could not remove %lld of the objects",
                (long long)failed);
        verdict = ENGINE_ELSEWHERE;
    }
    *removed = done > 0 ? (uint64_t)done : 0;
    *more = done > 0; // it takes only so many at a time
    json_decref(root);
    return verdict;
}
