// proto_table: how the table of messages is made; for the codec alone.
#ifndef RL_PROTO_TABLE_H
#define RL_PROTO_TABLE_H

#include "proto.h"

typedef enum rl_proto_type {
    RL_PROTO_U64,
    RL_PROTO_F64,
    RL_PROTO_BOOL,
    RL_PROTO_STR,
    RL_PROTO_VECTOR, // float32, little endian, as bytes
    RL_PROTO_LIST,   // of structs with a table of their own
} rl_proto_type_t;

// What the encoder does with a string that is longer than its field's bound. One that is not valid
// UTF-8 is made so in any case: the decoder takes whatever the encoder lets through.
typedef enum rl_proto_long {
    RL_PROTO_REFUSE,   // what a part of would mean something else: ids, answers, parameters
    RL_PROTO_CUT,      // text for people: at a character, with "…" at its end
    RL_PROTO_LEAVE_OUT // a JSON object: another one stands in for it, which says so
} rl_proto_long_t;

typedef struct rl_proto_field rl_proto_field_t;

typedef struct rl_proto_table {
    const rl_proto_field_t *fields;
    size_t size;   // fields
    size_t stride; // sizeof the struct
} rl_proto_table_t;

struct rl_proto_field {
    const char *key;
    rl_proto_type_t type;
    size_t offset;              // in the struct
    size_t count_offset;        // RL_PROTO_VECTOR, RL_PROTO_LIST: of their number
    size_t max;                 // RL_PROTO_STR: bytes; RL_PROTO_VECTOR, RL_PROTO_LIST: elements
    const rl_proto_table_t *of; // RL_PROTO_LIST
    rl_proto_long_t too_long;   // RL_PROTO_STR
};

typedef struct rl_proto_message {
    const char *name;
    rl_proto_table_t table;
} rl_proto_message_t;

// Every message, by type.
extern const rl_proto_message_t rl_messages[RL_MSG_TYPES];

#endif
