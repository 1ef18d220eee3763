// load_survey: what all passages of a load have in common.
#include "load_survey.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "fields.h"
#include "filter.h"

struct survey {
    EVP_MD_CTX *md;
    json_t *types;
    json_t *multi; // as an object, so that each is there once
    json_t *seen;  // fields of the passage at work
    json_t *list;  // of multi, once it was asked for
    bool more;
};

survey_t *survey_new(const char *settings)
{
    survey_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->md = EVP_MD_CTX_new();
    self->types = json_object();
    self->multi = json_object();
    self->list = json_array();
    if (!self->md || !self->types || !self->multi || !self->list ||
        EVP_DigestInit_ex(self->md, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(self->md, settings, strlen(settings) + 1) != 1)
        survey_destroy(&self);
    return self;
}

void survey_destroy(survey_t **self_p)
{
    survey_t *self = *self_p;
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
static int note_type(survey_t *self, const char *name, const char *type)
{
    const char *before = json_string_value(json_object_get(self->types, name));
    char both[64];
    if (!before && json_object_size(self->types) >= ENGINE_MAX_FIELDS) {
        self->more = true;
        return 0;
    }
    if (before && strstr(before, type))
        return 0;
    snprintf(both, sizeof both, "%s%s%s", before ? before : "", before ? "|" : "", type);
    return json_object_set_new(self->types, name, json_string(both));
}

static int note(void *arg, const char *name, const json_t *value)
{
    survey_t *self = arg;
    size_t size = strlen(name), length = json_string_length(value);
    if (size == 0 || size > RL_FILTER_MAX_FIELD)
        return 0;
    const char *type =
        json_is_boolean(value)                                                         ? "boolean"
        : json_is_number(value)                                                        ? "number"
        : length <= RL_FILTER_MAX_STRING && strlen(json_string_value(value)) == length ? "string"
                                                                                       : "text";
    int rc = 0;
    if (json_object_get(self->seen, name))
        rc = json_object_set_new(self->multi, name, json_null());
    else
        rc = json_object_set_new(self->seen, name, json_null());
    return rc == 0 ? note_type(self, name, type) : rc;
}

static int digest_string(survey_t *self, const char *text)
{
    text = text ? text : "";
    return EVP_DigestUpdate(self->md, text, strlen(text) + 1) == 1 ? 0 : -1;
}

int survey_add(survey_t *self, const spooled_t *item)
{
    const rl_passage_t *passage = &item->passage;
    const char *const texts[] = {passage->doc,    passage->title, passage->heading,
                                 passage->source, passage->text,  passage->meta};
    uint64_t place[2] = {passage->start, passage->end};
    for (size_t at = 0; at < sizeof texts / sizeof *texts; at++)
        if (digest_string(self, texts[at]) != 0)
            return -1;
    if (EVP_DigestUpdate(self->md, place, sizeof place) != 1 ||
        EVP_DigestUpdate(self->md, item->key.bytes, sizeof item->key.bytes) != 1 ||
        (item->vector &&
         EVP_DigestUpdate(self->md, item->vector, item->vector_size * sizeof *item->vector) != 1))
        return -1;
    json_decref(self->seen);
    self->seen = json_object();
    return self->seen ? fields_each(passage, note, self) : -1;
}

json_t *survey_types(const survey_t *self)
{
    return self->types;
}

json_t *survey_multi(const survey_t *self)
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

bool survey_more(const survey_t *self)
{
    return self->more;
}

void survey_digest(survey_t *self, char digest[17])
{
    unsigned char bytes[EVP_MAX_MD_SIZE] = {0};
    if (EVP_DigestFinal_ex(self->md, bytes, NULL) != 1)
        abort(); // memory ran out
    for (int at = 0; at < 8; at++)
        sprintf(digest + 2 * at, "%02x", bytes[at]);
}
