// snapshot_search: searches a generation and the changes since as one: the generation's hits
// without the deleted ones, and the passages added, in one order.
//
// The generation is asked for a few more than are wanted. Where too many of those are deleted, it
// is asked once more for the best of those that are not, so that the result is that of an index
// without them.
#include "snapshot_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "passages.h"

enum {
    SPARE = 8, // more hits than are wanted, and half of those
};

// ---- the version --------------------------------------------------------------------------------

static void write_version(const snapshot_t *self, uint64_t number,
                          char position[SNAPSHOT_MAX_VERSION])
{
    const char *generation = store_manifest(self->store)->generation;
    if (log_tailer_has_log(self->live))
        snprintf(position, SNAPSHOT_MAX_VERSION, "%s+%" PRIu64, generation, number);
    else
        snprintf(position, SNAPSHOT_MAX_VERSION, "%s", generation);
}

void snapshot_last_version(const snapshot_t *self, char position[SNAPSHOT_MAX_VERSION])
{
    write_version(self, log_tailer_number(self->live), position);
}

int snapshot_version(snapshot_t *self, char position[SNAPSHOT_MAX_VERSION], char *why,
                     size_t why_size)
{
    int rc = log_tailer_poll(self->live, why, why_size);
    snapshot_last_version(self, position);
    return rc;
}

field_types_t *snapshot_fields(const snapshot_t *self)
{
    return log_tailer_fields(self->live);
}

uint64_t snapshot_passages(const snapshot_t *self, uint64_t shard)
{
    uint64_t passages = store_manifest(self->store)->shard_passages[shard];
    delta_t *delta = log_tailer_delta(self->live, shard);
    if (!delta)
        return passages;
    delta_lock(delta);
    passages += delta_added(delta) - delta_dead(delta);
    delta_unlock(delta);
    return passages;
}

// ---- the generation's hits ----------------------------------------------------------------------

// A batch of queries, and the changes of its shard.
typedef struct search_batch {
    const snapshot_source_t *source;
    delta_t *delta;
    size_t thread, size;
    const query_t *queries;
    result_t *results;
    bool short_of[SOURCE_BATCH]; // hits, since too many of those found are deleted
    size_t asked[SOURCE_BATCH];
} search_batch_t;

static void search_all(search_batch_t *self)
{
    query_t queries[SOURCE_BATCH];
    delta_lock(self->delta);
    bool spare = delta_dead(self->delta) > 0;
    delta_unlock(self->delta);
    for (size_t at = 0; at < self->size; at++) {
        queries[at] = self->queries[at];
        size_t k = queries[at].k + (spare ? queries[at].k / 2 + SPARE : 0);
        queries[at].k = k < RL_MAX_HITS ? k : RL_MAX_HITS;
        self->asked[at] = queries[at].k;
    }
    self->source->backend->search(self->source->source, self->thread, queries, self->size,
                                  self->results);
}

static void uncount_hit(result_t *result, size_t at)
{
    result->bytes -= strlen(result->hits[at].text) + strlen(result->hits[at].meta);
}

// Leaves the deleted ones out, and what is more than was wanted. Locked.
static void leave_out_dead(search_batch_t *self, size_t number)
{
    result_t *result = &self->results[number];
    size_t kept = 0, found = result->size, k = self->queries[number].k;
    for (size_t at = 0; at < found; at++) {
        if (kept == k || delta_is_dead(self->delta, result->hits[at].id))
            uncount_hit(result, at);
        else
            result->hits[kept++] = result->hits[at];
    }
    result->size = kept;
    self->short_of[number] = !result->code && kept < k && found == self->asked[number];
}

// Searches again for the queries with too few hits, only among passages that are not deleted.
static void search_short(search_batch_t *self)
{
    query_t queries[SOURCE_BATCH];
    result_t results[SOURCE_BATCH];
    size_t from[SOURCE_BATCH], size = 0;
    delta_lock(self->delta);
    selection_t *alive = delta_alive(self->delta);
    delta_unlock(self->delta);
    memset(results, 0, sizeof results);
    for (size_t at = 0; at < self->size; at++) {
        if (!self->short_of[at])
            continue;
        queries[size] = self->queries[at];
        queries[size].selection = alive;
        from[size++] = at;
    }
    self->source->backend->search(self->source->source, self->thread, queries, size, results);
    for (size_t at = 0; at < size; at++) {
        result_clear(&self->results[from[at]]);
        self->results[from[at]] = results[at];
    }
    selection_unref(&alive);
}

