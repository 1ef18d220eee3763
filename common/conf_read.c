// conf_read: the options of a program from file, environment and command line.
#include "conf_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf_value.h"
#include "mem.h"

void rl_conf_error(rl_conf_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    self->failed = true;
}

// ------------------------------------------------------------------------------------------ values

bool rl_conf_is_named(const rl_option_t *option)
{
    return strstr(option->name, ".*.") != NULL;
}

bool rl_conf_is_called(const rl_option_t *option, const char *section, bool named, const char *key)
{
    char name[RL_CONF_NAME_MAX];
    snprintf(name, sizeof name, named ? "%s.*.%s" : "%s.%s", section, key);
    return strcmp(option->name, name) == 0;
}

static void split_list(rl_conf_entry_t *value)
{
    for (size_t at = 0; at < value->words_size; at++)
        free(value->words[at]);
    value->words_size = 0;
    const char *separators = ", \t\r\n";
    for (const char *p = value->text + strspn(value->text, separators); *p;) {
        size_t size = strcspn(p, separators);
        value->words = rl_realloc(value->words, value->words_size + 1, sizeof *value->words);
        value->words[value->words_size++] = rl_strndup(p, size);
        p += size;
        p += strspn(p, separators);
    }
}

static rl_conf_entry_t *named_value(rl_conf_t *self, const rl_option_t *option,
                                    const char *section_name)
{
    for (size_t at = rl_options_size; at < self->values_size; at++)
        if (self->values[at].option == option &&
            strcmp(self->values[at].section_name, section_name) == 0)
            return &self->values[at];
    self->values = rl_realloc(self->values, self->values_size + 1, sizeof *self->values);
    rl_conf_entry_t *value = &self->values[self->values_size++];
    *value = (rl_conf_entry_t){.option = option, .section_name = rl_strdup(section_name)};
    return value;
}

// Sets a value after checking it; `where` is "file:line", "environment…", for errors.
static void set_value(rl_conf_t *self, const rl_option_t *option, const char *section_name,
                      const char *text, const char *where)
{
    char why[256];
    if (option->type == RL_GONE) {
        fprintf(stderr, "%s: %s is taken no longer: %s\n", where, option->name, option->help);
        return;
    }
    if (!rl_conf_value_fits(option, self->program, text, why, sizeof why)) {
        rl_conf_error(self, "%s: %s = %s is not right: %s", where, option->name,
                      option->type == RL_SECRET ? "(hidden)" : text, why);
        return;
    }
    rl_conf_entry_t *value;
    if (section_name) {
        value = named_value(self, option, section_name);
    } else {
        value = &self->values[option - rl_options];
        self->given[option - rl_options] = true;
    }
    free(value->text);
    value->text = rl_strdup(text);
    if (option->type == RL_LIST)
        split_list(value);
}

// Another program's secret is not read: its file may not be here, or not be for this program.
static void set_secret_file(rl_conf_t *self, const rl_option_t *option, const char *section_name,
                            const char *path, const char *where)
{
    char line[4096];
    if (!(option->users & self->program))
        return;
    errno = 0;
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) {
        rl_conf_error(self, "%s: %s_file: cannot read %s: %s", where, option->name, path,
                      errno ? strerror(errno) : "it is empty");
        if (file)
            fclose(file);
        return;
    }
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    set_value(self, option, section_name, line, where);
}

// ------------------------------------------------------------------------------------------ names

// How far two words are apart (Levenshtein), for "did you mean".
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[RL_CONF_NAME_MAX], width = strlen(b);
    if (width >= RL_CONF_NAME_MAX)
        return RL_CONF_NAME_MAX;
    for (size_t x = 0; x <= width; x++)
        row[x] = x;
    for (size_t y = 1; *a; a++, y++) {
        size_t diagonal = row[0];
        row[0] = y;
        for (size_t x = 1; x <= width; x++) {
            size_t change = diagonal + (*a != b[x - 1]);
            diagonal = row[x];
            size_t insert = row[x - 1] + 1, drop = row[x] + 1;
            row[x] = change < insert ? change : insert;
            row[x] = row[x] < drop ? row[x] : drop;
        }
    }
    return row[width];
}

static const char *nearest_option(const char *name, bool named)
{
    const char *best = NULL;
    size_t best_distance = strlen(name) / 2 < 8 ? strlen(name) / 2 : 8;
    for (size_t at = 0; at < rl_options_size; at++) {
        if (rl_conf_is_named(&rl_options[at]) != named || rl_options[at].type == RL_FLAG ||
            rl_options[at].type == RL_GONE)
            continue;
        size_t apart = edit_distance(name, rl_options[at].name);
        if (apart < best_distance) {
            best_distance = apart;
            best = rl_options[at].name;
        }
    }
    return best;
}

