// field_types: the names and types of a collection's metadata, as a manifest has them, with what
// changes have added: {"year": "number"}, "number|string" where there are several.
#ifndef RL_FIELD_TYPES_H
#define RL_FIELD_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto.h"

typedef struct rl_field_types rl_field_types_t;

// From a manifest's (an object, or ""). NULL if memory runs out.
rl_field_types_t *rl_field_types_new(const char *json);
void rl_field_types_destroy(rl_field_types_t **self_p);

// Notes the fields of a passage that is added. Any thread.
void rl_field_types_note(rl_field_types_t *self, const rl_passage_t *passage);

// Another number whenever something was noted that was new; 0 if nothing was.
uint64_t rl_field_types_version(const rl_field_types_t *self);

// All of them as JSON, malloc'd, the caller's; NULL if memory runs out. *more: there were too many
// (RL_FIELDS_MAX), some are left out.
char *rl_field_types_text(rl_field_types_t *self, bool *more);

#endif
