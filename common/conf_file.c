// conf_file: the configuration file: sections, and "key = value".
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf_private.h"
#include "mem.h"

static char *trim_blanks(char *text)
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
    self->names = rl_realloc(self->names, self->names_size + 1, sizeof *self->names);
    self->names[self->names_size++] = rl_strdup(both);
}

static bool known_section(const char *section, bool named)
{
    size_t size = strlen(section);
    for (size_t at = 0; at < rl_options_size; at++)
        if (rl_conf_is_named(&rl_options[at]) == named &&
            strncmp(rl_options[at].name, section, size) == 0 && rl_options[at].name[size] == '.')
            return true;
    return false;
}

// The sections that exist, for an error message: "log cluster … collection NAME …".
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
                        rl_conf_is_named(&rl_options[at]) ? " NAME" : "");
    }
}

static void error_section(rl_conf_t *self, const char *where, const char *name, bool named)
{
    rl_buf_t all = rl_buf_make(4096);
    list_sections(&all);
    rl_conf_error(self, "%s: there is no section [%s%s]; there are: %s", where, name,
                  named ? " NAME" : "", all.data);
    rl_buf_free(&all);
}

// "[section]" or "[section NAME]"; the line is cut up in place. Returns false if it is neither.
static bool read_section(rl_conf_t *self, char *line, const char *where, char **section,
                         char **section_name)
{
    char *end = strchr(line, ']');
    if (!end || end[1]) {
        rl_conf_error(self, "%s: a section should look like [gateway]", where);
        return false;
    }
    *end = '\0';
    char *name = trim_blanks(line + 1);
    char *second = name + strcspn(name, " \t");
    if (*second)
        *second++ = '\0';
    second = trim_blanks(second);
    free(*section);
    free(*section_name);
    *section = rl_strdup(name);
    *section_name = *second ? rl_strdup(second) : NULL;
    if (!known_section(name, *section_name != NULL)) {
        error_section(self, where, name, *section_name != NULL);
        return false;
    }
    if (*section_name)
        add_section_name(self, name, *section_name);
    return true;
}

// A value may stand in quotes, which keep spaces at its ends; otherwise a " #" starts a comment.
static char *read_value(char *text)
{
    text = trim_blanks(text);
    size_t size = strlen(text);
    if (size >= 2 && text[0] == '"' && text[size - 1] == '"') {
        text[size - 1] = '\0';
        return text + 1;
    }
    for (char *p = text; *p; p++)
        if ((*p == '#' || *p == ';') && p > text && isspace((unsigned char)p[-1]))
            *p = '\0';
    return trim_blanks(text);
}

void rl_conf_read_file(rl_conf_t *self, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        rl_conf_error(self, "%s: cannot read the configuration file: %s", path, strerror(errno));
        return;
    }
    char *line = rl_alloc(RL_CONF_LINE_MAX), *section = NULL, *section_name = NULL;
    char where[RL_CONF_NAME_MAX * 3];
    bool skip = true; // until a section that holds
    for (unsigned number = 1; fgets(line, RL_CONF_LINE_MAX, file); number++) {
        snprintf(where, sizeof where, "%s:%u", path, number);
        char *text = trim_blanks(line);
        if (!*text || *text == '#' || *text == ';')
            continue;
        if (*text == '[') {
            skip = !read_section(self, text, where, &section, &section_name);
            continue;
        }
        char *equals = strchr(text, '=');
        if (!equals || !section) {
            rl_conf_error(self, "%s: a line should be \"key = value\" below a [section]", where);
            continue;
        }
        *equals = '\0';
        if (!skip)
            rl_conf_set(self, section, section_name, trim_blanks(text), read_value(equals + 1),
                        where);
    }
    free(section);
    free(section_name);
    free(line);
    fclose(file);
}
