// front_matter: libyaml's events become a JSON object, within bounds of depth and size. Aliases are
// refused, for a few of them can stand for any amount of text.

#include "front_matter.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "fail.h"

enum {
    MAX_DEPTH = 16,
    MAX_VALUES = 4096,
    LONGEST_NUMBER = 64
};

typedef struct yaml_reading {
    yaml_parser_t parser;
    char *why;
    size_t why_size;
    size_t values;
    json_t *title; // the value of the key "title", in whatever case
} yaml_reading_t;

// ---- where it is --------------------------------------------------------------------------------

// The size of the line at `text`, with its end.
static size_t line_size(const char *text, const char *end)
{
    const char *newline = memchr(text, '\n', (size_t)(end - text));
    return newline ? (size_t)(newline - text) + 1 : (size_t)(end - text);
}

// Whether the line is this mark and nothing else.
static bool is_mark(const char *line, size_t size, const char *mark)
{
    while (size > 0 && strchr(" \t\n", line[size - 1]))
        size--;
    return size == 3 && memcmp(line, mark, 3) == 0;
}

size_t front_matter_find(const char *text, size_t size, const char **yaml_p, size_t *yaml_size_p)
{
    const char *end = text + (size < DOC_MAX_META ? size : DOC_MAX_META);
    size_t first = line_size(text, end);
    const char *yaml = text + first;
    if (!is_mark(text, first, "---") || strspn(yaml, " \t") == strcspn(yaml, "\n"))
        return 0;
    for (const char *at = yaml; at < end;) {
        size_t line = line_size(at, end);
        if (is_mark(at, line, "---") || is_mark(at, line, "...")) {
            *yaml_p = yaml;
            *yaml_size_p = (size_t)(at - yaml);
            return (size_t)(at + line - text);
        }
        at += line;
    }
    return 0;
}

// ---- scalars ------------------------------------------------------------------------------------

static bool is_word_of(const char *text, const char *lower, const char *first, const char *upper)
{
    return strcmp(text, lower) == 0 || strcmp(text, first) == 0 || strcmp(text, upper) == 0;
}

// A whole number: decimal with a sign, 0o octal, 0x hexadecimal. False if it is none, or none of 64
// bits.
static bool read_integer(const char *text, long long *value_p)
{
    int base = 10;
    const char *digits = text + strspn(text, "+-");
    if (digits - text > 1)
        return false;
    if (digits == text && text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        base = text[1] == 'o' ? 8 : 16;
        text = digits = text + 2;
    }
    char *end;
    errno = 0;
    *value_p = strtoll(text, &end, base);
    return isxdigit((unsigned char)*digits) && end > digits && !*end && errno == 0;
}

// A number with a point or an exponent, in decimal.
static bool read_real(const char *text, double *value_p)
{
    size_t size = strlen(text);
    if (size > LONGEST_NUMBER || strspn(text, "+-.0123456789eE") != size ||
        !strpbrk(text, "0123456789") || !strpbrk(text, ".eE"))
        return false;
    char *end;
    *value_p = strtod(text, &end);
    return !*end && *value_p - *value_p == 0; // infinite is no number of JSON
}

static json_t *scalar_of(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    long long integer;
    double real;
    if (!event->data.scalar.plain_implicit || strlen(text) != size) {
        // the line end that closes a block is no part of what a filter asks for
        while (size > 0 && event->data.scalar.style >= YAML_LITERAL_SCALAR_STYLE &&
               text[size - 1] == '\n')
            size--;
        return json_stringn(text, size);
    }
    if (size == 0 || strcmp(text, "~") == 0 || is_word_of(text, "null", "Null", "NULL"))
        return json_null();
    if (is_word_of(text, "true", "True", "TRUE"))
        return json_true();
    if (is_word_of(text, "false", "False", "FALSE"))
        return json_false();
    if (read_integer(text, &integer))
        return json_integer(integer);
    if (read_real(text, &real))
        return json_real(real);
    return json_stringn(text, size);
}

// ---- values -------------------------------------------------------------------------------------

static json_t *refuse(yaml_reading_t *self, const yaml_event_t *event, const char *what)
{
    // the marks count from 0, and the file has the line --- before
    rl_fail(self->why, self->why_size, "line %zu: front matter: %s", event->start_mark.line + 2,
            what);
    return NULL;
}

static bool next_event(yaml_reading_t *self, yaml_event_t *event)
{
    const yaml_parser_t *parser = &self->parser;
    if (yaml_parser_parse(&self->parser, event))
        return true;
    size_t line = parser->problem_mark.line > parser->context_mark.line ? parser->problem_mark.line
                                                                        : parser->context_mark.line;
    rl_fail(self->why, self->why_size, "line %zu: front matter: %s", line + 2,
            parser->problem ? parser->problem : "no YAML");
    return false;
}

static json_t *value_of(yaml_reading_t *self, const yaml_event_t *event, int depth);

