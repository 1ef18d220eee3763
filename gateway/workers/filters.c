// filters: whether the collections asked have what a question's filter names.
#include "filters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"

typedef struct filter_scope {
    registry_t *registry;
    const question_t *question;
} filter_scope_t;

// Whether one of the collections has the field (or may have it).
static bool has_field(void *arg, const char *field)
{
    const filter_scope_t *scope = arg;
    const question_t *question = scope->question;
    for (size_t at = 0; at < question->collections_size; at++) {
        bool more = false;
        const json_t *fields = registry_fields(scope->registry, question->collections[at], &more);
        if (more || json_object_get(fields, field))
            return true;
    }
    return false;
}

// The fields that there are, as many as fit.
static void list_fields(const filter_scope_t *scope, char *out, size_t size)
{
    size_t used = 0;
    const char *name;
    json_t *type;
    out[0] = '\0';
    for (size_t at = 0; at < scope->question->collections_size; at++) {
        bool more = false;
        const json_t *fields =
            registry_fields(scope->registry, scope->question->collections[at], &more);
        json_object_foreach((json_t *)fields, name, type)
        {
            if (used + strlen(name) + 3 < size)
                used +=
                    (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "", name);
        }
    }
}

bool filters_fit(registry_t *registry, const question_t *question, http_req_t **req_p)
{
    if (!question->filter)
        return true;
    const char *param = question->form == FORM_CHAT ? "ragline.filter" : "filter";
    filter_scope_t scope = {registry, question};
    for (size_t at = 0; at < question->collections_size; at++) {
        bool more = false;
        if (!registry_fields(registry, question->collections[at], &more) && !more) {
            http_reply_error(req_p, 400, "filter_unavailable", param, 0,
                             "The collection %s cannot be filtered: its index has no metadata to "
                             "filter on; build it again with this version's ragline-index.",
                             question->collections[at]);
            return false;
        }
    }
    rl_filter_error_t trouble;
    rl_filter_t *filter = rl_filter_parse(question->filter, strlen(question->filter), &trouble);
    const char *unknown = filter ? rl_filter_each_field(filter, has_field, &scope) : NULL;
    if (unknown) {
        char known[1024];
        list_fields(&scope, known, sizeof known);
        http_reply_error(req_p, 400, "unknown_field", param, 0,
                         "\"%s\" names the field \"%s\", which no passage has. There are: %s.",
                         param, unknown, known);
    }
    rl_filter_destroy(&filter);
    return !unknown;
}
