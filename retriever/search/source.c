// source: the table of sources, and the results they share.
#include "source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

const source_backend_t *const source_backends[] = {
    [SOURCE_DENSE] = &source_faiss, [SOURCE_LEXICAL] = &source_xapian};
const char *const source_kind_names[] = {[SOURCE_DENSE] = "dense", [SOURCE_LEXICAL] = "lexical"};

source_kind_t source_kind_named(const char *name)
{
    source_kind_t kind = 0;
    while (kind < SOURCE_KINDS && strcmp(source_kind_names[kind], name) != 0)
        kind++;
    return kind;
}

void result_clear(result_t *self)
{
    free(self->hits);
    free(self->memory);
    free(self->more_memory);
    *self = (result_t){0};
}

void result_fail(result_t *self, const char *code, bool retry, const char *format, ...)
{
    result_clear(self);
    self->code = code;
    self->retry = retry;
    va_list args;
    va_start(args, format);
    vsnprintf(self->message, sizeof self->message, format, args);
    va_end(args);
}

void result_fill(result_t *self, const store_t *store, uint64_t shard, const uint64_t *ids,
                 const double *scores, size_t size)
{
    char why[sizeof self->message];
    if (size == 0)
        return;
    self->hits = rl_alloc_array(size, sizeof *self->hits);
    if (store_passages(store, shard, ids, size, self->hits, &self->memory, why, sizeof why) != 0) {
        result_fail(self, "index_gone", true, "%s", why);
        return;
    }
    self->size = size;
    for (size_t at = 0; at < size; at++) {
        self->hits[at].score = scores[at];
        self->bytes += strlen(self->hits[at].text) + strlen(self->hits[at].meta);
    }
}

// The passages that are in both.
static selection_t *intersect_selections(const selection_t *one, const selection_t *other)
{
    selection_t *both = selection_new(one->count);
    size_t words = selection_words(both);
    for (size_t word = 0; word < words; word++)
        both->bits[word] = one->bits[word] & other->bits[word];
    selection_finish(both);
    return both;
}

bool result_select(result_t *self, const store_t *store, uint64_t shard, const query_t *query,
                   selection_t **selection)
{
    char why[sizeof self->message];
    const char *code = NULL;
    *selection = NULL;
    if (query->filter) {
        *selection = store_select(store, shard, query->filter, &code, why, sizeof why);
        if (!*selection) {
            result_fail(self, code, strcmp(code, "index_gone") == 0, "%s", why);
            return false;
        }
    }
    if (!query->selection)
        return true;
    selection_t *both =
        intersect_selections(*selection ? *selection : query->selection, query->selection);
    selection_unref(selection);
    *selection = both;
    return true;
}
