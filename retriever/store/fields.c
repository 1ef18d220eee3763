// fields: which passages have a value of their metadata, read from fields.bin.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fields_private.h"
#include "files.h"
#include "mem.h"

enum {
    MAX_COLUMNS_BYTES = 16 << 20, // of their description
    CACHED = 256,                 // filters whose passages are remembered
    CACHED_BYTES = 32 << 20,
};

typedef struct column {
    const char *field; // owned by the description
    unsigned type;
    uint64_t at, values;
} column_t;

typedef struct cached {
    char *filter;
    selection_t *selection;
    uint64_t used; // when, counted
} cached_t;

struct fields {
    int fd;
    char path[FILE_PATH_MAX];
    fields_head_t head;
    uint64_t values_at, strings_at; // in the file
    json_t *described;
    column_t *columns;
    size_t columns_size;
    pthread_mutex_t mutex; // of what follows
    cached_t cached[CACHED];
    size_t cached_bytes;
    uint64_t uses;
};

// What one evaluation needs.
typedef struct evaluation {
    fields_t *fields;
    char *why;
    size_t why_size;
    bool wrong; // the filter is, not the file
} evaluation_t;

// ---- opening ------------------------------------------------------------------------------------

void fields_close(fields_t **self_p)
{
    fields_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < CACHED; at++) {
        free(self->cached[at].filter);
        selection_unref(&self->cached[at].selection);
    }
    if (self->fd >= 0)
        close(self->fd);
    json_decref(self->described);
    free(self->columns);
    pthread_mutex_destroy(&self->mutex);
    free(self);
    *self_p = NULL;
}

static int fail_damaged(const fields_t *self, const char *what, char *why, size_t why_size)
{
    return rl_fail(why, why_size, "%s: %s; build the index again (ragline-index)", self->path,
                   what);
}

static bool read_at(const fields_t *self, uint64_t at, void *out, size_t size)
{
    return pread(self->fd, out, size, (off_t)at) == (ssize_t)size;
}

static int read_head(fields_t *self, uint64_t count, char *why, size_t why_size)
{
    fields_head_t *head = &self->head;
    uint64_t size = 0;
    if (file_size(self->path, &size) != 0)
        return fail_damaged(self, strerror(errno), why, why_size);
    if (!read_at(self, 0, head, sizeof *head) ||
        memcmp(head->magic, fields_magic, sizeof fields_magic) != 0)
        return fail_damaged(self, "is no file of fields", why, why_size);
    if (head->passages != count)
        return fail_damaged(self, "is of another number of passages", why, why_size);
    if (head->ids > size / 4 || head->values > size / 16 || head->strings > size ||
        head->columns > MAX_COLUMNS_BYTES)
        return fail_damaged(self, "its head is wrong", why, why_size);
    self->values_at = sizeof *head + (head->ids + head->ids % 2) * sizeof(uint32_t);
    self->strings_at = self->values_at + head->values * sizeof(fields_value_t);
    if (self->strings_at + head->strings + head->columns != size)
        return fail_damaged(self, "is cut short or too long", why, why_size);
    return 0;
}

static bool take_column(const fields_t *self, const json_t *json, column_t *column)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    json_int_t at = json_integer_value(json_object_get(json, "at"));
    json_int_t values = json_integer_value(json_object_get(json, "values"));
    column->field = json_string_value(json_object_get(json, "field"));
    column->type = 0;
    while (type && column->type < FIELDS_TYPES && strcmp(fields_types[column->type], type) != 0)
        column->type++;
    if (!type || !column->field || column->type == FIELDS_TYPES || at < 0 || values < 1 ||
        (uint64_t)at >= self->head.values || (uint64_t)values >= self->head.values - (uint64_t)at)
        return false;
    column->at = (uint64_t)at;
    column->values = (uint64_t)values;
    return true;
}

