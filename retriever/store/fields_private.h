// fields_private: the layout of fields.bin, for those who write and read it.
#ifndef FIELDS_PRIVATE_H
#define FIELDS_PRIVATE_H

#include "fields.h"
#include "filter.h"

enum {
    FIELDS_TEXT = RL_FILTER_TYPES, // the type behind those of filters: values that only exist
    FIELDS_TYPES,                  // their number
    FIELDS_BLOCK = 16384,          // ids read or written at a time
};

// "boolean", "number", "string", "text".
extern const char *const fields_types[FIELDS_TYPES];
extern const char fields_magic[8];

typedef struct fields_head {
    char magic[8];
    uint64_t passages, ids, values, strings, columns, left_out;
} fields_head_t;

typedef struct fields_value {
    uint64_t first; // place of its first id
    uint64_t what;  // bits of a double, or place of the string
} fields_value_t;

_Static_assert(sizeof(fields_head_t) == 56 && sizeof(fields_value_t) == 16, "the file's layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian, as written");

#endif
