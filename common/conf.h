// conf: one table of options for all programs; values come from the defaults, the file, the
// environment and the command line, the later ones winning.
//
// An option is called SECTION.KEY everywhere: "[section]" and "key = value" in the file,
// RAGLINE_SECTION_KEY in the environment, --section-key VALUE on the command line.
// A value is checked for its form in every program, its file only in those that read the option.
// Sections with a name, "[collection docs]" or "[model NAME]", exist in the file only.
#ifndef RL_CONF_H
#define RL_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

// Programs that read an option (bits), for --help and for refusing an option in the wrong place.
enum {
    RL_GATEWAY = 1,
    RL_RETRIEVER = 2,
    RL_GENERATOR = 4,
    RL_INDEX = 8,
    RL_ASK = 16,
    RL_TOP = 32,
    RL_PROFILE = 64,
};

typedef struct rl_conf rl_conf_t;

// Reads everything for `program` (one of the bits above): the file named by --config FILE or
// RAGLINE_CONFIG, the environment, argv. Words of argv that are not options are kept as
// positional arguments. On an error prints to stderr what is wrong (file, line, key, what it may
// be) and returns NULL. "--help" and "--version" are left to rl_conf_has_flag.
rl_conf_t *rl_conf_new(unsigned program, int argc, char **argv);
void rl_conf_destroy(rl_conf_t **self_p);

// Reads the sources again for a reload; returns NULL and logs what is wrong if they do not hold.
rl_conf_t *rl_conf_reread(const rl_conf_t *self);

// Whether a bare flag was on the command line: "help", "version", "check-config", or one of a
// program's own flags of the table (type RL_FLAG).
bool rl_conf_has_flag(const rl_conf_t *self, const char *flag);

// Values by full name ("gateway.listen"). A name that is not in the table is a bug and aborts.
// Strings are owned by the conf and never NULL; a list is split at commas and white space.
const char *rl_conf_str(const rl_conf_t *self, const char *name);
long rl_conf_int(const rl_conf_t *self, const char *name);
double rl_conf_num(const rl_conf_t *self, const char *name);
bool rl_conf_bool(const rl_conf_t *self, const char *name);
size_t rl_conf_list_size(const rl_conf_t *self, const char *name);
const char *rl_conf_list_at(const rl_conf_t *self, const char *name, size_t at);

// Whether a value was given anywhere (not only the default).
bool rl_conf_given(const rl_conf_t *self, const char *name);

// Named sections: "[collection docs]": rl_conf_in (conf, "collection", "docs", "k") is that
// section's value, else the option's default for named sections; never NULL.
size_t rl_conf_sections(const rl_conf_t *self, const char *section);
const char *rl_conf_section_at(const rl_conf_t *self, const char *section, size_t at);
const char *rl_conf_in(const rl_conf_t *self, const char *section, const char *name,
                       const char *key);
bool rl_conf_given_in(const rl_conf_t *self, const char *section, const char *name,
                      const char *key);

// Positional arguments.
size_t rl_conf_args(const rl_conf_t *self);
const char *rl_conf_arg(const rl_conf_t *self, size_t at);

// A secret: the value of KEY, or the first line of the file that KEY_file names. Owned by the
// conf; "" if neither is given. Never logged.
const char *rl_conf_secret(const rl_conf_t *self, const char *name);

// Prints the options of a program as its help text; every option of the table appears.
void rl_conf_help(unsigned program, const char *usage, FILE *out);

// Prints a complete sample file, each key commented out with its default.
void rl_conf_sample(FILE *out);

#endif