static int read_columns(fields_t *self, char *why, size_t why_size)
{
    char *text = malloc(self->head.columns + 1);
    if (!text)
        return rl_fail(why, why_size, "%s: out of memory", self->path);
    if (read_at(self, self->strings_at + self->head.strings, text, self->head.columns))
        self->described = json_loadb(text, self->head.columns, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    self->columns_size = json_array_size(self->described);
    self->columns = calloc(self->columns_size + 1, sizeof *self->columns);
    bool good = json_is_array(self->described) && self->columns;
    for (size_t at = 0; good && at < self->columns_size; at++)
        good = take_column(self, json_array_get(self->described, at), &self->columns[at]);
    return good ? 0 : fail_damaged(self, "its columns are not described", why, why_size);
}

fields_t *fields_open(const char *folder, uint64_t count, char *why, size_t why_size)
{
    fields_t *self = rl_new(*self);
    int rc = path_format(self->path, "%s/" FIELDS_FILE, folder);
    pthread_mutex_init(&self->mutex, NULL);
    self->fd = rc == 0 ? open(self->path, O_RDONLY | O_CLOEXEC) : -1;
    if (self->fd < 0)
        rc = fail_damaged(self, rc == 0 ? strerror(errno) : "the path is too long", why, why_size);
    if (rc != 0 || read_head(self, count, why, why_size) != 0 ||
        read_columns(self, why, why_size) != 0)
        fields_close(&self);
    return self;
}

// ---- values -------------------------------------------------------------------------------------

static int cannot_read(evaluation_t *self)
{
    return fail_damaged(self->fields, "is damaged", self->why, self->why_size);
}

// The column of a field and type, NULL if no passage has such a value.
static const column_t *find_column(const evaluation_t *self, const char *field, unsigned type)
{
    for (size_t at = 0; at < self->fields->columns_size; at++) {
        const column_t *column = &self->fields->columns[at];
        if (column->type == type && strcmp(column->field, field) == 0)
            return column;
    }
    return NULL;
}

// How the column's value stands to `value`: *order below, equal to or above 0. With `prefix` a
// string that begins with it counts as equal.
static int compare_value(evaluation_t *self, const column_t *column, uint64_t number,
                         const rl_filter_value_t *value, bool prefix, int *order)
{
    const fields_t *fields = self->fields;
    fields_value_t pair[2]; // with the next one, where it ends
    uint64_t at = fields->values_at + (column->at + number) * sizeof *pair;
    if (!read_at(fields, at, pair, sizeof pair))
        return cannot_read(self);
    if (column->type != RL_FILTER_STRING) {
        double own;
        memcpy(&own, &pair[0].what, sizeof own);
        *order = (own > value->number) - (own < value->number);
        return 0;
    }
    char text[RL_FILTER_MAX_STRING];
    uint64_t size = pair[1].what - pair[0].what;
    if (pair[1].what < pair[0].what || size > sizeof text || pair[1].what > fields->head.strings ||
        !read_at(fields, fields->strings_at + pair[0].what, text, size))
        return cannot_read(self);
    if (prefix && size > value->size)
        size = value->size;
    *order = memcmp(text, value->string, size < value->size ? size : value->size);
    if (*order == 0)
        *order = (size > value->size) - (size < value->size);
    return 0;
}

// The first value that is not below `value` (with `behind`: that is above it); the column's number
// of values if there is none.
static int seek_value(evaluation_t *self, const column_t *column, const rl_filter_value_t *value,
                      bool prefix, bool behind, uint64_t *out)
{
    uint64_t low = 0, high = column->values;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int order;
        if (compare_value(self, column, middle, value, prefix, &order) != 0)
            return -1;
        if (order < 0 || (behind && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    *out = low;
    return 0;
}

// ---- passages -----------------------------------------------------------------------------------

// Puts the passages that have one of the values [from, to) into the selection.
static int select_values(evaluation_t *self, const column_t *column, uint64_t from, uint64_t to,
                         selection_t *out)
{
    const fields_t *fields = self->fields;
    fields_value_t first, end;
    if (from >= to)
        return 0;
    uint64_t at = fields->values_at + column->at * sizeof first;
    if (!read_at(fields, at + from * sizeof first, &first, sizeof first) ||
        !read_at(fields, at + to * sizeof end, &end, sizeof end) || end.first < first.first ||
        end.first > fields->head.ids)
        return cannot_read(self);
    uint32_t block[FIELDS_BLOCK];
    for (uint64_t next = first.first; next < end.first;) {
        size_t count = end.first - next < FIELDS_BLOCK ? (size_t)(end.first - next) : FIELDS_BLOCK;
        if (!read_at(fields, sizeof fields->head + next * sizeof *block, block,
                     count * sizeof *block))
            return cannot_read(self);
        for (size_t each = 0; each < count; each++) {
            if (block[each] >= out->count)
                return cannot_read(self);
            out->bits[block[each] / 64] |= UINT64_C(1) << block[each] % 64;
        }
        next += count;
    }
    return 0;
}

static int select_in(evaluation_t *self, const rl_filter_t *filter, selection_t *out)
{
    for (size_t at = 0; at < filter->values_size; at++) {
        const rl_filter_value_t *value = &filter->values[at];
        const column_t *column = find_column(self, filter->field, value->type);
        uint64_t from = 0;
        int order = 1;
        if (!column)
            continue;
        if (seek_value(self, column, value, false, false, &from) != 0 ||
            (from < column->values &&
             compare_value(self, column, from, value, false, &order) != 0) ||
            (order == 0 && select_values(self, column, from, from + 1, out) != 0))
            return -1;
    }
    return 0;
}

static int select_range(evaluation_t *self, const rl_filter_t *filter, selection_t *out)
{
    const rl_filter_value_t *low = &filter->values[0], *high = &filter->values[1];
    const column_t *column = find_column(self, filter->field, filter->low ? low->type : high->type);
    if (!column)
        return 0;
    uint64_t from = 0, to = column->values;
    if (filter->low && seek_value(self, column, low, false, filter->low_open, &from) != 0)
        return -1;
    if (filter->high && seek_value(self, column, high, false, !filter->high_open, &to) != 0)
        return -1;
    return select_values(self, column, from, to, out);
}

static int select_prefix(evaluation_t *self, const rl_filter_t *filter, selection_t *out)
{
    const column_t *column = find_column(self, filter->field, RL_FILTER_STRING);
    uint64_t from, to;
    if (!column)
        return 0;
    if (seek_value(self, column, &filter->values[0], true, false, &from) != 0 ||
        seek_value(self, column, &filter->values[0], true, true, &to) != 0)
        return -1;
    return select_values(self, column, from, to, out);
}

static int select_exists(evaluation_t *self, const rl_filter_t *filter, selection_t *out)
{
    for (unsigned type = 0; type < FIELDS_TYPES; type++) {
        const column_t *column = find_column(self, filter->field, type);
        if (column && select_values(self, column, 0, column->values, out) != 0)
            return -1;
    }
    return 0;
}

int fields_find(fields_t *self, const char *field, const char *string, fields_id_fn *fn, void *arg,
                char *why, size_t why_size)
{
    evaluation_t evaluation = {.fields = self, .why = why, .why_size = why_size};
    rl_filter_value_t value = {
        .type = RL_FILTER_STRING, .string = (char *)string, .size = strlen(string)};
    const column_t *column = find_column(&evaluation, field, RL_FILTER_STRING);
    fields_value_t pair[2];
    uint64_t at = 0;
    int order = 1;
    if (!column)
        return 0;
    if (seek_value(&evaluation, column, &value, false, false, &at) != 0 ||
        (at < column->values && compare_value(&evaluation, column, at, &value, false, &order) != 0))
        return -1;
    if (order != 0)
        return 0;
    if (!read_at(self, self->values_at + (column->at + at) * sizeof *pair, pair, sizeof pair) ||
        pair[1].first < pair[0].first || pair[1].first > self->head.ids)
        return cannot_read(&evaluation);
    for (uint64_t next = pair[0].first; next < pair[1].first; next++) {
        uint32_t position;
        if (!read_at(self, sizeof self->head + next * sizeof position, &position,
                     sizeof position) ||
            position >= self->head.passages)
            return cannot_read(&evaluation);
        if (!fn(arg, (uint64_t)position + 1))
            return rl_fail(why, why_size, "out of memory");
    }
    return 0;
}

// ---- and, or, not -------------------------------------------------------------------------------

static int evaluate_filter(evaluation_t *self, const rl_filter_t *filter, selection_t *out);

static int evaluate_parts(evaluation_t *self, const rl_filter_t *filter, selection_t *out)
{
    size_t words = selection_words(out);
    if (evaluate_filter(self, filter->parts[0], out) != 0)
        return -1;
    for (size_t part = 1; part < filter->parts_size; part++) {
        selection_t *other = selection_new(out->count);
        int rc = evaluate_filter(self, filter->parts[part], other);
        for (size_t word = 0; word < words; word++)
            out->bits[word] = filter->op == RL_FILTER_AND ? out->bits[word] & other->bits[word]
                                                          : out->bits[word] | other->bits[word];
        selection_unref(&other);
        if (rc != 0)
            return -1;
    }
    return 0;
}

static int evaluate_not(evaluation_t *self, const rl_filter_t *filter, selection_t *out)
{
    if (evaluate_filter(self, filter->parts[0], out) != 0)
        return -1;
    size_t words = selection_words(out);
    for (size_t word = 0; word < words; word++)
        out->bits[word] = ~out->bits[word];
    if (out->count % 64)
        out->bits[words - 1] &= (UINT64_C(1) << out->count % 64) - 1;
    return 0;
}

// `out` is empty before. Returns 0, or -1 with self->why.
static int evaluate_filter(evaluation_t *self, const rl_filter_t *filter, selection_t *out)
{
    switch (filter->op) {
    case RL_FILTER_AND:
    case RL_FILTER_OR:
        return evaluate_parts(self, filter, out);
    case RL_FILTER_NOT:
        return evaluate_not(self, filter, out);
    case RL_FILTER_RANGE:
        return select_range(self, filter, out);
    case RL_FILTER_PREFIX:
        return select_prefix(self, filter, out);
    case RL_FILTER_EXISTS:
        return select_exists(self, filter, out);
    default:
        return select_in(self, filter, out);
    }
}

static bool is_kept(void *arg, const char *field)
{
    const fields_t *self = arg;
    for (size_t at = 0; at < self->columns_size; at++)
        if (strcmp(self->columns[at].field, field) == 0)
            return true;
    return self->head.left_out == 0; // then no passage has it
}

static selection_t *select_passages(evaluation_t *self, const char *text)
{
    rl_filter_error_t trouble;
    rl_filter_t *filter = rl_filter_parse(text, strlen(text), &trouble);
    if (!filter) {
        self->wrong = true;
        rl_fail(self->why, self->why_size, "%s", trouble.message);
        return NULL;
    }
    selection_t *out = NULL;
    const char *left_out = rl_filter_each_field(filter, is_kept, self->fields);
    if (left_out) {
        self->wrong = true;
        rl_fail(self->why, self->why_size,
                "the field \"%s\" is not among the %d that the index keeps", left_out, FIELDS_MAX);
    } else {
        out = selection_new(self->fields->head.passages);
        if (evaluate_filter(self, filter, out) == 0)
            selection_finish(out);
        else
            selection_unref(&out);
    }
    rl_filter_destroy(&filter);
    return out;
}

// ---- what is remembered -------------------------------------------------------------------------

static selection_t *recall_selection(fields_t *self, const char *filter)
{
    selection_t *found = NULL;
    pthread_mutex_lock(&self->mutex);
    for (size_t at = 0; !found && at < CACHED; at++) {
        cached_t *cached = &self->cached[at];
        if (!cached->filter || strcmp(cached->filter, filter) != 0)
            continue;
        cached->used = ++self->uses;
        found = selection_ref(cached->selection);
    }
    pthread_mutex_unlock(&self->mutex);
    return found;
}

// The place that is free, or was not used for longest.
static cached_t *find_place(fields_t *self, bool filled)
{
    cached_t *found = NULL;
    for (size_t at = 0; at < CACHED; at++) {
        cached_t *cached = &self->cached[at];
        if ((!filled || cached->filter) && (!found || cached->used < found->used))
            found = cached;
    }
    return found;
}

static void forget_selection(fields_t *self, cached_t *cached)
{
    if (!cached->filter)
        return;
    self->cached_bytes -= selection_bytes(cached->selection) + strlen(cached->filter);
    free(cached->filter);
    selection_unref(&cached->selection);
    *cached = (cached_t){0};
}

static void remember_selection(fields_t *self, const char *filter, selection_t *selection)
{
    size_t bytes = selection_bytes(selection) + strlen(filter);
    if (bytes > CACHED_BYTES)
        return;
    pthread_mutex_lock(&self->mutex);
    while (self->cached_bytes + bytes > CACHED_BYTES)
        forget_selection(self, find_place(self, true));
    cached_t *place = find_place(self, false);
    forget_selection(self, place);
    *place = (cached_t){rl_strdup(filter), selection_ref(selection), ++self->uses};
    self->cached_bytes += bytes;
    pthread_mutex_unlock(&self->mutex);
}

selection_t *fields_select(fields_t *self, const char *filter, bool *wrong, char *why,
                           size_t why_size)
{
    evaluation_t evaluation = {.fields = self, .why = why, .why_size = why_size};
    selection_t *selection = recall_selection(self, filter);
    if (!selection && (selection = select_passages(&evaluation, filter)))
        remember_selection(self, filter, selection);
    *wrong = evaluation.wrong;
    return selection;
}