static json_t *read_list(yaml_reading_t *self, int depth)
{
    json_t *list = json_array();
    yaml_event_t event;
    while (next_event(self, &event)) {
        bool ends = event.type == YAML_SEQUENCE_END_EVENT;
        json_t *value = ends ? NULL : value_of(self, &event, depth + 1);
        yaml_event_delete(&event);
        if (ends)
            return list;
        if (!value)
            break;
        json_array_append_new(list, value);
    }
    json_decref(list);
    return NULL;
}

// One member: `key` has been read. Returns false if it is refused.
static bool read_member(yaml_reading_t *self, json_t *object, const yaml_event_t *key, int depth)
{
    yaml_event_t event;
    if (key->type != YAML_SCALAR_EVENT)
        return refuse(self, key, "a key that is no text");
    if (!next_event(self, &event))
        return false;
    const char *name = (const char *)key->data.scalar.value;
    json_t *value = value_of(self, &event, depth + 1);
    if (value && depth == 0 && strcasecmp(name, "title") == 0 && event.type == YAML_SCALAR_EVENT) {
        json_decref(self->title);
        self->title = json_string((const char *)event.data.scalar.value);
        json_decref(value);
    } else if (value && json_object_set_new(object, name, value) != 0) {
        value = refuse(self, key, "a key that is no text");
    }
    yaml_event_delete(&event);
    return value;
}

static json_t *read_mapping(yaml_reading_t *self, int depth)
{
    json_t *object = json_object();
    yaml_event_t key;
    while (next_event(self, &key)) {
        bool ends = key.type == YAML_MAPPING_END_EVENT;
        bool good = ends || read_member(self, object, &key, depth);
        yaml_event_delete(&key);
        if (ends)
            return object;
        if (!good)
            break;
    }
    json_decref(object);
    return NULL;
}

// The value that begins with this event; NULL with `why` if it is refused.
static json_t *value_of(yaml_reading_t *self, const yaml_event_t *event, int depth)
{
    if (depth > MAX_DEPTH)
        return refuse(self, event, "nested too deep");
    if (++self->values > MAX_VALUES)
        return refuse(self, event, "too many values");
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return scalar_of(event);
    case YAML_SEQUENCE_START_EVENT:
        return read_list(self, depth);
    case YAML_MAPPING_START_EVENT:
        return read_mapping(self, depth);
    case YAML_ALIAS_EVENT:
        return refuse(self, event, "aliases (*name) are not read");
    default:
        return refuse(self, event, "no fields");
    }
}

// ---- the document -------------------------------------------------------------------------------

// The first document's mapping; an empty object where there is nothing but comments.
static json_t *read_root(yaml_reading_t *self)
{
    json_t *root = NULL;
    yaml_event_t event;
    bool more = true;
    while (more && next_event(self, &event)) {
        more = event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT;
        if (event.type == YAML_STREAM_END_EVENT)
            root = json_object();
        else if (event.type == YAML_MAPPING_START_EVENT)
            root = read_mapping(self, 0);
        else if (!more)
            refuse(self, &event, "no fields (name: value)");
        yaml_event_delete(&event);
    }
    return root;
}

// Whether nothing stands behind the mapping.
static bool read_end(yaml_reading_t *self)
{
    yaml_event_t event;
    for (bool more = true; more;) {
        if (!next_event(self, &event))
            return false;
        more = event.type == YAML_DOCUMENT_END_EVENT;
        bool ends = event.type == YAML_STREAM_END_EVENT || event.type == YAML_NO_EVENT;
        if (!more && !ends)
            refuse(self, &event, "a second document");
        yaml_event_delete(&event);
        if (ends)
            return true;
    }
    return false;
}

static int take_fields(yaml_reading_t *self, const json_t *root, document_t *doc)
{
    char *meta = json_object_size(root) > 0 ? json_dumps(root, JSON_COMPACT) : NULL;
    if (meta && strlen(meta) > DOC_MAX_META) {
        free(meta);
        return rl_fail(self->why, self->why_size, "front matter of more than %d KiB",
                       DOC_MAX_META >> 10);
    }
    if (meta) {
        free(doc->meta);
        doc->meta = meta;
    }
    if (self->title)
        document_set(&doc->title, json_string_value(self->title), json_string_length(self->title),
                     DOC_MAX_TITLE);
    return 0;
}

int front_matter_read(const char *yaml, size_t size, document_t *doc, char *why, size_t why_size)
{
    yaml_reading_t self = {.why = why, .why_size = why_size};
    if (!yaml_parser_initialize(&self.parser))
        return rl_fail(why, why_size, "out of memory");
    yaml_parser_set_encoding(&self.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&self.parser, (const unsigned char *)yaml, size);
    json_t *root = read_root(&self);
    int rc = root && read_end(&self) ? take_fields(&self, root, doc) : -1;
    json_decref(root);
    json_decref(self.title);
    yaml_parser_delete(&self.parser);
    return rc;
}
