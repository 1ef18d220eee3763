// conf: asking the options that conf_read has read.
#include "conf_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "conf_value.h"

bool rl_conf_has_flag(const rl_conf_t *self, const char *flag)
{
    for (size_t at = 0; at < self->flags_size; at++)
        if (strcmp(self->flags[at], flag) == 0)
            return true;
    return false;
}

static const rl_conf_entry_t *find_value(const rl_conf_t *self, const char *name)
{
    for (size_t at = 0; at < rl_options_size; at++)
        if (strcmp(rl_options[at].name, name) == 0)
            return &self->values[at];
    fprintf(stderr, "no option %s in the table\n", name);
    abort();
}

const char *rl_conf_str(const rl_conf_t *self, const char *name)
{
    return find_value(self, name)->text;
}

long rl_conf_int(const rl_conf_t *self, const char *name)
{
    return (long)strtod(find_value(self, name)->text, NULL);
}

double rl_conf_num(const rl_conf_t *self, const char *name)
{
    return strtod(find_value(self, name)->text, NULL);
}

bool rl_conf_bool(const rl_conf_t *self, const char *name)
{
    return rl_conf_value_bool(find_value(self, name)->text);
}

size_t rl_conf_list_size(const rl_conf_t *self, const char *name)
{
    return find_value(self, name)->words_size;
}

const char *rl_conf_list_at(const rl_conf_t *self, const char *name, size_t at)
{
    const rl_conf_entry_t *value = find_value(self, name);
    assert(at < value->words_size);
    return value->words[at];
}

bool rl_conf_given(const rl_conf_t *self, const char *name)
{
    return self->given[find_value(self, name)->option - rl_options];
}

const char *rl_conf_secret(const rl_conf_t *self, const char *name)
{
    return rl_conf_str(self, name);
}

// The at-th name of "[section NAME]".
const char *rl_conf_section_at(const rl_conf_t *self, const char *section, size_t at)
{
    size_t size = strlen(section);
    for (size_t each = 0; each < self->names_size; each++)
        if (strncmp(self->names[each], section, size) == 0 && self->names[each][size] == ' ' &&
            at-- == 0)
            return self->names[each] + size + 1;
    return NULL;
}

size_t rl_conf_sections(const rl_conf_t *self, const char *section)
{
    size_t count = 0;
    while (rl_conf_section_at(self, section, count))
        count++;
    return count;
}

static const rl_conf_entry_t *find_in(const rl_conf_t *self, const char *section, const char *name,
                                      const char *key)
{
    for (size_t at = rl_options_size; at < self->values_size; at++)
        if (rl_conf_is_called(self->values[at].option, section, true, key) &&
            strcmp(self->values[at].section_name, name) == 0)
            return &self->values[at];
    return NULL;
}

const char *rl_conf_in(const rl_conf_t *self, const char *section, const char *name,
                       const char *key)
{
    const rl_conf_entry_t *value = find_in(self, section, name, key);
    char option[RL_CONF_NAME_MAX];
    snprintf(option, sizeof option, "%s.*.%s", section, key);
    return value ? value->text : find_value(self, option)->option->value;
}

bool rl_conf_given_in(const rl_conf_t *self, const char *section, const char *name, const char *key)
{
    const rl_conf_entry_t *value = find_in(self, section, name, key);
    bool number = value && (value->option->type == RL_INT || value->option->type == RL_NUMBER);
    return value && (!number || *value->text); // an empty text is a value, a missing number is none
}

size_t rl_conf_args(const rl_conf_t *self)
{
    return self->args_size;
}

const char *rl_conf_arg(const rl_conf_t *self, size_t at)
{
    assert(at < self->args_size);
    return self->args[at];
}
