// load_survey: what all passages of a load have in common, gathered from one after the other.
#ifndef LOAD_SURVEY_H
#define LOAD_SURVEY_H

#include <jansson.h>
#include <stdbool.h>

#include "spool.h"

typedef struct survey survey_t;

// NULL if memory runs out. `settings` (how passages were made) counts for the digest.
survey_t *survey_new(const char *settings);
void survey_destroy(survey_t **self_p);

// Returns 0, or -1 if memory runs out.
int survey_add(survey_t *self, const spooled_t *item);

// {"year": "number", "tags": "string"}, and a list of the names of those with lists of values; the
// survey's own. At most `ENGINE_MAX_FIELDS`: *more when there were others.
json_t *survey_types(const survey_t *self);
json_t *survey_multi(const survey_t *self);
bool survey_more(const survey_t *self);

// 16 hexadecimal digits and NUL; nothing can be added any more.
void survey_digest(survey_t *self, char digest[17]);

#endif
