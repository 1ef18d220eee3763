// source_xapian: best matching texts of a shard by BM25, through text_index's handles.
#include "source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fail.h"
#include "mem.h"
#include "text_index.h"

enum {
    WARM_BYTES = 64, // of a question that warms: about ten words
    WARM_US = 200000,
};

typedef struct xapian_source {
    const store_t *store;
    uint64_t shard;
    size_t count;
    size_t threads;
    text_index_t *readers[]; // one for each thread
} xapian_source_t;

static bool suits_any(const manifest_t *manifest)
{
    (void)manifest;
    return true;
}

static void close_source(void *arg)
{
    xapian_source_t *self = arg;
    if (!self)
        return;
    for (size_t at = 0; at < self->threads; at++)
        text_index_destroy(&self->readers[at]);
    free(self);
}

static int open_readers(xapian_source_t *self, const char *language, const char *path, char *why,
                        size_t why_size)
{
    char inner[512];
    for (size_t at = 0; at < self->threads; at++) {
        self->readers[at] = text_index_new(path, language, inner, sizeof inner);
        if (!self->readers[at])
            return rl_fail(why, why_size, "%s: %s; build the index again (ragline-index)", path,
                           inner);
    }
    uint64_t count = text_index_count(self->readers[0]);
    if (count != self->count)
        return rl_fail(why, why_size,
                       "%s: has %" PRIu64 " passages, the manifest says %zu; build the index again "
                       "(ragline-index)",
                       path, count, self->count);
    return 0;
}

static void *open_source(const store_t *store, uint64_t shard, const source_options_t *options,
                         char *why, size_t why_size)
{
    const manifest_t *manifest = store_manifest(store);
    xapian_source_t *self = rl_alloc(sizeof *self + options->threads * sizeof *self->readers);
    char *path = store_path(store, shard, TEXT_FOLDER);
    self->store = store;
    self->shard = shard;
    self->count = manifest->shard_passages[shard];
    self->threads = options->threads;
    if (open_readers(self, manifest->language, path, why, why_size) != 0) {
        close_source(self);
        self = NULL;
    }
    free(path);
    return self;
}

static size_t batch_size(const void *arg)
{
    (void)arg;
    return 1; // nothing is shared between two searches
}

static void search_one(xapian_source_t *self, size_t thread, const query_t *query, result_t *result)
{
    uint64_t ids[RL_MAX_HITS];
    double scores[RL_MAX_HITS];
    char why[sizeof result->message];
    if (!query->text || !*query->text) {
        result_fail(result, "bad_request", false,
                    "a lexical search needs the question's text, and there is none");
        return;
    }
    double bound = 0;
    selection_t *selection = NULL;
    if (!result_select(result, self->store, self->shard, query, &selection))
        return;
    long found = text_index_search(self->readers[thread], query->text, query->k, selection, ids,
                                   scores, &bound, why, sizeof why);
    selection_unref(&selection);
    if (found < 0) {
        result_fail(result, "search_failed", true, "Xapian: %s", why);
        return;
    }
    result->bound = bound;
    result_fill(result, self->store, self->shard, ids, scores, (size_t)found);
}

static void search(void *arg, size_t thread, const query_t *queries, size_t size, result_t *results)
{
    for (size_t at = 0; at < size; at++)
        search_one(arg, thread, &queries[at], &results[at]);
}

static void look_up(void *arg, size_t thread, const char *const *terms, size_t size,
                    uint64_t *passages, double *length)
{
    xapian_source_t *self = arg;
    text_index_terms(self->readers[thread], terms, size, passages, length);
}

// A question of so many words' length out of a passage's text, ended at a character's end.
static void cut_to_question(const char *text, char question[WARM_BYTES])
{
    size_t size = strnlen(text, WARM_BYTES - 1);
    const char *blank = size == WARM_BYTES - 1 ? memrchr(text, ' ', size) : NULL;
    size = blank ? (size_t)(blank - text) : size;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    memcpy(question, text, size);
    question[size] = '\0';
}

// Asks for words of a few passages, from the first to the last, for a bounded time: the start waits
// for it.
static void warm_up(void *arg, size_t thread)
{
    xapian_source_t *self = arg;
    uint64_t began = rl_now_us();
    for (size_t query = 0; query < SOURCE_WARM && query < self->count; query++) {
        if (rl_now_us() - began > WARM_US)
            break;
        uint64_t id = 1 + query * (self->count - 1) / (SOURCE_WARM - 1);
        rl_passage_t passage;
        void *memory = NULL;
        char why[256];
        result_t result = {0};
        if (store_passages(self->store, self->shard, &id, 1, &passage, &memory, why, sizeof why) ==
            0) {
            char question[WARM_BYTES];
            cut_to_question(passage.text, question);
            search_one(self, thread, &(query_t){.text = question, .k = 10}, &result);
        }
        result_clear(&result);
        free(memory);
    }
}

const source_backend_t source_xapian = {
    .kind = SOURCE_LEXICAL,
    .suits = suits_any,
    .open = open_source,
    .batch = batch_size,
    .search = search,
    .terms = look_up,
    .warm = warm_up,
    .close = close_source,
};
