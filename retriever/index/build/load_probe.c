// load_probe: some of the loaded passages, to be searched for by their own words.
#include "load_probe.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "store.h"

enum {
    PROBES = 16,
    WORDS = 400, // bytes of a passage that are searched for
    NEAREST = 10 // it must be among so many
};

typedef struct probe {
    char *text;
    uint64_t hash;
} probe_t;

struct load_probe {
    probe_t probes[PROBES];
    unsigned size, at, missed; // probes[at - 1] is being searched for
    uint64_t stride, seen;
};

load_probe_t *load_probe_new(uint64_t passages)
{
    load_probe_t *self = rl_new(*self);
    self->stride = passages / PROBES + 1;
    return self;
}

void load_probe_destroy(load_probe_t **self_p)
{
    load_probe_t *self = *self_p;
    if (!self)
        return;
    for (unsigned at = 0; at < self->size; at++)
        free(self->probes[at].text);
    free(self);
    *self_p = NULL;
}

void load_probe_take(load_probe_t *self, const rl_passage_t *passage)
{
    if (self->seen++ % self->stride != 0 || self->size == PROBES)
        return;
    size_t size = strlen(passage->text), cut = size;
    if (size > WORDS)
        for (cut = WORDS; cut > 0 && passage->text[cut] != ' '; cut--)
            ;
    self->probes[self->size++] =
        (probe_t){rl_strndup(passage->text, cut), store_text_hash(passage->text, size)};
}

bool load_probe_next(load_probe_t *self, query_t *query)
{
    while (self->at < self->size) {
        *query = (query_t){.text = self->probes[self->at++].text, .k = NEAREST};
        if (*query->text)
            return true;
    }
    return false;
}

bool load_probe_is_in(const load_probe_t *self, const result_t *result)
{
    for (size_t at = 0; at < result->size; at++)
        if (result->hits[at].hash == self->probes[self->at - 1].hash)
            return true;
    return false;
}

void load_probe_miss(load_probe_t *self)
{
    self->missed++;
}

unsigned load_probe_asked(const load_probe_t *self)
{
    return self->at;
}

unsigned load_probe_missed(const load_probe_t *self)
{
    return self->missed;
}
