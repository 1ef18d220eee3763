// engine: the table of engines, a collection's catalog, passages' ids.
#include "engine.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "filter.h"
#include "mem.h"

enum {
    CATALOG_FORMAT = 1,
    DIGEST = 32, // bytes of SHA-256
};

static const engine_t *const engines[] = {&engine_weaviate};

const engine_t *engine_of(const char *name)
{
    for (size_t at = 0; at < sizeof engines / sizeof *engines; at++)
        if (strcmp(engines[at]->name, name) == 0)
            return engines[at];
    return NULL;
}

engine_request_t engine_request_make(void)
{
    return (engine_request_t){.method = "GET", .body = rl_buf_make(ENGINE_BODY)};
}

void engine_request_free(engine_request_t *self)
{
    rl_buf_free(&self->body);
}

// ---- ids ----------------------------------------------------------------------------------------

void engine_id(const rl_passage_t *passage, char id[ENGINE_ID])
{
    unsigned char digest[DIGEST] = {0};
    uint64_t place[2] = {passage->start, passage->end};
    EVP_MD_CTX *md = rl_must(EVP_MD_CTX_new());
    if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(md, passage->doc, strlen(passage->doc) + 1) != 1 ||
        EVP_DigestUpdate(md, place, sizeof place) != 1 || EVP_DigestFinal_ex(md, digest, NULL) != 1)
        rl_out_of_memory(); // SHA-256 has no other error
    EVP_MD_CTX_free(md);
    digest[6] = (digest[6] & 0x0f) | 0x80;
    digest[8] = (digest[8] & 0x3f) | 0x80;
    char *at = id;
    for (int byte = 0; byte < 16; byte++) {
        if (byte == 4 || byte == 6 || byte == 8 || byte == 10)
            *at++ = '-';
        at += sprintf(at, "%02x", digest[byte]);
    }
}

uint64_t engine_number(const char *id)
{
    char digits[17] = "", *end = NULL;
    if (strlen(id) != ENGINE_ID - 1 || id[18] != '-' || id[23] != '-')
        return 0;
    memcpy(digits, id + 19, 4);
    memcpy(digits + 4, id + 24, 12);
    uint64_t number = strtoull(digits, &end, 16);
    return *end ? 0 : number & (UINT64_MAX >> 2);
}

// ---- the catalog --------------------------------------------------------------------------------

void engine_catalog_clear(engine_catalog_t *self)
{
    json_decref(self->root);
    json_decref(self->types);
    free(self->build);
    free(self->fields);
    *self = (engine_catalog_t){0};
}

char *engine_catalog_json(const engine_catalog_t *self)
{
    const manifest_t *manifest = &self->manifest;
    json_t *multi = json_object_get(self->root, "multi");
    json_t *build = json_loads(*manifest->build ? manifest->build : "{}", 0, NULL);
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:b, s:b, s:O, s:o, s:o}", "ragline",
        CATALOG_FORMAT, "collection", manifest->collection, "generation", manifest->generation,
        "model", manifest->model, "dimension", (json_int_t)manifest->dimension, "language",
        manifest->language, "created", manifest->created, "documents",
        (json_int_t)manifest->documents, "passages", (json_int_t)manifest->passages, "loading",
        (int)self->loading, "fields_more", (int)manifest->fields_more, "fields", self->types,
        "multi", multi ? json_incref(multi) : json_array(), "build", build ? build : json_object());
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(root);
    return text;
}

static const char *take_string(const json_t *root, const char *key, const char **wrong)
{
    const char *text = json_string_value(json_object_get(root, key));
    if (!text)
        *wrong = key;
    return text ? text : "";
}

static uint64_t take_number(const json_t *root, const char *key, json_int_t most,
                            const char **wrong)
{
    const json_t *value = json_object_get(root, key);
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        json_integer_value(value) <= most)
        return (uint64_t)json_integer_value(value);
    *wrong = key;
    return 0;
}

static const char *take_all(engine_catalog_t *self)
{
    const char *wrong = NULL;
    const json_t *root = self->root;
    manifest_t *manifest = &self->manifest;
    if (take_number(root, "ragline", CATALOG_FORMAT, &wrong) != CATALOG_FORMAT)
        return "ragline";
    manifest->collection = take_string(root, "collection", &wrong);
    manifest->generation = take_string(root, "generation", &wrong);
    manifest->model = take_string(root, "model", &wrong);
    manifest->language = take_string(root, "language", &wrong);
    manifest->created = take_string(root, "created", &wrong);
    manifest->dimension = take_number(root, "dimension", RL_MAX_DIMENSION, &wrong);
    manifest->documents = take_number(root, "documents", INT64_MAX, &wrong);
    manifest->passages = take_number(root, "passages", INT64_MAX, &wrong);
    manifest->fields_more = json_is_true(json_object_get(root, "fields_more"));
    self->loading = json_is_true(json_object_get(root, "loading"));
    self->types = json_incref(json_object_get(root, "fields"));
    self->fields = json_dumps(self->types, JSON_COMPACT);
    self->build = json_dumps(json_object_get(root, "build"), JSON_COMPACT);
    if (!json_is_object(self->types) || !self->fields)
        wrong = "fields";
    if (!self->build)
        wrong = "build";
    if (strlen(manifest->generation) >= STORE_NAME || !*manifest->generation)
        wrong = "generation";
    manifest->fields = self->fields;
    manifest->build = self->build;
    manifest->metric = "ip";
    manifest->normalised = true;
    manifest->factory = "";
    manifest->shards = 1;
    self->passages = manifest->passages;
    return wrong;
}

int engine_catalog_read(engine_catalog_t *self, const char *text, char *why, size_t why_size)
{
    *self = (engine_catalog_t){.root = json_loads(text, 0, NULL)};
    const char *wrong = json_is_object(self->root) ? take_all(self) : "JSON";
    if (!wrong)
        return 0;
    engine_catalog_clear(self);
    return rl_fail(why, why_size,
                   "what ragline-index keeps there about the collection is wrong or missing "
                   "(%s): load it again, or choose another name",
                   wrong);
}

bool engine_catalog_is_multi(const engine_catalog_t *self, const char *field)
{
    size_t at;
    const json_t *name;
    json_array_foreach(json_object_get(self->root, "multi"), at, name)
    {
        if (json_is_string(name) && strcmp(json_string_value(name), field) == 0)
            return true;
    }
    return false;
}

const char *engine_catalog_types(const engine_catalog_t *self, const char *field)
{
    return json_string_value(json_object_get(self->types, field));
}
