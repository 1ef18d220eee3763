// source: the table of sources, and what they share.
#include "source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const rl_source_backend_t *const backends[] = {&rl_source_faiss, &rl_source_xapian};

const rl_source_backend_t *rl_source_of(const char *kind)
{
    for (size_t at = 0; at < sizeof backends / sizeof *backends; at++)
        if (strcmp(backends[at]->kind, kind) == 0)
            return backends[at];
    return NULL;
}

void rl_result_clear(rl_result_t *self)
{
    free(self->hits);
    free(self->memory);
    free(self->more_memory);
    *self = (rl_result_t){0};
}

void rl_result_fail(rl_result_t *self, const char *code, bool retry, const char *format, ...)
{
    rl_result_clear(self);
    self->code = code;
    self->retry = retry;
    va_list args;
    va_start(args, format);
    vsnprintf(self->message, sizeof self->message, format, args);
    va_end(args);
}

void rl_result_fill(rl_result_t *self, const rl_store_t *store, uint64_t shard, const uint64_t *ids,
                    const double *scores, size_t size)
{
    char why[sizeof self->message];
    if (size == 0)
        return;
    self->hits = calloc(size, sizeof *self->hits);
    if (!self->hits) {
        rl_result_fail(self, "no_memory", true, "the retriever is out of memory");
        return;
    }
    if (rl_store_passages(store, shard, ids, size, self->hits, &self->memory, why, sizeof why) !=
        0) {
        rl_result_fail(self, "index_gone", true, "%s", why);
        return;
    }
    self->size = size;
    for (size_t at = 0; at < size; at++) {
        self->hits[at].score = scores[at];
        self->bytes += strlen(self->hits[at].text) + strlen(self->hits[at].meta);
    }
}

// What is in both.
static rl_selection_t *intersect(const rl_selection_t *one, const rl_selection_t *other)
{
    rl_selection_t *both = rl_selection_new(one->count);
    size_t words = both ? rl_selection_words(both) : 0;
    for (size_t word = 0; word < words; word++)
        both->bits[word] = one->bits[word] & other->bits[word];
    if (both && rl_selection_finish(both) != 0)
        rl_selection_unref(&both);
    return both;
}

bool rl_result_select(rl_result_t *self, const rl_store_t *store, uint64_t shard,
                      const rl_query_t *query, rl_selection_t **selection)
{
    char why[sizeof self->message];
    const char *code = NULL;
    *selection = NULL;
    if (query->filter) {
        *selection = rl_store_select(store, shard, query->filter, &code, why, sizeof why);
        if (!*selection) {
            rl_result_fail(self, code, strcmp(code, "index_gone") == 0, "%s", why);
            return false;
        }
    }
    if (!query->among)
        return true;
    rl_selection_t *both = intersect(*selection ? *selection : query->among, query->among);
    rl_selection_unref(selection);
    *selection = both;
    if (!both)
        rl_result_fail(self, "no_memory", true, "the retriever is out of memory");
    return both;
}