static void error_unknown(rl_conf_t *self, const char *where, const char *name, bool named)
{
    const char *meant = nearest_option(name, named);
    rl_conf_error(self, "%s: there is no option %s%s%s%s", where, name,
                  meant ? "; did you mean " : "", meant ? meant : "",
                  meant ? "?" : " (--help lists them)");
}

void rl_conf_set(rl_conf_t *self, const char *section, const char *section_name, const char *key,
                 const char *text, const char *where)
{
    for (size_t at = 0; at < rl_options_size; at++) {
        const rl_option_t *option = &rl_options[at];
        if (option->type == RL_FLAG)
            continue;
        if (rl_conf_is_called(option, section, section_name != NULL, key)) {
            set_value(self, option, section_name, text, where);
            return;
        }
        char stem[RL_CONF_NAME_MAX];
        size_t size = strlen(key);
        if (option->type == RL_SECRET && size > 5 && size < sizeof stem &&
            strcmp(key + size - 5, "_file") == 0) {
            snprintf(stem, sizeof stem, "%.*s", (int)(size - 5), key);
            if (rl_conf_is_called(option, section, section_name != NULL, stem)) {
                set_secret_file(self, option, section_name, text, where);
                return;
            }
        }
    }
    char name[RL_CONF_NAME_MAX * 2];
    snprintf(name, sizeof name, section_name ? "%s.*.%s" : "%s.%s", section, key);
    error_unknown(self, where, name, section_name != NULL);
}

// ---------------------------------------------------------------------- environment, command line

extern char **environ; // POSIX; <unistd.h> has it for _GNU_SOURCE only

static bool is_in_environment(const rl_option_t *option)
{
    return !rl_conf_is_named(option) && option->type != RL_FLAG;
}

static void environment_name(const rl_option_t *option, char name[RL_CONF_NAME_MAX])
{
    snprintf(name, RL_CONF_NAME_MAX, "RAGLINE_%s", option->name);
    for (char *p = name; *p; p++)
        *p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
}

// A variable that is nearly an option's is a mistake; others may belong to other programs (a
// cluster manager makes some for every service that it runs).
static void check_variable(rl_conf_t *self, const char *variable)
{
    char given[RL_CONF_NAME_MAX], name[RL_CONF_NAME_MAX], meant[RL_CONF_NAME_MAX] = "";
    size_t best = 3;
    snprintf(given, sizeof given, "%.*s", (int)strcspn(variable, "="), variable);
    for (size_t at = 0; at < rl_options_size; at++) {
        if (!is_in_environment(&rl_options[at]))
            continue;
        environment_name(&rl_options[at], name);
        size_t size = strlen(name), apart = edit_distance(given, name);
        bool file = rl_options[at].type == RL_SECRET && strncmp(given, name, size) == 0 &&
                    strcmp(given + size, "_FILE") == 0;
        if (apart == 0 || file)
            return;
        if (apart < best) {
            best = apart;
            memcpy(meant, name, sizeof meant);
        }
    }
    if (*meant)
        rl_conf_error(self,
                      "environment variable %s: there is no option of this name; did you mean %s?",
                      given, meant);
}

static void read_environment(rl_conf_t *self)
{
    for (size_t at = 0; at < rl_options_size; at++) {
        const rl_option_t *option = &rl_options[at];
        if (!is_in_environment(option))
            continue;
        char name[RL_CONF_NAME_MAX], file_name[RL_CONF_NAME_MAX + 8], where[RL_CONF_NAME_MAX + 32];
        environment_name(option, name);
        const char *text = getenv(name);
        snprintf(where, sizeof where, "environment variable %s", name);
        if (text)
            set_value(self, option, NULL, text, where);
        snprintf(file_name, sizeof file_name, "%s_FILE", name);
        text = option->type == RL_SECRET ? getenv(file_name) : NULL;
        if (text)
            set_secret_file(self, option, NULL, text, where);
    }
    for (char **each = environ; *each; each++)
        if (strncmp(*each, "RAGLINE_", 8) == 0)
            check_variable(self, *each);
}

static const char *const common_flags[] = {"help", "version", "check-config", "sample-config"};

static const char *find_flag(const rl_conf_t *self, const char *word)
{
    for (size_t at = 0; at < sizeof common_flags / sizeof *common_flags; at++)
        if (strcmp(common_flags[at], word) == 0)
            return common_flags[at];
    for (size_t at = 0; at < rl_options_size; at++)
        if (rl_options[at].type == RL_FLAG && (rl_options[at].users & self->program) &&
            strcmp(rl_options[at].name, word) == 0)
            return rl_options[at].name;
    return NULL;
}

