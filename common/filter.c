// filter: a condition on passages' metadata, read from JSON with suspicion.
#include "filter.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter_private.h"
#include "mem.h"
#include "utf8.h"

enum {
    MAX_SHOWN = 64 // bytes of a client's own word
};

typedef struct reading {
    rl_filter_error_t *error;
    unsigned depth; // that and, or, not may have
    size_t conditions, values;
} reading_t;

static rl_filter_t *read_part(reading_t *self, const json_t *json, const char *param,
                              unsigned depth);

// ---- errors -------------------------------------------------------------------------------------

// Says what is wrong; always NULL.
static rl_filter_t *fail_filter(reading_t *self, bool unknown, const char *param,
                                const char *format, ...) __attribute__((format(printf, 4, 5)));

static rl_filter_t *fail_filter(reading_t *self, bool unknown, const char *param,
                                const char *format, ...)
{
    rl_filter_error_t *error = self->error;
    va_list args;
    snprintf(error->param, sizeof error->param, "%s", param);
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    error->unknown = unknown;
    error->message[rl_utf8_whole(error->message, strlen(error->message))] = '\0';
    return NULL;
}

// ---- values -------------------------------------------------------------------------------------

static const char *const forms =
    "{\"field\": …} with one of eq, in, prefix, exists or a range of gt, gte, lt, lte, or {\"and\": "
    "[…]}, {\"or\": […]}, {\"not\": {…}}";

static bool take_value(reading_t *self, const json_t *json, const char *param,
                       rl_filter_value_t *value)
{
    size_t size = json_string_length(json);
    if (json_is_string(json) && size <= RL_FILTER_MAX_STRING &&
        strlen(json_string_value(json)) == size) {
        *value = (rl_filter_value_t){RL_FILTER_STRING, 0, rl_strdup(json_string_value(json)), size};
        return true;
    }
    // + 0.0: there is one zero
    *value = (rl_filter_value_t){RL_FILTER_NUMBER, json_number_value(json) + 0.0, NULL, 0};
    if (json_is_boolean(json))
        *value = (rl_filter_value_t){RL_FILTER_BOOLEAN, json_is_true(json), NULL, 0};
    else if (!json_is_number(json) || !isfinite(value->number))
        return fail_filter(self, false, param,
                           "\"%s\" must be a string of at most %d bytes, a number, true or false.",
                           param, RL_FILTER_MAX_STRING);
    return true;
}

int rl_filter_value_compare(const void *a, const void *b)
{
    const rl_filter_value_t *one = a, *other = b;
    if (one->type != other->type)
        return one->type < other->type ? -1 : 1;
    if (one->type != RL_FILTER_STRING)
        return (one->number > other->number) - (one->number < other->number);
    size_t least = one->size < other->size ? one->size : other->size;
    int order = memcmp(one->string, other->string, least);
    return order ? order : (one->size > other->size) - (one->size < other->size);
}

// "filter.name", of a long name the beginning: whole characters.
static void name_member(char *out, size_t size, const char *param, const char *name)
{
    int length = (int)rl_utf8_whole(name, strnlen(name, MAX_SHOWN));
    snprintf(out, size, "%s.%.*s", param, length, name);
}

// ---- conditions ---------------------------------------------------------------------------------

static bool take_eq(reading_t *self, rl_filter_t *filter, const json_t *json, const char *param)
{
    filter->op = RL_FILTER_IN;
    filter->values = rl_new(*filter->values);
    filter->values_size = 1;
    return take_value(self, json, param, &filter->values[0]);
}

static bool take_in(reading_t *self, rl_filter_t *filter, const json_t *json, const char *param)
{
    size_t size = json_array_size(json);
    self->values += size;
    filter->op = RL_FILTER_IN;
    if (size < 1 || self->values > RL_FILTER_MAX_VALUES)
        return fail_filter(
            self, false, param,
            "\"%s\" must be a list of values, at least one and in all lists of the filter "
            "together at most %d.",
            param, RL_FILTER_MAX_VALUES);
    filter->values = rl_alloc_array(size, sizeof *filter->values);
    for (size_t at = 0; at < size; at++) {
        char item[sizeof self->error->param];
        snprintf(item, sizeof item, "%s[%zu]", param, at);
        filter->values_size = at + 1;
        if (!take_value(self, json_array_get(json, at), item, &filter->values[at]))
            return false;
    }
    return true;
}

