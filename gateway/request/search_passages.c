// search_passages: what the sources have found, in one order; what they have not, by name.
#include "search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "search_private.h"

size_t search_count(const request_t *self)
{
    return self->search->size;
}

const source_t *search_source(const request_t *self, size_t at)
{
    return &self->search->lookups[at].source;
}

size_t search_pending(const request_t *self)
{
    return self->search ? self->search->pending : 0;
}

// Another source of the same collection answered from a newer index generation.
bool search_is_stale(const request_t *self, const lookup_t *lookup)
{
    if (!lookup->hits)
        return false;
    for (size_t at = 0; at < self->search->size; at++) {
        const lookup_t *other = &self->search->lookups[at];
        if (other->hits && other->source.collection == lookup->source.collection &&
            registry_compare_generations(other->hits->hits.generation,
                                         lookup->hits->hits.generation) > 0)
            return true;
    }
    return false;
}

size_t search_answered(const request_t *self)
{
    size_t count = 0;
    for (size_t at = 0; at < self->search->size; at++)
        count += self->search->lookups[at].state == LOOKUP_ANSWERED;
    return count;
}

static bool answered_newest(const request_t *self, const lookup_t *lookup)
{
    return lookup->state == LOOKUP_ANSWERED && !search_is_stale(self, lookup);
}

size_t search_answered_newest(const request_t *self)
{
    size_t count = 0;
    for (size_t at = 0; at < self->search->size; at++)
        count += answered_newest(self, &self->search->lookups[at]);
    return count;
}

void search_list_others(const request_t *self, missing_source_t *missing, size_t *missing_size,
                        missing_source_t *awaited, size_t *awaited_size)
{
    *missing_size = *awaited_size = 0;
    for (size_t at = 0; at < self->search->size; at++) {
        const lookup_t *lookup = &self->search->lookups[at];
        const source_t *source = &lookup->source;
        bool gone = lookup->state == LOOKUP_MISSING;
        if (answered_newest(self, lookup))
            continue;
        missing_source_t *one = gone ? &missing[(*missing_size)++] : &awaited[(*awaited_size)++];
        snprintf(one->source, sizeof one->source, "%.64s/%llu/%s", source->collection,
                 (unsigned long long)source->shard, kind_names[source->kind]);
        snprintf(one->reason, sizeof one->reason, "%s", gone ? lookup->reason : "");
    }
}

// A question sees one generation of each collection: what came from an older one is left out, and
// named as missing.
static void leave_out_stale(request_t *self)
{
    search_t *search = self->search;
    for (size_t at = 0; at < search->size; at++) {
        lookup_t *lookup = &search->lookups[at];
        if (lookup->state == LOOKUP_ANSWERED && search_is_stale(self, lookup))
            search_miss(self, lookup, "it still serves an older index generation, %.32s",
                        lookup->hits->hits.generation);
    }
    for (size_t at = 0; at < search->size; at++)
        if (search->lookups[at].state == LOOKUP_MISSING)
            rl_msg_free(&search->lookups[at].hits);
}

void search_list_missing(request_t *self)
{
    answer_t *answer = &self->answer;
    size_t size = self->search->size, awaited;
    leave_out_stale(self);
    if (search_answered(self) < size) {
        self->missing = rl_alloc_array(size - search_answered(self), sizeof *self->missing);
        search_list_others(self, self->missing, &answer->missing_size, NULL, &awaited);
    }
    answer->missing = self->missing;
    answer->of = (unsigned)size;
    answer->answered = answer->of - (unsigned)answer->missing_size;
}

merged_passage_t *search_merge_now(const request_t *self, size_t *passages_size)
{
    const settings_t *settings = &self->pipeline->settings;
    const search_t *search = self->search;
    merge_input_t *inputs = rl_alloc_array(search->size, sizeof *inputs);
    merge_settings_t how = {.fusion = settings->fusion,
                            .candidates = search_candidates_wanted(self),
                            .k = search_passages_wanted(self)};
    size_t size = 0;
    for (int kind = 0; kind < KINDS; kind++)
        how.weights[kind] = self->question->weights[kind] >= 0 ? self->question->weights[kind]
                                                               : settings->weights[kind];
    for (size_t at = 0; at < search->size; at++) {
        const lookup_t *lookup = &search->lookups[at];
        if (lookup->hits && !search_is_stale(self, lookup))
            inputs[size++] = (merge_input_t){lookup->source.collection, lookup->source.shard,
                                             lookup->source.kind, &lookup->hits->hits};
    }
    merged_passage_t *passages = merge_inputs(inputs, size, &how, passages_size);
    free(inputs);
    return passages;
}

void search_merge(request_t *self, bool current)
{
    size_t size;
    merged_passage_t *passages = search_merge_now(self, &size);
    self->passage_set = passage_set_new(passages, size, self->answer.of);
    self->passage_set->sound = current && self->answer.missing_size == 0 && !self->search->lowered;
}

bool search_is_current(const request_t *self)
{
    for (size_t at = 0; at < self->search->size; at++) {
        const lookup_t *lookup = &self->search->lookups[at];
        if (lookup->state != LOOKUP_ANSWERED ||
            strcmp(lookup->hits->hits.generation,
                   registry_generation(self->pipeline->registry, &lookup->source)) != 0)
            return false;
    }
    return true;
}

bool search_is_lowered(const request_t *self)
{
    return self->search->lowered;
}
