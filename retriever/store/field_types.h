// field_types: the names and types of a collection's metadata, as a manifest has them, with what
// changes have added: {"year": "number"}, "number|string" where there are several.
#ifndef FIELD_TYPES_H
#define FIELD_TYPES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto.h"

// Notes in such an object that the field has this type. Returns whether that is new.
bool field_types_merge(json_t *types, const char *name, const char *type);

typedef struct field_types field_types_t;

// From a manifest's (an object, or "").
field_types_t *field_types_new(const char *json);
void field_types_destroy(field_types_t **self_p);

// Notes the fields of a passage that is added. Any thread.
void field_types_note(field_types_t *self, const rl_passage_t *passage);

// A number that rises whenever a new field or type was noted; 0 at first.
uint64_t field_types_version(const field_types_t *self);

// All of them as JSON, malloc'd, the caller's. *more: there were too many (FIELDS_MAX), some are
// left out.
char *field_types_text(field_types_t *self, bool *more);

#endif
