// field_types: names and types of the metadata, kept as a JSON object.
#include "field_types.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields_private.h"
#include "mem.h"

struct field_types {
    pthread_mutex_t mutex;
    json_t *types;
    bool more;
    atomic_uint_fast64_t version;
};

field_types_t *field_types_new(const char *json)
{
    field_types_t *self = rl_new(*self);
    pthread_mutex_init(&self->mutex, NULL);
    self->types = rl_must(*json ? json_loads(json, 0, NULL) : json_object());
    return self;
}

void field_types_destroy(field_types_t **self_p)
{
    if (!*self_p)
        return;
    json_decref((*self_p)->types);
    pthread_mutex_destroy(&(*self_p)->mutex);
    free(*self_p);
    *self_p = NULL;
}

static const char *type_of(const json_t *value)
{
    unsigned type = FIELDS_TEXT;
    if (json_is_boolean(value))
        type = RL_FILTER_BOOLEAN;
    else if (json_is_number(value))
        type = RL_FILTER_NUMBER;
    else if (json_string_length(value) <= RL_FILTER_MAX_STRING)
        type = RL_FILTER_STRING;
    return fields_types[type];
}

bool field_types_merge(json_t *types, const char *name, const char *type)
{
    const char *before = json_string_value(json_object_get(types, name));
    char both[128];
    if (before && strstr(before, type)) // no type's name is part of another's
        return false;
    snprintf(both, sizeof both, "%s%s%s", before ? before : "", before ? "|" : "", type);
    json_object_set_new(types, name, json_string(both));
    return true;
}

static int note_field(void *arg, const char *name, const json_t *value)
{
    field_types_t *self = arg;
    if (!*name || strlen(name) > RL_FILTER_MAX_FIELD)
        return 0;
    if (json_object_size(self->types) == FIELDS_MAX && !json_object_get(self->types, name))
        self->more = true;
    else if (field_types_merge(self->types, name, type_of(value)))
        atomic_fetch_add(&self->version, 1);
    return 0;
}

void field_types_note(field_types_t *self, const rl_passage_t *passage)
{
    pthread_mutex_lock(&self->mutex);
    fields_each(passage, note_field, self);
    pthread_mutex_unlock(&self->mutex);
}

uint64_t field_types_version(const field_types_t *self)
{
    return atomic_load(&self->version);
}

char *field_types_text(field_types_t *self, bool *more)
{
    pthread_mutex_lock(&self->mutex);
    char *text = rl_must(json_dumps(self->types, JSON_COMPACT | JSON_SORT_KEYS));
    *more = self->more;
    pthread_mutex_unlock(&self->mutex);
    return text;
}
