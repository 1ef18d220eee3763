// fields_each: what a passage can be filtered by.
#include <stdio.h>
#include <string.h>

#include "fields.h"
#include "filter.h"

enum {
    MAX_NESTED = 8, // objects and lists within each other in metadata
};

typedef struct each {
    fields_value_fn *fn;
    void *arg;
} each_t;

static int each_json(const each_t *each, const char *name, const json_t *value, unsigned depth)
{
    const char *member;
    json_t *inner;
    size_t at;
    int rc = 0;
    if (json_is_null(value) || depth > MAX_NESTED)
        return 0;
    if (json_is_array(value)) {
        json_array_foreach((json_t *)value, at, inner)
        {
            if (rc == 0)
                rc = each_json(each, name, inner, depth + 1);
        }
        return rc;
    }
    if (!json_is_object(value))
        return each->fn(each->arg, name, value);
    json_object_foreach((json_t *)value, member, inner)
    {
        char path[RL_FILTER_MAX_FIELD + 2]; // one that is longer is cut, and then too long
        snprintf(path, sizeof path, "%s%s%s", name, *name ? "." : "", member);
        bool own = !*name && (strcmp(member, "id") == 0 || strcmp(member, "title") == 0 ||
                              strcmp(member, "source") == 0);
        if (rc == 0 && !own)
            rc = each_json(each, path, inner, depth + 1);
    }
    return rc;
}

static int each_string(const each_t *each, const char *name, const char *text)
{
    json_t *value = text && *text ? json_string(text) : NULL;
    int rc = value ? each->fn(each->arg, name, value) : 0;
    json_decref(value);
    return rc;
}

int fields_each(const rl_passage_t *passage, fields_value_fn *fn, void *arg)
{
    const each_t each = {fn, arg};
    int rc = each_string(&each, "id", passage->doc);
    if (rc == 0)
        rc = each_string(&each, "title", passage->title);
    if (rc == 0)
        rc = each_string(&each, "source", passage->source);
    json_t *meta = rc == 0 && passage->meta && *passage->meta
                       ? json_loads(passage->meta, JSON_ALLOW_NUL, NULL)
                       : NULL;
    if (json_is_object(meta))
        rc = each_json(&each, "", meta, 0);
    json_decref(meta);
    return rc;
}
