// conf_value: checking one value against its row of the table; private to conf.
#ifndef RL_CONF_VALUE_H
#define RL_CONF_VALUE_H

#include <stdbool.h>

#include "options.h"

// Whether `value` fits the option; if not, `why` gets what it may be. Files are looked for only
// where `program` reads the option: all programs share one configuration, and not every file of it
// is where each of them runs.
bool rl_conf_value_fits(const rl_option_t *option, unsigned program, const char *value, char *why,
                        size_t why_size);

bool rl_conf_value_bool(const char *value);

#endif
