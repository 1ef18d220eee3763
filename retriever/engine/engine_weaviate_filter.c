// engine_weaviate_filter: filters (filter.h) as Weaviate's "where". It is asked only for properties
// that are there: no passage has a value of a type that the field does not have.
#include <stdio.h>
#include <string.h>

#include "engine_weaviate_private.h"

typedef struct filtering {
    const engine_place_t *place;
    rl_buf_t *out;
    result_t *result; // becomes a failure for a filter that cannot be expressed
    bool failed;
} filtering_t;

static void put_filter(filtering_t *self, const rl_filter_t *filter);

static bool has_type(const filtering_t *self, const char *field, rl_filter_type_t type)
{
    return weaviate_has_type(engine_catalog_types(&self->place->catalog, field), type);
}

void weaviate_put_string(rl_buf_t *out, const char *text, size_t size, bool behind)
{
    rl_buf_t whole = rl_buf_make(2 * RL_FILTER_MAX_STRING);
    rl_buf_adds(&whole, WEAVIATE_BEFORE);
    rl_buf_add(&whole, text, size);
    if (behind)
        rl_buf_adds(&whole, WEAVIATE_BEHIND);
    rl_buf_add_json(out, whole.data, whole.size);
    rl_buf_free(&whole);
}

// A condition that nothing fulfils: the name of a field is never empty.
static void put_never(filtering_t *self)
{
    rl_buf_adds(self->out, "{path:[\"has\"] operator:Equal valueText:");
    weaviate_put_string(self->out, "", 0, true);
    rl_buf_adds(self->out, "}");
}

static void put_value(rl_buf_t *out, const rl_filter_value_t *value)
{
    if (value->type == RL_FILTER_STRING)
        weaviate_put_string(out, value->string, value->size, true);
    else if (value->type == RL_FILTER_NUMBER)
        rl_buf_addf(out, "%.17g", value->number);
    else
        rl_buf_adds(out, value->number != 0 ? "true" : "false");
}

static const char *const value_keys[] = {[RL_FILTER_BOOLEAN] = "valueBoolean",
                                         [RL_FILTER_NUMBER] = "valueNumber",
                                         [RL_FILTER_STRING] = "valueText"};

static void put_condition(filtering_t *self, const char *field, rl_filter_type_t type,
                          const char *operator, const rl_filter_value_t * value)
{
    char name[WEAVIATE_PROPERTY];
    weaviate_property(field, type, name);
    rl_buf_addf(self->out, "{path:[\"%s\"] operator:%s %s:", name, operator, value_keys[type]);
    put_value(self->out, value);
    rl_buf_adds(self->out, "}");
}

// One of the values, which are sorted by type.
static void put_in(filtering_t *self, const rl_filter_t *filter)
{
    bool open = false;
    size_t lists = 0;
    char name[WEAVIATE_PROPERTY];
    for (int type = 0; type < RL_FILTER_TYPES; type++) {
        open = false;
        for (size_t at = 0; at < filter->values_size; at++) {
            if (filter->values[at].type != (rl_filter_type_t)type ||
                !has_type(self, filter->field, (rl_filter_type_t)type))
                continue;
            if (!open) {
                weaviate_property(filter->field, (rl_filter_type_t)type, name);
                rl_buf_adds(self->out, lists++ == 0 ? "{operator:Or operands:[" : ",");
                rl_buf_addf(self->out, "{path:[\"%s\"] operator:ContainsAny %s:[", name,
                            value_keys[type]);
            }
            rl_buf_adds(self->out, open ? "," : "");
            open = true;
            put_value(self->out, &filter->values[at]);
        }
        rl_buf_adds(self->out, open ? "]}" : "");
    }
    if (lists == 0)
        put_never(self);
    else
        rl_buf_adds(self->out, "]}");
}

// Two bounds are two conditions there, which different values of a list could fulfil.
static void refuse_multi(filtering_t *self, const char *field)
{
    result_fail(self->result, "bad_filter", false,
                "Weaviate cannot ask for a range or prefix of \"%s\", which has lists of values",
                field);
    self->failed = true;
}