// "--section-key VALUE" or "--section-key=VALUE": at `at` of argv; returns how many words it took.
static int read_option(rl_conf_t *self, int at)
{
    char word[RL_CONF_NAME_MAX];
    const char *text = self->argv[at] + 2, *equals = strchr(text, '=');
    snprintf(word, sizeof word, "%.*s", equals ? (int)(equals - text) : (int)strlen(text), text);
    const char *flag = equals ? NULL : find_flag(self, word);
    if (flag) {
        self->flags = rl_realloc(self->flags, self->flags_size + 1, sizeof *self->flags);
        self->flags[self->flags_size++] = flag;
        return 1;
    }
    const char *value = equals ? equals + 1 : self->argv[at + 1];
    char where[RL_CONF_NAME_MAX + 16];
    snprintf(where, sizeof where, "option --%s", word);
    if (strcmp(word, "to") == 0 && (self->program & RL_INDEX))
        snprintf(word, sizeof word, "index-to"); // the one option that has a short name
    char *dash = strchr(word, '-');
    bool config = strcmp(word, "config") == 0;
    if (!value && (dash || config)) {
        rl_conf_error(self, "%s: a value must follow", where);
        return 1;
    }
    if (config) {
        free(self->file);
        self->file = rl_strdup(value);
    } else if (!dash) {
        error_unknown(self, where, word, false);
    } else {
        *dash = '\0';
        for (char *p = dash + 1; *p; p++)
            *p = *p == '-' ? '_' : *p;
        rl_conf_set(self, word, NULL, dash + 1, value, where);
    }
    return equals || !value ? 1 : 2;
}

static void read_arguments(rl_conf_t *self)
{
    bool options = true;
    for (int at = 1; at < self->argc;) {
        const char *word = self->argv[at];
        if (options && strcmp(word, "--") == 0) {
            options = false;
            at++;
        } else if (options && strncmp(word, "--", 2) == 0) {
            at += read_option(self, at);
        } else if (options && word[0] == '-' && strchr("hV", word[1]) && word[1] && !word[2]) {
            self->flags = rl_realloc(self->flags, self->flags_size + 1, sizeof *self->flags);
            self->flags[self->flags_size++] = word[1] == 'h' ? "help" : "version";
            at++;
        } else {
            self->args = rl_realloc(self->args, self->args_size + 1, sizeof *self->args);
            self->args[self->args_size++] = rl_strdup(word);
            at++;
        }
    }
}

// The file must be known before the command line's other options can win over it.
static void find_file(rl_conf_t *self)
{
    const char *named = getenv("RAGLINE_CONFIG");
    for (int at = 1; at < self->argc && strcmp(self->argv[at], "--") != 0; at++) {
        if (strncmp(self->argv[at], "--config=", 9) == 0)
            named = self->argv[at] + 9;
        else if (strcmp(self->argv[at], "--config") == 0 && at + 1 < self->argc)
            named = self->argv[at + 1];
    }
    if (named && *named)
        self->file = rl_strdup(named);
}

static rl_conf_t *read_all(unsigned program, int argc, char **argv)
{
    rl_conf_t *self = rl_new(*self);
    *self = (rl_conf_t){.program = program, .argc = argc, .argv = argv};
    self->values = rl_alloc_array(rl_options_size, sizeof *self->values);
    self->given = rl_alloc_array(rl_options_size, sizeof *self->given);
    self->values_size = rl_options_size;
    for (size_t at = 0; at < rl_options_size; at++) {
        rl_conf_entry_t *value = &self->values[at];
        *value =
            (rl_conf_entry_t){.option = &rl_options[at], .text = rl_strdup(rl_options[at].value)};
        if (rl_options[at].type == RL_LIST)
            split_list(value);
    }
    find_file(self);
    if (self->file)
        rl_conf_read_file(self, self->file);
    read_environment(self);
    read_arguments(self);
    if (self->failed)
        rl_conf_destroy(&self);
    return self;
}

rl_conf_t *rl_conf_new(unsigned program, int argc, char **argv)
{
    return read_all(program, argc, argv);
}

rl_conf_t *rl_conf_reread(const rl_conf_t *self)
{
    return read_all(self->program, self->argc, self->argv);
}

void rl_conf_destroy(rl_conf_t **self_p)
{
    rl_conf_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->values_size; at++) {
        rl_conf_entry_t *value = &self->values[at];
        for (size_t word = 0; word < value->words_size; word++)
            free(value->words[word]);
        free(value->words);
        free(value->section_name);
        free(value->text);
    }
    for (size_t at = 0; at < self->names_size; at++)
        free(self->names[at]);
    for (size_t at = 0; at < self->args_size; at++)
        free(self->args[at]);
    free(self->values);
    free(self->given);
    free(self->names);
    free(self->flags);
    free(self->args);
    free(self->file);
    free(self);
    *self_p = NULL;
}
