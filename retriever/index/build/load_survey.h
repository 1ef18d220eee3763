// load_survey: what all passages of a load have in common, gathered from one after the other.
#ifndef LOAD_SURVEY_H
#define LOAD_SURVEY_H

#include <jansson.h>
#include <stdbool.h>

#include "spool.h"

typedef struct load_survey load_survey_t;

// `settings` (how passages were made) counts for the digest.
load_survey_t *load_survey_new(const char *settings);
void load_survey_destroy(load_survey_t **self_p);

void load_survey_add(load_survey_t *self, const spooled_t *item);

// {"year": "number", "tags": "string"}, and a list of the names of those with lists of values; the
// survey's own. At most `ENGINE_MAX_FIELDS`: *more when there were others.
json_t *load_survey_types(const load_survey_t *self);
json_t *load_survey_multi(const load_survey_t *self);
bool load_survey_more(const load_survey_t *self);

// 16 hexadecimal digits and NUL; nothing can be added any more.
void load_survey_digest(load_survey_t *self, char digest[17]);

#endif