// ---- the passages added -------------------------------------------------------------------------

static void count_terms(void *arg, const char *const *terms, size_t size, uint64_t *passages,
                        double *length)
{
    const search_batch_t *self = arg;
    const snapshot_source_t *source = self->source;
    source->backend->terms(source->source, self->thread, terms, size, passages, length);
}

// Scales the scores to those of the generation, by the highest that either can reach.
static void scale_scores(delta_found_t *found, size_t size, double bound, result_t *result)
{
    if (result->bound <= 0)
        result->bound = bound;
    for (size_t at = 0; at < size && bound > 0; at++)
        found[at].score *= result->bound / bound;
}

static size_t find_added(search_batch_t *self, size_t number, uint64_t count, delta_found_t *found)
{
    const query_t *query = &self->queries[number];
    double bound = 0;
    if (self->source->backend->kind == SOURCE_DENSE)
        return delta_nearest(self->delta, query->vector, query->k, query->filter, found);
    delta_base_t base = {count_terms, self, count};
    size_t size = delta_match(self->delta, self->thread, query->text, query->k, query->filter,
                              &base, found, &bound);
    if (size > 0)
        scale_scores(found, size, bound, &self->results[number]);
    return size;
}

// Merges the generation's hits and those added into the k best. Locked.
static void merge_added(search_batch_t *self, size_t number, const delta_found_t *found,
                        size_t size)
{
    result_t *result = &self->results[number];
    size_t k = self->queries[number].k, room = result->size + size < k ? result->size + size : k;
    size_t bytes = 1, own = 0, added = 0;
    for (size_t at = 0; at < size; at++)
        bytes += passage_bytes(delta_passage(self->delta, found[at].id));
    rl_passage_t *hits = rl_alloc_array(room + 1, sizeof *hits);
    char *strings = rl_alloc(bytes), *end = strings;
    for (size_t at = 0; at < room; at++) {
        bool next =
            own == result->size || (added < size && found[added].score > result->hits[own].score);
        if (!next) {
            hits[at] = result->hits[own++];
            continue;
        }
        // a copy, since it may be gone when the hits are sent
        hits[at] = passage_copy(delta_passage(self->delta, found[added].id), &end);
        hits[at].score = found[added++].score;
        result->bytes += strlen(hits[at].text) + strlen(hits[at].meta);
    }
    for (; own < result->size; own++)
        uncount_hit(result, own);
    free(result->hits);
    result->hits = hits;
    result->size = room;
    result->more_memory = strings;
}

static void add_changes(search_batch_t *self, size_t number, uint64_t count)
{
    delta_found_t found[RL_MAX_HITS];
    result_t *result = &self->results[number];
    if (result->code)
        return;
    size_t size = find_added(self, number, count, found);
    if (size > 0)
        merge_added(self, number, found, size);
}

// ---- one batch ----------------------------------------------------------------------------------

static void fail_all(result_t *results, size_t size, const char *why)
{
    for (size_t at = 0; at < size; at++)
        result_fail(&results[at], "index_gone", true, "%s", why);
}

void snapshot_search(snapshot_t *self, const snapshot_source_t *source, size_t thread,
                     const query_t *queries, size_t size, result_t *results,
                     char position[SNAPSHOT_MAX_VERSION])
{
    char why[512];
    if (snapshot_version(self, position, why, sizeof why) != 0) {
        fail_all(results, size, why);
        return;
    }
    search_batch_t searching = {.source = source,
                                .delta = log_tailer_delta(self->live, source->shard),
                                .thread = thread,
                                .size = size,
                                .queries = queries,
                                .results = results};
    bool again = false;
    search_all(&searching);
    delta_lock(searching.delta);
    for (size_t at = 0; at < size; at++) {
        leave_out_dead(&searching, at);
        again |= searching.short_of[at];
    }
    if (again) {
        delta_unlock(searching.delta);
        search_short(&searching);
        delta_lock(searching.delta);
        for (size_t at = 0; at < size; at++)
            if (searching.short_of[at])
                leave_out_dead(&searching, at);
    }
    uint64_t count = store_manifest(self->store)->shard_passages[source->shard];
    for (size_t at = 0; at < size; at++)
        add_changes(&searching, at, count);
    uint64_t number = delta_number(searching.delta);
    delta_unlock(searching.delta);
    if (number > 0)
        write_version(self, number, position);
}
