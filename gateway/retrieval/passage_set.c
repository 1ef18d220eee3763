// passage_set: merged passages, with a count of references.
#include "passage_set.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "merge.h"

passage_set_t *passage_set_new(merged_passage_t *passages, size_t size, unsigned of)
{
    passage_set_t *self = rl_new(*self);
    *self = (passage_set_t){.references = 1, .passages = passages, .passages_size = size, .of = of};
    return self;
}

passage_set_t *passage_set_ref(passage_set_t *self)
{
    self->references++;
    return self;
}

void passage_set_unref(passage_set_t **self_p)
{
    passage_set_t *self = *self_p;
    *self_p = NULL;
    if (!self || --self->references > 0)
        return;
    merge_free(&self->passages);
    free(self->vector);
    free(self);
}

size_t passage_set_cost(const passage_set_t *self)
{
    size_t cost = sizeof *self + self->dimension * sizeof *self->vector + 256;
    for (size_t at = 0; at < self->passages_size; at++) {
        const rl_passage_t *passage = self->passages[at].passage;
        cost += sizeof self->passages[at] + sizeof *passage + strlen(passage->doc) +
                strlen(passage->title) + strlen(passage->heading) + strlen(passage->source) +
                strlen(passage->text) + strlen(passage->meta);
    }
    return cost;
}
