// filter: a condition on passages' metadata, as a client writes it in JSON:
//
//   {"field": F, "eq": V}                  the field has this value
//   {"field": F, "in": [V, …]}             one of these values
//   {"field": F, "gte": V, "lt": V}        gt, gte, lt, lte: numbers, or strings in byte order
//   {"field": F, "prefix": S}              strings that begin so
//   {"field": F, "exists": true}           any value (false: none)
//   {"and": [C, …]}  {"or": [C, …]}  {"not": C}
//
// V is a string, a number or true or false; values of different types are never equal. A field with
// a list of values fulfils a condition if one of them does. A member of an object in the metadata
// is named "outer.inner". Without the field no condition but exists false is fulfilled.
//
// A filter that was read is in its canonical form: what says the same in another order (or twice)
// gives the same text, so that the text can be the key of a cache.
#ifndef RL_FILTER_H
#define RL_FILTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    RL_FILTER_MAX_DEPTH = 8,        // of and, or, not within each other
    RL_FILTER_MAX_CONDITIONS = 256, // that name a field
    RL_FILTER_MAX_VALUES = 1000,    // in all lists of "in" together
    RL_FILTER_MAX_FIELD = 128,      // bytes of a field's name
    RL_FILTER_MAX_STRING = 512,     // bytes of a value; longer ones are not indexed either
    RL_FILTER_MAX_TEXT = 64 << 10,  // bytes of the canonical text
};

typedef enum rl_filter_type {
    RL_FILTER_BOOLEAN,
    RL_FILTER_NUMBER,
    RL_FILTER_STRING,
    RL_FILTER_TYPES, // their number
} rl_filter_type_t;

typedef struct rl_filter_value {
    rl_filter_type_t type;
    double number; // 0 or 1 of a boolean; finite
    char *string;  // UTF-8 without NUL
    size_t size;
} rl_filter_value_t;

typedef enum rl_filter_op {
    RL_FILTER_AND, // of 2 or more parts
    RL_FILTER_OR,  // of 2 or more parts
    RL_FILTER_NOT, // of one part
    RL_FILTER_IN,  // one of the values, 1 or more; "eq" is this with one
    RL_FILTER_RANGE,
    RL_FILTER_PREFIX, // the one value, a string
    RL_FILTER_EXISTS,
} rl_filter_op_t;

typedef struct rl_filter rl_filter_t;

struct rl_filter {
    rl_filter_op_t op;
    char *field;
    rl_filter_t **parts;
    size_t parts_size;
    rl_filter_value_t *values; // of RANGE two: low and high
    size_t values_size;
    bool low, high;           // RANGE: whether there is such a bound
    bool low_open, high_open; // and whether the bound itself is outside
};

// What is wrong with a filter.
typedef struct rl_filter_error {
    char param[192];   // where: "filter.and[1].gte"
    char message[512]; // a sentence that names it
    bool unknown;      // a member that does not exist, rather than a wrong value
} rl_filter_error_t;

// Reads a filter that stands at `param`. NULL and `error` if it is none.
rl_filter_t *rl_filter_read(const json_t *json, const char *param, rl_filter_error_t *error);
// The same from text.
rl_filter_t *rl_filter_parse(const char *text, size_t size, rl_filter_error_t *error);
void rl_filter_destroy(rl_filter_t **self_p);

// The canonical JSON text; the caller frees it. Read again, it gives the same filter.
char *rl_filter_text(const rl_filter_t *self);

// Calls `fn` with the name of each condition's field until it returns false. Returns the name it
// stopped at, or NULL.
typedef bool(rl_filter_field_fn)(void *arg, const char *field);
const char *rl_filter_each_field(const rl_filter_t *self, rl_filter_field_fn *fn, void *arg);

#endif
