// filter_text: the canonical form of a filter, and its text.
#include "filter_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static const double MAX_EXACT = 9007199254740992; // 2^53: whole numbers up to it are exact

// ---- text ---------------------------------------------------------------------------------------

static json_t *value_json(const rl_filter_value_t *value)
{
    switch (value->type) {
    case RL_FILTER_STRING:
        return json_stringn(value->string, value->size);
    case RL_FILTER_BOOLEAN:
        return json_boolean(value->number != 0);
    default:
        return value->number == floor(value->number) && fabs(value->number) <= MAX_EXACT
                   ? json_integer((json_int_t)value->number)
                   : json_real(value->number);
    }
}

static json_t *filter_json(const rl_filter_t *self);

static json_t *parts_json(const rl_filter_t *self)
{
    json_t *list = json_array();
    for (size_t at = 0; at < self->parts_size; at++)
        if (json_array_append_new(list, filter_json(self->parts[at])) != 0)
            rl_out_of_memory();
    return list;
}

static json_t *values_json(const rl_filter_t *self)
{
    json_t *list = json_array();
    for (size_t at = 0; at < self->values_size; at++)
        if (json_array_append_new(list, value_json(&self->values[at])) != 0)
            rl_out_of_memory();
    return list;
}

static json_t *range_json(const rl_filter_t *self)
{
    json_t *out = json_pack("{s:s}", "field", self->field);
    if ((self->low && json_object_set_new(out, self->low_open ? "gt" : "gte",
                                          value_json(&self->values[0])) != 0) ||
        (self->high && json_object_set_new(out, self->high_open ? "lt" : "lte",
                                           value_json(&self->values[1])) != 0))
        rl_out_of_memory();
    return out;
}

static json_t *filter_json(const rl_filter_t *self)
{
    switch (self->op) {
    case RL_FILTER_AND:
        return json_pack("{s:o}", "and", parts_json(self));
    case RL_FILTER_OR:
        return json_pack("{s:o}", "or", parts_json(self));
    case RL_FILTER_NOT:
        return json_pack("{s:o}", "not", filter_json(self->parts[0]));
    case RL_FILTER_EXISTS:
        return json_pack("{s:s, s:b}", "field", self->field, "exists", (int)self->low);
    case RL_FILTER_PREFIX:
        return json_pack("{s:s, s:o}", "field", self->field, "prefix",
                         value_json(&self->values[0]));
    case RL_FILTER_RANGE:
        return range_json(self);
    default:
        return self->values_size == 1
                   ? json_pack("{s:s, s:o}", "field", self->field, "eq",
                               value_json(&self->values[0]))
                   : json_pack("{s:s, s:o}", "field", self->field, "in", values_json(self));
    }
}

char *rl_filter_text(const rl_filter_t *self)
{
    json_t *json = filter_json(self);
    char *text = rl_must(json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)));
    json_decref(json);
    return text;
}

// ---- the canonical form -------------------------------------------------------------------------

rl_filter_t *rl_filter_not(rl_filter_t *part)
{
    rl_filter_t *filter = rl_new(*filter);
    filter->parts = rl_new(*filter->parts);
    filter->op = RL_FILTER_NOT;
    filter->parts[0] = part;
    filter->parts_size = 1;
    return filter;
}

// Puts the only part in the place of the whole.
static void unwrap_part(rl_filter_t **self_p)
{
    rl_filter_t *part = (*self_p)->parts[0];
    (*self_p)->parts_size = 0;
    rl_filter_destroy(self_p);
    *self_p = part;
}

static void order_values(rl_filter_t *self)
{
    size_t kept = 1;
    qsort(self->values, self->values_size, sizeof *self->values, rl_filter_value_compare);
    for (size_t at = 1; at < self->values_size; at++) {
        if (rl_filter_value_compare(&self->values[at], &self->values[kept - 1]) != 0)
            self->values[kept++] = self->values[at];
        else
            free(self->values[at].string);
    }
    self->values_size = kept;
}

// And within and, or within or: one list.
static void flatten_parts(rl_filter_t *self)
{
    size_t size = 0, at = 0;
    for (size_t part = 0; part < self->parts_size; part++)
        size += self->parts[part]->op == self->op ? self->parts[part]->parts_size : 1;
    rl_filter_t **parts = rl_alloc_array(size, sizeof *parts);
    for (size_t part = 0; part < self->parts_size; part++) {
        rl_filter_t *inner = self->parts[part];
        if (inner->op != self->op) {
            parts[at++] = inner;
            continue;
        }
        memcpy(parts + at, inner->parts, inner->parts_size * sizeof *parts);
        at += inner->parts_size;
        inner->parts_size = 0;
        rl_filter_destroy(&inner);
    }
    free(self->parts);
    self->parts = parts;
    self->parts_size = size;
}

typedef struct named {
    char *text;
    rl_filter_t *part;
} named_t;

static int compare_named(const void *a, const void *b)
{
    return strcmp(((const named_t *)a)->text, ((const named_t *)b)->text);
}

// In the order of their texts, each once.
static void order_parts(rl_filter_t *self)
{
    named_t *named = rl_alloc_array(self->parts_size, sizeof *named);
    size_t kept = 0;
    for (size_t at = 0; at < self->parts_size; at++)
        named[at] = (named_t){rl_filter_text(self->parts[at]), self->parts[at]};
    qsort(named, self->parts_size, sizeof *named, compare_named);
    for (size_t at = 0; at < self->parts_size; at++) {
        if (at > 0 && strcmp(named[at].text, named[at - 1].text) == 0)
            rl_filter_destroy(&named[at].part);
        else
            self->parts[kept++] = named[at].part;
    }
    for (size_t at = 0; at < self->parts_size; at++)
        free(named[at].text);
    self->parts_size = kept;
    free(named);
}

void rl_filter_make_canonical(rl_filter_t **self_p)
{
    rl_filter_t *self = *self_p;
    for (size_t at = 0; at < self->parts_size; at++)
        rl_filter_make_canonical(&self->parts[at]);
    if (self->op == RL_FILTER_NOT && self->parts[0]->op == RL_FILTER_NOT) {
        unwrap_part(self_p);
        unwrap_part(self_p);
    } else if (self->op == RL_FILTER_AND || self->op == RL_FILTER_OR) {
        flatten_parts(self);
        order_parts(self);
        if (self->parts_size == 1)
            unwrap_part(self_p);
    } else if (self->op == RL_FILTER_IN) {
        order_values(self);
    } else if (self->op == RL_FILTER_EXISTS && !self->low) {
        self->low = true;
        *self_p = rl_filter_not(self);
    }
}
