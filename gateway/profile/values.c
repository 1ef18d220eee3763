// values: grows by doubling; sorted when it is asked for an order.
#include "values.h"

#include <math.h>
#include <stdlib.h>

#include "mem.h"

void values_add(values_t *self, double value)
{
    if (self->size == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->data = rl_realloc(self->data, self->room, sizeof *self->data);
    }
    self->data[self->size++] = value;
}

void values_free(values_t *self)
{
    free(self->data);
    *self = (values_t){0};
}

static int by_value(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return a < b ? -1 : a > b;
}

double values_share(values_t *self, double share)
{
    if (self->size == 0)
        return 0;
    qsort(self->data, self->size, sizeof *self->data, by_value);
    double rank = ceil(share * (double)self->size);
    size_t at = rank < 1 ? 0 : (size_t)rank - 1;
    return self->data[at < self->size ? at : self->size - 1];
}

double values_mean(const values_t *self)
{
    double sum = 0;
    for (size_t at = 0; at < self->size; at++)
        sum += self->data[at];
    return self->size > 0 ? sum / (double)self->size : 0;
}