static bool take_bound(reading_t *self, rl_filter_t *filter, const json_t *json, const char *param,
                       bool high, bool open)
{
    bool *there = high ? &filter->high : &filter->low;
    filter->op = RL_FILTER_RANGE;
    if (*there)
        return fail_filter(self, false, param, "\"%s\" is a second %s bound of the same range.",
                           param, high ? "upper" : "lower");
    if (!filter->values) {
        filter->values = rl_alloc_array(2, sizeof *filter->values);
        filter->values_size = 2;
    }
    rl_filter_value_t *value = &filter->values[high];
    if (!take_value(self, json, param, value))
        return false;
    *there = true;
    *(high ? &filter->high_open : &filter->low_open) = open;
    if (value->type == RL_FILTER_BOOLEAN)
        return fail_filter(self, false, param, "\"%s\" must be a number or a string.", param);
    if (filter->low && filter->high && filter->values[0].type != filter->values[1].type)
        return fail_filter(
            self, false, param,
            "\"%s\" must be of the type of the range's other bound: both numbers or both "
            "strings.",
            param);
    return true;
}

static bool take_prefix(reading_t *self, rl_filter_t *filter, const json_t *json, const char *param)
{
    if (!json_is_string(json) || json_string_length(json) == 0)
        return fail_filter(self, false, param, "\"%s\" must be a string that is not empty.", param);
    if (!take_eq(self, filter, json, param))
        return false;
    filter->op = RL_FILTER_PREFIX;
    return true;
}

static bool take_exists(reading_t *self, rl_filter_t *filter, const json_t *json, const char *param)
{
    filter->op = RL_FILTER_EXISTS;
    filter->low = json_is_true(json); // till the filter is made canonical
    if (!json_is_boolean(json))
        return fail_filter(self, false, param, "\"%s\" must be true or false.", param);
    return true;
}

static bool take_field(reading_t *self, rl_filter_t *filter, const json_t *json, const char *param)
{
    const char *name = json_string_value(json);
    size_t size = json_string_length(json);
    if (!name || size < 1 || size > RL_FILTER_MAX_FIELD || strlen(name) != size)
        return fail_filter(self, false, param,
                           "\"%s\" must be a field's name: a string of 1 to %d bytes.", param,
                           RL_FILTER_MAX_FIELD);
    filter->field = rl_strdup(name);
    return true;
}

// One member of a condition.
static bool take_member(reading_t *self, rl_filter_t *filter, const char *name, const json_t *json,
                        const char *param)
{
    if (strcmp(name, "eq") == 0)
        return take_eq(self, filter, json, param);
    if (strcmp(name, "in") == 0)
        return take_in(self, filter, json, param);
    if (strcmp(name, "prefix") == 0)
        return take_prefix(self, filter, json, param);
    if (strcmp(name, "exists") == 0)
        return take_exists(self, filter, json, param);
    if (strcmp(name, "gt") == 0 || strcmp(name, "gte") == 0)
        return take_bound(self, filter, json, param, false, !name[2]);
    if (strcmp(name, "lt") == 0 || strcmp(name, "lte") == 0)
        return take_bound(self, filter, json, param, true, !name[2]);
    return fail_filter(self, true, param, "Unknown member \"%s\". A filter is %s.", param, forms);
}

static rl_filter_t *read_condition(reading_t *self, const json_t *json, const char *param)
{
    const char *name, *first = NULL;
    json_t *value;
    if (++self->conditions > RL_FILTER_MAX_CONDITIONS)
        return fail_filter(self, false, param, "\"%s\": a filter may have at most %d conditions.",
                           param, RL_FILTER_MAX_CONDITIONS);
    rl_filter_t *filter = rl_new(*filter);
    bool good = true;
    json_object_foreach((json_t *)json, name, value)
    {
        char member[sizeof self->error->param];
        name_member(member, sizeof member, param, name);
        if (strcmp(name, "field") == 0) {
            good = take_field(self, filter, value, member);
        } else if (first && !(filter->op == RL_FILTER_RANGE && strchr("gl", *name))) {
            fail_filter(
                self, false, member,
                "\"%s\" stands beside \"%.16s\": a condition has one of eq, in, prefix, exists or "
                "a range; several conditions are joined by \"and\".",
                member, first);
            good = false;
        } else {
            first = name;
            good = take_member(self, filter, name, value, member);
        }
        if (!good)
            break;
    }
    if (good && !first) {
        fail_filter(self, false, param,
                    "\"%s\" has a field and no condition on it. A filter is %s.", param, forms);
        good = false;
    }
    if (!good)
        rl_filter_destroy(&filter);
    return filter;
}

// ---- and, or, not -------------------------------------------------------------------------------

