// format_jsonl: a document a line: {"id", "title", "text", "vector" or "embedding", "source" or
// "url"}; every other field is metadata.

#include "format.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "mem.h"
#include "utf8.h"

enum {
    MAX_DIMENSION = 1 << 16
};

static bool looks_like_jsonl(const char *head, size_t size)
{
    size_t at = 0;
    while (at < size && strchr(" \t\n", head[at]) && head[at])
        at++;
    return at < size && head[at] == '{' && memmem(head, size, "\"text\"", 6);
}

// A string's bytes without NUL ("\u0000" may stand in JSON): malloc'd, *size_p its length.
static char *string_of(const json_t *value, size_t *size_p)
{
    return rl_utf8_repair(json_string_value(value), json_string_length(value), size_p);
}

// Sets a field from a JSON string. Returns 0, or -1 if memory ran out.
static int set_string(char **field_p, const json_t *value, size_t max)
{
    size_t size;
    char *text = string_of(value, &size);
    if (!text)
        return -1;
    document_set(field_p, text, size, max);
    free(text);
    return *field_p ? 0 : -1;
}

static int read_id(const json_t *root, document_t *doc, char *why, size_t why_size)
{
    const json_t *id = json_object_get(root, "id");
    if (!id)
        id = json_object_get(root, "_id"); // BEIR's form
    if (!id)
        return 0;
    if (json_is_integer(id)) {
        char number[32];
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(id));
        doc->id = rl_strdup(number);
        return 0;
    }
    if (!json_is_string(id) || json_string_length(id) == 0 || json_string_length(id) > DOC_MAX_ID)
        return rl_fail(why, why_size, "\"id\" must be a string of 1 to %d bytes or a whole number",
                       DOC_MAX_ID);
    return set_string(&doc->id, id, 0);
}

static int read_vector(const json_t *root, document_t *doc, char *why, size_t why_size)
{
    const char *name = "vector";
    const json_t *list = json_object_get(root, name);
    if (!list) { // as many programs call it; anything else of that name is metadata
        name = "embedding";
        list = json_object_get(root, name);
        if (!json_is_number(json_array_get(list, 0)))
            return 0;
    }
    size_t size = json_array_size(list);
    if (size == 0 || size > MAX_DIMENSION)
        return rl_fail(why, why_size, "\"%s\" must be a list of 1 to %d numbers", name,
                       MAX_DIMENSION);
    doc->vector = malloc(size * sizeof *doc->vector);
    if (!doc->vector)
        return -1;
    double sum = 0;
    for (size_t i = 0; i < size; i++) {
        const json_t *number = json_array_get(list, i);
        doc->vector[i] = (float)json_number_value(number);
        if (!json_is_number(number) || !isfinite(doc->vector[i]))
            return rl_fail(why, why_size, "\"%s\" holds something that is no finite number", name);
        sum += (double)doc->vector[i] * doc->vector[i];
    }
    if (!(sum > 0))
        return rl_fail(why, why_size, "\"%s\" is all zeros", name);
    doc->vector_size = size;
    return 0;
}

// What is left of the object, without the fields that have a place of their own.
static int read_meta(json_t *root, document_t *doc, char *why, size_t why_size)
{
    static const char *const own[] = {"id", "_id", "title", "text", "vector", "source"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        json_object_del(root, own[i]);
    if (json_is_number(json_array_get(json_object_get(root, "embedding"), 0)))
        json_object_del(root, "embedding");
    if (json_object_size(root) == 0)
        return 0;
    char *meta = json_dumps(root, JSON_COMPACT);
    if (!meta || strlen(meta) > DOC_MAX_META) {
        snprintf(why, why_size, "metadata of more than %d KiB", DOC_MAX_META >> 10);
        free(meta);
        return -1;
    }
    free(doc->meta);
    doc->meta = meta;
    return 0;
}

static int read_fields(json_t *root, document_t *doc, char *why, size_t why_size)
{
    const json_t *text = json_object_get(root, "text");
    const json_t *title = json_object_get(root, "title");
    const json_t *source = json_object_get(root, "source");
    if (!json_is_string(text))
        return rl_fail(why, why_size, "\"text\" is missing or no string");
    if (title && !json_is_string(title) && !json_is_null(title))
        return rl_fail(why, why_size, "\"title\" is no string");
    if (!json_is_string(source))
        source = json_object_get(root, "url");
    if (read_id(root, doc, why, why_size) != 0 || read_vector(root, doc, why, why_size) != 0)
        return -1;
    if (json_is_string(title) && set_string(&doc->title, title, DOC_MAX_TITLE) != 0)
        return -1;
    if (json_is_string(source) && set_string(&doc->source, source, DOC_MAX_ID) != 0)
        return -1;
    size_t size;
    char *words = string_of(text, &size);
    if (!words)
        return -1;
    int rc = format_plain.read(words, size, doc, why, why_size);
    free(words);
    return rc == 0 ? read_meta(root, doc, why, why_size) : rc;
}

static int read_jsonl(const char *text, size_t size, document_t *doc, char *why, size_t why_size)
{
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_ALLOW_NUL, &error);
    snprintf(why, why_size, "out of memory");
    int rc = -1;
    if (!root)
        snprintf(why, why_size, "no JSON: %s (column %d)", error.text, error.column);
    else if (!json_is_object(root))
        snprintf(why, why_size, "no JSON object");
    else
        doc->wrong_field = (rc = read_fields(root, doc, why, why_size)) != 0;
    json_decref(root);
    return rc;
}

const format_t format_jsonl = {
    .name = "jsonl",
    .extensions = "jsonl ndjson",
    .looks = looks_like_jsonl,
    .lines = true,
    .read = read_jsonl,
};
