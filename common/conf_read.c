// conf_read: the options of a program from file, environment and command line.
#include "conf_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf_value.h"

static void complain(rl_conf_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Every mistake is printed, not only the first.
static void complain(rl_conf_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    self->failed = true;
}

static void *grow(void *items, size_t size, size_t stride)
{
    void *more = realloc(items, (size + 1) * stride);
    if (!more)
        abort();
    return more;
}

static char *copy(const char *text)
{
    char *made = strdup(text);
    if (!made)
        abort();
    return made;
}

// ------------------------------------------------------------------------------------------ values

static bool is_named(const rl_option_t *option)
{
    return strstr(option->name, ".*.") != NULL;
}

// Whether the option is "section.key" ("section.*.key" with a section name).
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
        value->words = grow(value->words, value->words_size, sizeof *value->words);
        value->words[value->words_size] = strndup(p, size);
        if (!value->words[value->words_size++])
            abort();
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
    self->values = grow(self->values, self->values_size, sizeof *self->values);
    rl_conf_entry_t *value = &self->values[self->values_size++];
    *value = (rl_conf_entry_t){.option = option, .section_name = copy(section_name)};
    return value;
}

// Sets a value after checking it; `where` is "file:line", "environment…" for the complaint.
static void set(rl_conf_t *self, const rl_option_t *option, const char *section_name,
                const char *text, const char *where)
{
    char why[256];
    if (option->type == RL_GONE) {
        fprintf(stderr, "%s: %s is taken no longer: %s\n", where, option->name, option->help);
        return;
    }
    if (!rl_conf_value_fits(option, text, why, sizeof why)) {
        complain(self, "%s: %s = %s is not right: %s", where, option->name,
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
    value->text = copy(text);
    if (option->type == RL_LIST)
        split_list(value);
}

static void set_secret_file(rl_conf_t *self, const rl_option_t *option, const char *section_name,
                            const char *path, const char *where)
{
    char line[4096];
    errno = 0;
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) {
        complain(self, "%s: %s_file: cannot read %s: %s", where, option->name, path,
                 errno ? strerror(errno) : "it is empty");
        if (file)
            fclose(file);
        return;
    }
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    set(self, option, section_name, line, where);
}

// ------------------------------------------------------------------------------------------ names

// How far two words are apart (Levenshtein), for "did you mean".
static size_t distance(const char *a, const char *b)
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

static const char *nearest(const char *name, bool named)
{
    const char *best = NULL;
    size_t best_distance = strlen(name) / 2 < 8 ? strlen(name) / 2 : 8;
    for (size_t at = 0; at < rl_options_size; at++) {
        if (is_named(&rl_options[at]) != named || rl_options[at].type == RL_FLAG ||
            rl_options[at].type == RL_GONE)
            continue;
        size_t apart = distance(name, rl_options[at].name);
        if (apart < best_distance) {
            best_distance = apart;
            best = rl_options[at].name;
        }
    }
    return best;
}

static void complain_unknown(rl_conf_t *self, const char *where, const char *name, bool named)
{
    const char *meant = nearest(name, named);
    complain(self, "%s: there is no option %s%s%s%s", where, name, meant ? "; did you mean " : "",
             meant ? meant : "", meant ? "?" : " (--help lists them)");
}

// "section.key" or, for a secret, "section.key_file".
static void set_by_name(rl_conf_t *self, const char *section, const char *section_name,
                        const char *key, const char *text, const char *where)
{
    for (size_t at = 0; at < rl_options_size; at++) {
        const rl_option_t *option = &rl_options[at];
        if (option->type == RL_FLAG)
            continue;
        if (rl_conf_is_called(option, section, section_name != NULL, key)) {
            set(self, option, section_name, text, where);
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
    complain_unknown(self, where, name, section_name != NULL);
}

// ------------------------------------------------------------------------------------------ file

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        text[--size] = '\0';
    return text;
}

static void add_section_name(rl_conf_t *self, const char *section, const char *name)
{
    char both[RL_CONF_NAME_MAX * 2];
    snprintf(both, sizeof both, "%s %s", section, name);
    for (size_t at = 0; at < self->names_size; at++)
        if (strcmp(self->names[at], both) == 0)
            return;
    self->names = grow(self->names, self->names_size, sizeof *self->names);
    self->names[self->names_size++] = copy(both);
}

static bool known_section(const char *section, bool named)
{
    size_t size = strlen(section);
    for (size_t at = 0; at < rl_options_size; at++)
        if (is_named(&rl_options[at]) == named &&
            strncmp(rl_options[at].name, section, size) == 0 && rl_options[at].name[size] == '.')
            return true;
    return false;
}

// The sections there are, for a complaint: "log cluster … collection NAME …".
static void list_sections(rl_buf_t *out)
{
    for (size_t at = 0; at < rl_options_size; at++) {
        const char *name = rl_options[at].name;
        size_t size = strcspn(name, ".");
        bool seen = rl_options[at].type == RL_FLAG;
        for (size_t before = 0; before < at && !seen; before++)
            seen = strncmp(rl_options[before].name, name, size + 1) == 0;
        if (!seen)
            rl_buf_addf(out, "%s%.*s%s", out->size ? ", " : "", (int)size, name,
                        is_named(&rl_options[at]) ? " NAME" : "");
    }
}

static void complain_section(rl_conf_t *self, const char *where, const char *name, bool named)
{
    rl_buf_t all = rl_buf_make(4096);
    list_sections(&all);
    complain(self, "%s: there is no section [%s%s]; there are: %s", where, name,
             named ? " NAME" : "", all.data);
    rl_buf_free(&all);
}

// "[section]" or "[section NAME]"; the line is cut up in place. Returns false if it is neither.
static bool read_section(rl_conf_t *self, char *line, const char *where, char **section,
                         char **section_name)
{
    char *end = strchr(line, ']');
    if (!end || end[1]) {
        complain(self, "%s: a section should look like [gateway]", where);
        return false;
    }
    *end = '\0';
    char *name = trim(line + 1);
    char *second = name + strcspn(name, " \t");
    if (*second)
        *second++ = '\0';
    second = trim(second);
    free(*section);
    free(*section_name);
    *section = copy(name);
    *section_name = *second ? copy(second) : NULL;
    if (!known_section(name, *section_name != NULL)) {
        complain_section(self, where, name, *section_name != NULL);
        return false;
    }
    if (*section_name)
        add_section_name(self, name, *section_name);
    return true;
}

// A value may stand in quotes, which keep spaces at its ends; otherwise a " #" starts a comment.
static char *read_value(char *text)
{
    text = trim(text);
    size_t size = strlen(text);
    if (size >= 2 && text[0] == '"' && text[size - 1] == '"') {
        text[size - 1] = '\0';
        return text + 1;
    }
    for (char *p = text; *p; p++)
        if ((*p == '#' || *p == ';') && p > text && isspace((unsigned char)p[-1]))
            *p = '\0';
    return trim(text);
}

static void read_file(rl_conf_t *self, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        complain(self, "%s: cannot read the configuration file: %s", path, strerror(errno));
        return;
    }
    char *line = malloc(RL_CONF_LINE_MAX), *section = NULL, *section_name = NULL;
    char where[RL_CONF_NAME_MAX * 3];
    bool skip = true; // until a section that holds
    for (unsigned number = 1; line && fgets(line, RL_CONF_LINE_MAX, file); number++) {
        snprintf(where, sizeof where, "%s:%u", path, number);
        char *text = trim(line);
        if (!*text || *text == '#' || *text == ';')
            continue;
        if (*text == '[') {
            skip = !read_section(self, text, where, &section, &section_name);
            continue;
        }
        char *equals = strchr(text, '=');
        if (!equals || !section) {
            complain(self, "%s: a line should be \"key = value\" below a [section]", where);
            continue;
        }
        *equals = '\0';
        if (!skip)
            set_by_name(self, section, section_name, trim(text), read_value(equals + 1), where);
    }
    free(section);
    free(section_name);
    free(line);
    fclose(file);
}

// ---------------------------------------------------------------------- environment, command line

extern char **environ; // POSIX; <unistd.h> has it for _GNU_SOURCE only

static bool is_in_environment(const rl_option_t *option)
{
    return !is_named(option) && option->type != RL_FLAG;
}

static void environment_name(const rl_option_t *option, char name[RL_CONF_NAME_MAX])
{
    snprintf(name, RL_CONF_NAME_MAX, "RAGLINE_%s", option->name);
    for (char *p = name; *p; p++)
        *p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
}

// A variable that is nearly an option's is a mistake; others may be anybody's (a cluster manager
// makes some for every service that it runs).
static void check_variable(rl_conf_t *self, const char *variable)
{
    char given[RL_CONF_NAME_MAX], name[RL_CONF_NAME_MAX], meant[RL_CONF_NAME_MAX] = "";
    size_t best = 3;
    snprintf(given, sizeof given, "%.*s", (int)strcspn(variable, "="), variable);
    for (size_t at = 0; at < rl_options_size; at++) {
        if (!is_in_environment(&rl_options[at]))
            continue;
        environment_name(&rl_options[at], name);
        size_t size = strlen(name), apart = distance(given, name);
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
        complain(self, "environment variable %s: there is no option of this name; did you mean %s?",
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
            set(self, option, NULL, text, where);
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
        self->flags = grow(self->flags, self->flags_size, sizeof *self->flags);
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
        complain(self, "%s: a value must follow", where);
        return 1;
    }
    if (config) {
        free(self->file);
        self->file = copy(value);
    } else if (!dash) {
        complain_unknown(self, where, word, false);
    } else {
        *dash = '\0';
        for (char *p = dash + 1; *p; p++)
            *p = *p == '-' ? '_' : *p;
        set_by_name(self, word, NULL, dash + 1, value, where);
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
            self->flags = grow(self->flags, self->flags_size, sizeof *self->flags);
            self->flags[self->flags_size++] = word[1] == 'h' ? "help" : "version";
            at++;
        } else {
            self->args = grow(self->args, self->args_size, sizeof *self->args);
            self->args[self->args_size++] = copy(word);
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
        self->file = copy(named);
}

static rl_conf_t *read_all(unsigned program, int argc, char **argv)
{
    rl_conf_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    *self = (rl_conf_t){.program = program, .argc = argc, .argv = argv};
    self->values = calloc(rl_options_size, sizeof *self->values);
    self->given = calloc(rl_options_size, sizeof *self->given);
    if (!self->values || !self->given)
        abort();
    self->values_size = rl_options_size;
    for (size_t at = 0; at < rl_options_size; at++) {
        rl_conf_entry_t *value = &self->values[at];
        *value = (rl_conf_entry_t){.option = &rl_options[at], .text = copy(rl_options[at].value)};
        if (rl_options[at].type == RL_LIST)
            split_list(value);
    }
    find_file(self);
    if (self->file)
        read_file(self, self->file);
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
