// proto_table: how the table of messages is made; for the codec alone.
#ifndef RL_PROTO_TABLE_H
#define RL_PROTO_TABLE_H

#include "proto.h"

typedef enum field_type {
    U64,
    F64,
    BOOL,
    STR,
    VECTOR, // float32, little endian, as bytes
    LIST,   // of structs with a table of their own
} field_type_t;

typedef struct field field_t;

typedef struct table {
    const field_t *fields;
    size_t size;   // fields
    size_t stride; // sizeof the struct
} table_t;

struct field {
    const char *key;
    field_type_t type;
    size_t offset;       // in the struct
    size_t count_offset; // VECTOR, LIST: of their number
    size_t max;          // STR: bytes; VECTOR, LIST: elements
    const table_t *of;   // LIST
};

typedef struct message {
    const char *name;
    table_t table;
} message_t;

// Every message, by type.
extern const message_t rl_messages[RL_MSG_TYPES];

#endif
