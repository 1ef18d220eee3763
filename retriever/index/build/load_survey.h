// load_survey: what all passages of a load have in common, gathered from one after the other.
#ifndef RL_LOAD_SURVEY_H
#define RL_LOAD_SURVEY_H

#include <jansson.h>
#include <stdbool.h>

#include "spool.h"

typedef struct rl_survey rl_survey_t;

// NULL if memory runs out. `settings` (how passages were made) counts for the digest.
rl_survey_t *rl_survey_new(const char *settings);
void rl_survey_destroy(rl_survey_t **self_p);

// Returns 0, or -1 if memory runs out.
int rl_survey_add(rl_survey_t *self, const rl_spooled_t *item);

// {"year": "number", "tags": "string"}, and a list of the names of those with lists of values; the
// survey's own. At most `RL_ENGINE_MAX_FIELDS`: *more when there were others.
json_t *rl_survey_types(const rl_survey_t *self);
json_t *rl_survey_multi(const rl_survey_t *self);
bool rl_survey_more(const rl_survey_t *self);

// 16 hexadecimal digits and NUL; nothing can be added any more.
void rl_survey_digest(rl_survey_t *self, char digest[17]);

#endif
