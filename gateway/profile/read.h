// read: JSON values out of a stream of bytes: lines, a pretty-printed document, or server-sent
// events saved by a client (`data:` lines; other fields are passed over).
#ifndef READ_H
#define READ_H

#include <jansson.h>
#include <stddef.h>

enum {
    READ_MAX_VALUE = 64 << 20, // bytes of one JSON value
};

typedef struct reading reading_t;

// `take` gets every JSON object or array, which belongs to the reading.
reading_t *reading_new(void (*take)(void *arg, const json_t *value), void *arg);
void reading_destroy(reading_t **self_p);

// Returns 0, or -1 when the bytes are not what they should be; then reading_error says why.
int reading_feed(reading_t *self, const char *data, size_t size);
// There is no more: whether the last value is whole.
int reading_end(reading_t *self);

// In words, with the place; "" if all is well.
const char *reading_error(const reading_t *self);

#endif
