// names: strings given numbers, so that a hundred thousand answers name their workers in four
// bytes.
#ifndef NAMES_H
#define NAMES_H

#include <stddef.h>
#include <stdint.h>

typedef struct names names_t;

enum {
    NAMES_MAX = 65535, // different strings; whatever comes later is all called "others"
};

names_t *names_new(void);
void names_destroy(names_t **self_p);

// The number of a string of `size` bytes: from 0 upwards in the order they came.
uint32_t names_number(names_t *self, const char *text, size_t size);
// The string; owned by the names.
const char *names_text(const names_t *self, uint32_t number);
uint32_t names_size(const names_t *self);

#endif
