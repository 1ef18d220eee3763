// front_matter: libyaml's tree becomes a JSON object, within bounds of depth and of how many values
// and bytes there are, since a few aliases can stand for any number.

#include "front_matter.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "fail.h"
#include "mem.h"

enum {
    MAX_DEPTH = 16,
    MAX_VALUES = 4096,
    MAX_OPEN = 256, // brackets: libyaml looks at all open ones for each of its tokens
    LONGEST_NUMBER = 64
};

typedef struct yaml_reading {
    yaml_document_t tree;
    size_t values, bytes; // of keys and scalars
    char *why;
    size_t why_size;
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

static json_t *scalar_of(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    size_t size = node->data.scalar.length;
    long long integer;
    double real;
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        // the line end that closes a block is no part of what a filter asks for
        while (size > 0 && node->data.scalar.style >= YAML_LITERAL_SCALAR_STYLE &&
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

// Lines count from 0, and the file has one with --- before; always returns NULL.
static json_t *refuse_line(yaml_reading_t *self, size_t line, const char *what)
{
    rl_fail(self->why, self->why_size, "line %zu: front matter: %s", line + 2, what);
    return NULL;
}

static json_t *value_of(yaml_reading_t *self, int at, int depth);

static json_t *list_of(yaml_reading_t *self, const yaml_node_t *node, int depth)
{
    json_t *list = json_array();
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; item < node->data.sequence.items.top; item++) {
        json_t *value = value_of(self, *item, depth + 1);
        if (!value) {
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, value);
    }
    return list;
}

static json_t *object_of(yaml_reading_t *self, const yaml_node_t *node, int depth)
{
    json_t *object = json_object();
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&self->tree, pair->key);
        bool named = key->type == YAML_SCALAR_NODE;
        self->bytes += named ? key->data.scalar.length : 0;
        json_t *value = named ? value_of(self, pair->value, depth + 1)
                              : refuse_line(self, key->start_mark.line, "a key that is no text");
        if (!value || json_object_set_new(object, (char *)key->data.scalar.value, value) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

// The value of a node; NULL with `why` if it is refused.
static json_t *value_of(yaml_reading_t *self, int at, int depth)
{
    const yaml_node_t *node = yaml_document_get_node(&self->tree, at);
    if (depth > MAX_DEPTH)
        return refuse_line(self, node->start_mark.line, "nested too deep");
    if (++self->values > MAX_VALUES)
        return refuse_line(self, node->start_mark.line, "too many values");
    if (node->type == YAML_SEQUENCE_NODE)
        return list_of(self, node, depth);
    if (node->type == YAML_MAPPING_NODE)
        return object_of(self, node, depth);
    self->bytes += node->data.scalar.length;
    if (self->bytes > DOC_MAX_META)
        return refuse_line(self, node->start_mark.line, "too many bytes");
    return scalar_of(node);
}

// ---- the document -------------------------------------------------------------------------------

// The value of the member "title", in whatever case, which is taken out of the fields; NULL: none.
static const yaml_node_t *take_title(yaml_reading_t *self, const yaml_node_t *root, json_t *fields)
{
    const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
    for (; pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *value = yaml_document_get_node(&self->tree, pair->value);
        const char *key = (char *)yaml_document_get_node(&self->tree, pair->key)->data.scalar.value;
        if (strcasecmp(key, "title") == 0 && value->type == YAML_SCALAR_NODE) {
            json_object_del(fields, key);
            return value;
        }
    }
    return NULL;
}

static int take_fields(yaml_reading_t *self, document_t *doc)
{
    const yaml_node_t *root = yaml_document_get_root_node(&self->tree);
    if (!root)
        return 0; // nothing but comments
    if (root->type != YAML_MAPPING_NODE) {
        refuse_line(self, root->start_mark.line, "no fields (name: value)");
        return -1;
    }
    json_t *fields = object_of(self, root, 0);
    if (!fields)
        return -1;
    const yaml_node_t *title = take_title(self, root, fields);
    char *meta = json_object_size(fields) > 0 ? json_dumps(fields, JSON_COMPACT) : strdup("");
    json_decref(fields);
    if (strlen(rl_must(meta)) > DOC_MAX_META) {
        free(meta);
        return rl_fail(self->why, self->why_size, "front matter of more than %d KiB",
                       DOC_MAX_META >> 10);
    }
    free(doc->meta);
    doc->meta = meta;
    if (title)
        document_set(&doc->title, (char *)title->data.scalar.value, title->data.scalar.length,
                     DOC_MAX_TITLE);
    return 0;
}

static int refuse_yaml(yaml_reading_t *self, const yaml_parser_t *parser)
{
    size_t line = parser->problem_mark.line, context = parser->context_mark.line;
    refuse_line(self, line > context ? line : context,
                parser->problem ? parser->problem : "more than one document");
    return -1;
}

// Whether no more brackets are open at once than libyaml reads in good time: 60,000 take it 9 s.
static bool is_bounded(yaml_reading_t *self, const char *yaml, size_t size)
{
    size_t open = 0, line = 0;
    for (size_t at = 0; at < size; at++) {
        line += yaml[at] == '\n';
        open += yaml[at] == '[' || yaml[at] == '{';
        open -= open > 0 && (yaml[at] == ']' || yaml[at] == '}');
        if (open > MAX_OPEN) {
            refuse_line(self, line, "nested too deep");
            return false;
        }
    }
    return true;
}

int front_matter_read(const char *yaml, size_t size, document_t *doc, char *why, size_t why_size)
{
    yaml_reading_t self = {.why = why, .why_size = why_size};
    yaml_parser_t parser;
    yaml_document_t rest;
    if (!is_bounded(&self, yaml, size))
        return -1;
    if (!yaml_parser_initialize(&parser))
        rl_out_of_memory();
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, size);
    int rc = -1;
    if (!yaml_parser_load(&parser, &self.tree)) {
        refuse_yaml(&self, &parser);
    } else {
        bool ends = yaml_parser_load(&parser, &rest) && !yaml_document_get_root_node(&rest);
        rc = ends ? take_fields(&self, doc) : refuse_yaml(&self, &parser);
        yaml_document_delete(&rest);
        yaml_document_delete(&self.tree);
    }
    yaml_parser_delete(&parser);
    return rc;
}
