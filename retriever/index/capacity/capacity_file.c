// size_file: figures that were measured, kept in a file.
#include "capacity.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

// A number in the file: where it is, and where it belongs.
typedef struct figure {
    const char *object, *name;
    size_t offset;
} figure_t;

#define OF(field) offsetof(capacity_figures_t, field)
#define KIND(object, field)                                                                        \
    {object, "p50_ms", OF(field.p50_ms)}, {object, "p99_ms", OF(field.p99_ms)},                    \
        {object, "recall", OF(field.recall)}, {object, "bytes", OF(field.bytes)},                  \
    {                                                                                              \
        object, "per_s", OF(field.per_s)                                                           \
    }

static const figure_t file_figures[] = {
    {"measured", "passages", OF(passages)}, {"measured", "dimension", OF(dimension)},
    {"measured", "stored", OF(stored)},     {"measured", "words_power", OF(words_power)},
    KIND("flat", kinds[CAPACITY_FLAT]),     KIND("graph", kinds[CAPACITY_GRAPH]),
    KIND("lists", kinds[CAPACITY_LISTS]),   KIND("words", words),
};

enum {
    FILE_FIGURES = sizeof file_figures / sizeof *file_figures,
    MAX_FILE = 64 << 10
};

int capacity_save(const capacity_figures_t *figures, const char *path, char *why, size_t why_size)
{
    json_t *root = json_object();
    for (size_t at = 0; at < FILE_FIGURES; at++) {
        json_t *object = json_object_get(root, file_figures[at].object);
        if (!object) {
            object = json_object();
            json_object_set_new(root, file_figures[at].object, object);
        }
        double value;
        memcpy(&value, (const char *)figures + file_figures[at].offset, sizeof value);
        json_object_set_new(object, file_figures[at].name, json_real(value));
    }
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    int rc = text && file_write(path, text, strlen(text)) == 0
                 ? 0
                 : rl_fail(why, why_size, "%s: cannot write: %s", path, strerror(errno));
    free(text);
    json_decref(root);
    return rc;
}

int capacity_load(capacity_figures_t *figures, const char *path, char *why, size_t why_size)
{
    json_error_t error;
    size_t size;
    char *text = file_read(path, MAX_FILE, &size);
    if (!text)
        return rl_fail(why, why_size, "%s: %s", path, strerror(errno));
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (!root)
        return rl_fail(why, why_size, "%s: line %d: %s; remove it to measure again", path,
                       error.line, error.text);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < FILE_FIGURES; at++) {
        const json_t *number =
            json_object_get(json_object_get(root, file_figures[at].object), file_figures[at].name);
        double value = json_number_value(number);
        if (!json_is_number(number) || !isfinite(value) || value <= 0)
            rc = rl_fail(why, why_size,
                         "%s: %s.%s must be a number above 0; remove the file to measure again",
                         path, file_figures[at].object, file_figures[at].name);
        else
            memcpy((char *)figures + file_figures[at].offset, &value, sizeof value);
    }
    json_decref(root);
    return rc;
}