static rl_filter_t *read_list(reading_t *self, rl_filter_op_t op, const json_t *json,
                              const char *param, unsigned depth)
{
    size_t size = json_array_size(json);
    if (size < 1 || size > RL_FILTER_MAX_CONDITIONS)
        return fail_filter(self, false, param, "\"%s\" must be a list of 1 to %d filters.", param,
                           RL_FILTER_MAX_CONDITIONS);
    rl_filter_t *filter = rl_new(*filter);
    filter->parts = rl_alloc_array(size, sizeof *filter->parts);
    filter->op = op;
    for (size_t at = 0; filter && at < size; at++) {
        char item[sizeof self->error->param];
        snprintf(item, sizeof item, "%s[%zu]", param, at);
        filter->parts[at] = read_part(self, json_array_get(json, at), item, depth + 1);
        filter->parts_size = at + 1;
        if (!filter->parts[at])
            rl_filter_destroy(&filter);
    }
    return filter;
}

static rl_filter_t *read_not(reading_t *self, const json_t *json, const char *param, unsigned depth)
{
    rl_filter_t *part = read_part(self, json, param, depth + 1);
    return part ? rl_filter_not(part) : NULL;
}

static rl_filter_t *read_part(reading_t *self, const json_t *json, const char *param,
                              unsigned depth)
{
    static const char *const words[] = {"and", "or", "not"};
    if (!json_is_object(json) || json_object_size(json) == 0)
        return fail_filter(self, false, param, "\"%s\" must be an object: %s.", param, forms);
    if (depth > self->depth)
        return fail_filter(self, false, param,
                           "\"%s\": and, or, not may stand within each other %d deep.", param,
                           RL_FILTER_MAX_DEPTH);
    for (size_t at = 0; at < 3; at++) {
        const json_t *value = json_object_get(json, words[at]);
        char member[sizeof self->error->param];
        if (!value)
            continue;
        if (json_object_size(json) != 1)
            return fail_filter(self, false, param, "\"%s\" has \"%s\", which must stand alone.",
                               param, words[at]);
        snprintf(member, sizeof member, "%s.%s", param, words[at]);
        return at == 2
                   ? read_not(self, value, member, depth)
                   : read_list(self, at == 0 ? RL_FILTER_AND : RL_FILTER_OR, value, member, depth);
    }
    if (!json_object_get(json, "field")) {
        // an unknown member explains the mistake better than the missing field
        const char *name = json_object_iter_key(json_object_iter((json_t *)json));
        char member[sizeof self->error->param];
        static const char *const known = " eq in prefix exists gt gte lt lte ";
        char padded[32];
        snprintf(padded, sizeof padded, " %.28s ", name);
        name_member(member, sizeof member, param, strstr(known, padded) ? "field" : name);
        return strstr(known, padded)
                   ? fail_filter(self, false, member, "\"%s\" is missing.", member)
                   : fail_filter(self, true, member, "Unknown member \"%s\". A filter is %s.",
                                 member, forms);
    }
    return read_condition(self, json, param);
}

// ---- the whole ----------------------------------------------------------------------------------

static rl_filter_t *read_whole(reading_t *self, const json_t *json, const char *param)
{
    rl_filter_t *filter = read_part(self, json, param, 0);
    if (!filter)
        return NULL;
    rl_filter_make_canonical(&filter);
    char *text = rl_filter_text(filter);
    if (strlen(text) > RL_FILTER_MAX_TEXT) {
        fail_filter(self, false, param, "\"%s\" is too large: at most %d bytes.", param,
                    RL_FILTER_MAX_TEXT);
        rl_filter_destroy(&filter);
    }
    free(text);
    return filter;
}

rl_filter_t *rl_filter_read(const json_t *json, const char *param, rl_filter_error_t *error)
{
    reading_t self = {.error = error, .depth = RL_FILTER_MAX_DEPTH};
    return read_whole(&self, json, param);
}

rl_filter_t *rl_filter_parse(const char *text, size_t size, rl_filter_error_t *error)
{
    json_error_t wrong;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &wrong);
    // a canonical text may be one deeper than what was read: exists false is a "not" in it
    reading_t self = {.error = error, .depth = RL_FILTER_MAX_DEPTH + 1};
    rl_filter_t *filter = json ? read_whole(&self, json, "filter")
                               : fail_filter(&self, false, "filter",
                                             "\"filter\" is no JSON (column %d).", wrong.column);
    json_decref(json);
    return filter;
}

void rl_filter_destroy(rl_filter_t **self_p)
{
    rl_filter_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->parts_size; at++)
        rl_filter_destroy(&self->parts[at]);
    for (size_t at = 0; at < self->values_size; at++)
        free(self->values[at].string);
    free(self->parts);
    free(self->values);
    free(self->field);
    free(self);
    *self_p = NULL;
}

const char *rl_filter_each_field(const rl_filter_t *self, rl_filter_field_fn *fn, void *arg)
{
    const char *stopped = self->field && !fn(arg, self->field) ? self->field : NULL;
    for (size_t at = 0; !stopped && at < self->parts_size; at++)
        stopped = rl_filter_each_field(self->parts[at], fn, arg);
    return stopped;
}
