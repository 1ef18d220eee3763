// conf_private: what reading the options and asking them share; for conf alone.
#ifndef RL_CONF_PRIVATE_H
#define RL_CONF_PRIVATE_H

#include "conf.h"
#include "options.h"

enum {
    RL_CONF_NAME_MAX = 200,
    RL_CONF_LINE_MAX = 65536
};

typedef struct rl_conf_entry {
    const rl_option_t *option;
    char *section_name; // of "[section NAME]", else NULL
    char *text;
    char **words; // RL_LIST: its parts
    size_t words_size;
} rl_conf_entry_t;

struct rl_conf {
    unsigned program;
    rl_conf_entry_t
        *values; // one a plain option in the table's order, then those of named sections
    size_t values_size;
    bool *given;  // by plain option
    char **names; // "section NAME" of each named section, in order
    size_t names_size;
    const char **flags;
    size_t flags_size;
    char **args;
    size_t args_size;
    char *file;
    int argc;
    char **argv;
    bool failed;
};

// Prints a mistake, with a line end, and notes that there is one: every mistake is printed, not
// only the first.
void rl_conf_error(rl_conf_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Whether it is an option of sections with a name.
bool rl_conf_is_named(const rl_option_t *option);
// Whether the option is "section.key" ("section.*.key" with a section name).
bool rl_conf_is_called(const rl_option_t *option, const char *section, bool named, const char *key);

// Sets "section.key" (`section_name` NULL: of no named section) or, for a secret, reads the file of
// "section.key_file". `where` is "file:line" or the like, for errors.
void rl_conf_set(rl_conf_t *self, const char *section, const char *section_name, const char *key,
                 const char *text, const char *where);

// Takes the values of a configuration file.
void rl_conf_read_file(rl_conf_t *self, const char *path);

#endif
