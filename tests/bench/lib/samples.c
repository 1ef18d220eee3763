// samples: an array that is sorted when it is asked.
#include "samples.h"

#include <stdlib.h>

void samples_add(samples_t *self, uint64_t us)
{
    uint32_t value = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    self->seen++;
    if (self->size == SAMPLES_MAX) {
        self->values[self->seen % SAMPLES_MAX] = value;
        return;
    }
    if (self->size == self->room) {
        self->room = self->room ? 2 * self->room : 256;
        self->values = realloc(self->values, self->room * sizeof *self->values);
        if (!self->values)
            abort();
    }
    self->values[self->size++] = value;
}

void samples_clear(samples_t *self)
{
    self->size = 0;
    self->seen = 0;
}

void samples_free(samples_t *self)
{
    free(self->values);
    *self = (samples_t){0};
}

static int compare(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static double at(const samples_t *self, double share)
{
    if (self->size == 0)
        return 0;
    size_t rank = (size_t)(share * (double)self->size);
    return self->values[rank < self->size ? rank : self->size - 1] / 1000.0;
}

static void sort(samples_t *self)
{
    if (self->size > 1)
        qsort(self->values, self->size, sizeof *self->values, compare);
}

double samples_ms(samples_t *self, double share)
{
    sort(self);
    return at(self, share);
}

void samples_json(samples_t *self, FILE *out)
{
    double sum = 0;
    sort(self);
    for (size_t i = 0; i < self->size; i++)
        sum += self->values[i] / 1000.0;
    fprintf(out,
            "{\"n\":%llu,\"min\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f,"
            "\"mean\":%.3f}",
            (unsigned long long)self->seen, at(self, 0), at(self, 0.5), at(self, 0.9),
            at(self, 0.99), at(self, 1), self->size ? sum / (double)self->size : 0);
}
