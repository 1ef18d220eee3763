// options: the table of every option of every program; conf reads it, the help is made from it.
#ifndef RL_OPTIONS_H
#define RL_OPTIONS_H

#include <stddef.h>

typedef enum rl_option_type {
    RL_STRING,
    RL_INT,    // min..max
    RL_NUMBER, // min..max
    RL_BOOL,   // true false yes no on off 1 0
    RL_CHOICE, // one word of `choices`
    RL_LIST,   // words between commas or white space
    RL_SECRET, // a string that is never shown; SECTION.KEY_file names a file that holds it
    RL_FILE,   // a path that a program which reads the option must be able to read
    RL_FLAG,   // command line only, without a value: --key
    RL_GONE,   // was an option once: taken with a warning, and does nothing
} rl_option_type_t;

typedef struct rl_option {
    const char *name; // "section.key"; "section.*.key" for sections with a name
    rl_option_type_t type;
    const char *value;   // default
    double min, max;     // RL_INT, RL_NUMBER
    const char *choices; // RL_CHOICE: "a b c"
    unsigned users;      // RL_GATEWAY…: programs that read it
    const char *help;    // one line or two
} rl_option_t;

extern const rl_option_t rl_options[];
extern const size_t rl_options_size;

#endif
