// conf_value: checking one value against its row of the table.
#include "conf_value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static bool is_one_of(const char *words, const char *value)
{
    size_t size = strlen(value);
    for (const char *word = words; *word;) {
        size_t length = strcspn(word, " ");
        if (length == size && strncasecmp(word, value, size) == 0)
            return true;
        word += length;
        word += strspn(word, " ");
    }
    return false;
}

static bool fits_number(const rl_option_t *option, const char *value, char *why, size_t why_size)
{
    char *end;
    if (!*value && !*option->value)
        return true; // as if it were not given
    errno = 0;
    double number = strtod(value, &end);
    bool whole = option->type == RL_NUMBER || number == floor(number);
    if (*value && !*end && errno == 0 && isfinite(number) && whole && number >= option->min &&
        number <= option->max)
        return true;
    snprintf(why, why_size, "it may be a %s from %.15g to %.15g",
             option->type == RL_INT ? "whole number" : "number", option->min, option->max);
    return false;
}

bool rl_conf_value_fits(const rl_option_t *option, unsigned program, const char *value, char *why,
                        size_t why_size)
{
    switch (option->type) {
    case RL_INT:
    case RL_NUMBER:
        return fits_number(option, value, why, why_size);
    case RL_BOOL:
        if (is_one_of("true false yes no on off 1 0", value))
            return true;
        snprintf(why, why_size, "it may be true or false");
        return false;
    case RL_CHOICE:
        if (is_one_of(option->choices, value))
            return true;
        snprintf(why, why_size, "it may be one of: %s", option->choices);
        return false;
    case RL_FILE:
        if (!*value || !(option->users & program) || access(value, R_OK) == 0)
            return true;
        snprintf(why, why_size, "it must be a file that can be read (%s)", strerror(errno));
        return false;
    case RL_STRING:
    case RL_LIST:
    case RL_SECRET:
    case RL_FLAG:
    case RL_GONE:
        return true;
    }
    return false;
}

bool rl_conf_value_bool(const char *value)
{
    return is_one_of("true yes on 1", value);
}
