// load_survey: types of fields, and a digest of all passages.
#include "load_survey.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "fields.h"
#include "filter.h"
#include "mem.h"

struct load_survey {
    EVP_MD_CTX *md;
    json_t *types;
    json_t *multi; // as an object, so that each is there once
    json_t *seen;  // fields of the passage at work
    json_t *list;  // of multi, once it was asked for
    bool more;
};

static void add_bytes(load_survey_t *self, const void *bytes, size_t size)
{
    if (EVP_DigestUpdate(self->md, bytes, size) != 1)
        rl_out_of_memory();
}

load_survey_t *load_survey_new(const char *settings)
{
    load_survey_t *self = rl_new(*self);
    self->md = rl_must(EVP_MD_CTX_new());
    self->types = rl_must(json_object());
    self->multi = rl_must(json_object());
    self->list = rl_must(json_array());
    if (EVP_DigestInit_ex(self->md, EVP_sha256(), NULL) != 1)
        rl_out_of_memory();
    add_bytes(self, settings, strlen(settings) + 1);
    return self;
}

void load_survey_destroy(load_survey_t **self_p)
{
    load_survey_t *self = *self_p;
    if (!self)
        return;
    EVP_MD_CTX_free(self->md);
    json_decref(self->types);
    json_decref(self->multi);
    json_decref(self->seen);
    json_decref(self->list);
    free(self);
    *self_p = NULL;
}

// Adds a type to those of a field: "number|string".
static void add_type(load_survey_t *self, const char *name, const char *type)
{
    const char *before = json_string_value(json_object_get(self->types, name));
    char both[64];
    if (!before && json_object_size(self->types) >= ENGINE_MAX_FIELDS) {
        self->more = true;
        return;
    }
    if (before && strstr(before, type))
        return;
    snprintf(both, sizeof both, "%s%s%s", before ? before : "", before ? "|" : "", type);
    json_object_set_new(self->types, name, json_string(both));
}

static int add_field(void *arg, const char *name, const json_t *value)
{
    load_survey_t *self = arg;
    size_t size = strlen(name), length = json_string_length(value);
    if (size == 0 || size > RL_FILTER_MAX_FIELD)
        return 0;
    const char *type =
        json_is_boolean(value)                                                         ? "boolean"
        : json_is_number(value)                                                        ? "number"
        : length <= RL_FILTER_MAX_STRING && strlen(json_string_value(value)) == length ? "string"
                                                                                       : "text";
    bool again = json_object_get(self->seen, name);
    json_object_set_new(again ? self->multi : self->seen, name, json_null());
    add_type(self, name, type);
    return 0;
}

void load_survey_add(load_survey_t *self, const spooled_t *item)
{
    const rl_passage_t *passage = &item->passage;
    const char *const texts[] = {passage->doc,    passage->title, passage->heading,
                                 passage->source, passage->text,  passage->meta};
    uint64_t place[2] = {passage->start, passage->end};
    for (size_t at = 0; at < sizeof texts / sizeof *texts; at++)
        add_bytes(self, texts[at] ? texts[at] : "", texts[at] ? strlen(texts[at]) + 1 : 1);
    add_bytes(self, place, sizeof place);
    add_bytes(self, item->key.bytes, sizeof item->key.bytes);
    if (item->vector)
        add_bytes(self, item->vector, item->vector_size * sizeof *item->vector);
    json_decref(self->seen);
    self->seen = rl_must(json_object());
    fields_each(passage, add_field, self);
}

json_t *load_survey_types(const load_survey_t *self)
{
    return self->types;
}

json_t *load_survey_multi(const load_survey_t *self)
{
    const char *name;
    json_t *value;
    json_array_clear(self->list);
    json_object_foreach(self->multi, name, value)
    {
        json_array_append_new(self->list, json_string(name));
    }
    return self->list;
}

bool load_survey_more(const load_survey_t *self)
{
    return self->more;
}

void load_survey_digest(load_survey_t *self, char digest[17])
{
    unsigned char bytes[EVP_MAX_MD_SIZE] = {0};
    if (EVP_DigestFinal_ex(self->md, bytes, NULL) != 1)
        rl_out_of_memory();
    for (int at = 0; at < 8; at++)
        sprintf(digest + 2 * at, "%02x", bytes[at]);
}