static void put_range(filtering_t *self, const rl_filter_t *filter)
{
    rl_filter_type_t type = filter->values[filter->low ? 0 : 1].type;
    if (!has_type(self, filter->field, type)) {
        put_never(self);
        return;
    }
    bool both = filter->low && filter->high;
    if (both && engine_catalog_is_multi(&self->place->catalog, filter->field)) {
        refuse_multi(self, filter->field);
        return;
    }
    rl_buf_adds(self->out, both ? "{operator:And operands:[" : "");
    if (filter->low)
        put_condition(self, filter->field, type,
                      filter->low_open ? "GreaterThan" : "GreaterThanEqual", &filter->values[0]);
    rl_buf_adds(self->out, both ? "," : "");
    if (filter->high)
        put_condition(self, filter->field, type, filter->high_open ? "LessThan" : "LessThanEqual",
                      &filter->values[1]);
    rl_buf_adds(self->out, both ? "]}" : "");
}

// As "at least the prefix, and below it with U+10FFFF behind", which no text has; of a list, by
// "Like", which knows no way to write * and ?.
static void put_prefix(filtering_t *self, const rl_filter_t *filter)
{
    const rl_filter_value_t *prefix = &filter->values[0];
    char name[WEAVIATE_PROPERTY];
    if (!has_type(self, filter->field, RL_FILTER_STRING)) {
        put_never(self);
        return;
    }
    weaviate_property(filter->field, RL_FILTER_STRING, name);
    if (!engine_catalog_is_multi(&self->place->catalog, filter->field)) {
        char high[RL_FILTER_MAX_STRING + 8];
        size_t size = prefix->size < RL_FILTER_MAX_STRING ? prefix->size : RL_FILTER_MAX_STRING;
        memcpy(high, prefix->string, size);
        memcpy(high + size, "\xf4\x8f\xbf\xbf", 5);
        rl_buf_addf(
            self->out,
            "{operator:And operands:[{path:[\"%s\"] operator:GreaterThanEqual valueText:", name);
        weaviate_put_string(self->out, prefix->string, prefix->size, false);
        rl_buf_addf(self->out, "},{path:[\"%s\"] operator:LessThan valueText:", name);
        weaviate_put_string(self->out, high, size + 4, false);
        rl_buf_adds(self->out, "}]}");
    } else if (strpbrk(prefix->string, "*?")) {
        refuse_multi(self, filter->field);
    } else {
        rl_buf_t like = rl_buf_make(2 * RL_FILTER_MAX_STRING);
        rl_buf_addf(&like, WEAVIATE_BEFORE "%s*", prefix->string);
        rl_buf_addf(self->out, "{path:[\"%s\"] operator:Like valueText:", name);
        rl_buf_add_json(self->out, like.data, like.size);
        rl_buf_adds(self->out, "}");
        rl_buf_free(&like);
    }
}

static void put_parts(filtering_t *self, const char *operator, const rl_filter_t * filter)
{
    rl_buf_addf(self->out, "{operator:%s operands:[", operator);
    for (size_t at = 0; at < filter->parts_size; at++) {
        rl_buf_adds(self->out, at > 0 ? "," : "");
        put_filter(self, filter->parts[at]);
    }
    rl_buf_adds(self->out, "]}");
}

static void put_filter(filtering_t *self, const rl_filter_t *filter)
{
    switch (filter->op) {
    case RL_FILTER_AND:
        put_parts(self, "And", filter);
        break;
    case RL_FILTER_OR:
        put_parts(self, "Or", filter);
        break;
    case RL_FILTER_NOT:
        put_parts(self, "Not", filter);
        break;
    case RL_FILTER_IN:
        put_in(self, filter);
        break;
    case RL_FILTER_RANGE:
        put_range(self, filter);
        break;
    case RL_FILTER_PREFIX:
        put_prefix(self, filter);
        break;
    case RL_FILTER_EXISTS:
        rl_buf_adds(self->out, filter->low ? "" : "{operator:Not operands:[");
        rl_buf_adds(self->out, "{path:[\"has\"] operator:Equal valueText:");
        weaviate_put_string(self->out, filter->field, strlen(filter->field), true);
        rl_buf_adds(self->out, filter->low ? "}" : "}]}");
        break;
    }
}

// " where:{…}", or nothing without a filter. Returns -1 after making the result a failure.
int weaviate_put_where(engine_place_t *self, const char *text, rl_buf_t *out, result_t *result)
{
    rl_filter_error_t trouble;
    if (!text)
        return 0;
    rl_filter_t *filter = rl_filter_parse(text, strlen(text), &trouble);
    if (!filter) {
        result_fail(result, "bad_filter", false, "%s: %s", trouble.param, trouble.message);
        return -1;
    }
    filtering_t filtering = {.place = self, .out = out, .result = result};
    rl_buf_adds(out, " where:");
    put_filter(&filtering, filter);
    rl_filter_destroy(&filter);
    return filtering.failed ? -1 : 0;
}
