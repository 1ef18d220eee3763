// values: a list of measured values and its order statistics.
#ifndef VALUES_H
#define VALUES_H

#include <stddef.h>

typedef struct values {
    double *data;
    size_t size, room;
} values_t;

void values_add(values_t *self, double value);
void values_free(values_t *self);

// The share-th value in order (0.5: the median), nearest rank; 0 without values. Sorts them.
double values_share(values_t *self, double share);
double values_mean(const values_t *self);

#endif
