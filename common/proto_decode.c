// proto_decode: bytes from a peer become a message, or are refused.
#include "proto_table.h"

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "utf8.h"

enum {
    SHORT = 512,      // bytes of a message, a token's mostly
    SHORT_ZONE = 960, // what it becomes fits, and malloc has blocks of this size at hand
};

// What a decoded message owns, freed in one go.
typedef struct block {
    struct block *next;
    size_t used, room;
    char bytes[] __attribute__((aligned(16)));
} block_t;

typedef struct owned_msg {
    rl_msg_t msg; // first: rl_msg_free gets this address back
    block_t *blocks;
} owned_msg_t;

// NULL if memory is short: a peer decides how much it is.
static void *alloc_owned(owned_msg_t *owner, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    block_t *block = owner->blocks;
    if (!block || block->room - block->used < size) {
        size_t room = size > 480 ? size : 480;
        block = malloc(sizeof *block + room);
        if (!block)
            return NULL;
        *block = (block_t){.next = owner->blocks, .room = room};
        owner->blocks = block;
    }
    void *at = block->bytes + block->used;
    block->used += size;
    return at;
}

void rl_msg_free(rl_msg_t **msg_p)
{
    owned_msg_t *owner = (owned_msg_t *)*msg_p;
    if (!owner)
        return;
    for (block_t *block = owner->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(owner);
    *msg_p = NULL;
}

rl_msg_t *rl_msg_move(rl_msg_t *msg)
{
    owned_msg_t *from = (owned_msg_t *)msg, *to = rl_new(*to);
    *to = *from;
    memset(from, 0, sizeof *from);
    from->msg.type = to->msg.type;
    return &to->msg;
}

static bool take_string(owned_msg_t *owner, const rl_proto_field_t *field,
                        const msgpack_object *value, char *base, const char **why)
{
    if (value->type != MSGPACK_OBJECT_STR) {
        *why = "a field that should be a string is not";
        return false;
    }
    if (value->via.str.size > field->max ||
        !rl_utf8_valid(value->via.str.ptr, value->via.str.size)) {
        *why = "a string is too long, or not UTF-8";
        return false;
    }
    char *text = alloc_owned(owner, value->via.str.size + 1);
    if (!text) {
        *why = "out of memory";
        return false;
    }
    memcpy(text, value->via.str.ptr, value->via.str.size);
    text[value->via.str.size] = '\0';
    *(const char **)(base + field->offset) = text;
    return true;
}

static bool take_vector(owned_msg_t *owner, const rl_proto_field_t *field,
                        const msgpack_object *value, char *base, const char **why)
{
    size_t count = value->type == MSGPACK_OBJECT_BIN ? value->via.bin.size / sizeof(float) : 0;
    if (count == 0 || value->via.bin.size % sizeof(float) != 0 || count > field->max) {
        *why = "a vector is not a row of float32, or too long";
        return false;
    }
    float *vector = alloc_owned(owner, count * sizeof(float));
    if (!vector) {
        *why = "out of memory";
        return false;
    }
    memcpy(vector, value->via.bin.ptr, count * sizeof(float));
    for (size_t at = 0; at < count; at++) {
        if (!isfinite(vector[at])) {
            *why = "a vector has a component that is no finite number";
            return false;
        }
    }
    *(const float **)(base + field->offset) = vector;
    *(uint64_t *)(base + field->count_offset) = count;
    return true;
}

static bool take_map(owned_msg_t *owner, const rl_proto_table_t *table, const msgpack_object *map,
                     char *base, const char **why);

static bool take_list(owned_msg_t *owner, const rl_proto_field_t *field,
                      const msgpack_object *value, char *base, const char **why)
{
    if (value->type != MSGPACK_OBJECT_ARRAY || value->via.array.size > field->max) {
        *why = "a list is not one, or too long";
        return false;
    }
    size_t count = value->via.array.size, stride = field->of->stride;
    if (count == 0)
        return true;
    char *items = alloc_owned(owner, count * stride);
    if (!items) {
        *why = "out of memory";
        return false;
    }
    for (size_t at = 0; at < count; at++)
        if (!take_map(owner, field->of, &value->via.array.ptr[at], items + at * stride, why))
            return false;
    *(void **)(base + field->offset) = items;
    *(uint64_t *)(base + field->count_offset) = count;
    return true;
}

static bool take_value(owned_msg_t *owner, const rl_proto_field_t *field,
                       const msgpack_object *value, char *base, const char **why)
{
    void *at = base + field->offset;
    switch (field->type) {
    case RL_PROTO_U64:
        *why = "a number is not a whole number from 0";
        if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            return false;
        *(uint64_t *)at = value->via.u64;
        return true;
    case RL_PROTO_F64:
        *why = "a number is not finite";
        if (value->type != MSGPACK_OBJECT_FLOAT64 && value->type != MSGPACK_OBJECT_FLOAT32)
            return false;
        *(double *)at = value->via.f64;
        return isfinite(value->via.f64);
    case RL_PROTO_BOOL:
        *why = "a flag is not true or false";
        if (value->type != MSGPACK_OBJECT_BOOLEAN)
            return false;
        *(bool *)at = value->via.boolean;
        return true;
    case RL_PROTO_STR:
        return take_string(owner, field, value, base, why);
    case RL_PROTO_VECTOR:
        return take_vector(owner, field, value, base, why);
    case RL_PROTO_LIST:
        return take_list(owner, field, value, base, why);
    }
    return false;
}

static const rl_proto_field_t *find_field(const rl_proto_table_t *table, const msgpack_object *key)
{
    if (key->type != MSGPACK_OBJECT_STR)
        return NULL;
    for (size_t at = 0; at < table->size; at++) {
        const rl_proto_field_t *field = &table->fields[at];
        size_t size = strlen(field->key); // a key of a peer's may be empty, or hold a NUL
        if (size == key->via.str.size && memcmp(field->key, key->via.str.ptr, size) == 0)
            return field;
    }
    return NULL;
}

// Fills the struct at `base`: zero and "" for what is not there, unknown keys passed over. Returns
// false, with the first reason, when some fields could not be read.
static bool take_map(owned_msg_t *owner, const rl_proto_table_t *table, const msgpack_object *map,
                     char *base, const char **why)
{
    memset(base, 0, table->stride);
    for (size_t at = 0; at < table->size; at++)
        if (table->fields[at].type == RL_PROTO_STR)
            *(const char **)(base + table->fields[at].offset) = "";
    if (map->type != MSGPACK_OBJECT_MAP) {
        *why = "not a map";
        return false;
    }
    bool whole = true;
    for (size_t at = 0; at < map->via.map.size; at++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[at];
        const rl_proto_field_t *field = find_field(table, &kv->key);
        const char *problem;
        if (!field || take_value(owner, field, &kv->val, base, &problem))
            continue;
        if (whole)
            *why = problem;
        whole = false;
    }
    return whole;
}

// Big-endian number of `width` bytes, or UINT64_MAX past the end.
static uint64_t read_count(const unsigned char *p, const unsigned char *end, int width)
{
    uint64_t count = 0;
    if (end - p < width)
        return UINT64_MAX;
    while (width-- > 0)
        count = count << 8 | *p++;
    return count;
}

// One value's head: how many bytes it takes (with its body, if it is no container) and how many
// values it contains; 0 when it runs past the end.
// https://github.com/msgpack/msgpack/blob/master/spec.md
static size_t head_size(const unsigned char *p, const unsigned char *end, uint64_t *contains)
{
    // by type byte from c0: nil, (never used), false, true; bin; ext; float; uint; int; fixext;
    // str; array; map. Bytes of the count that follows the type byte, and of the body where there
    // is none (of ext: of its type, too).
    static const signed char widths[32] = {0, -1, 0, 0, 1, 2, 4, 1, 2, 4, 0, 0, 0, 0, 0, 0,
                                           0, 0,  0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4};
    static const signed char bodies[32] = {0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 8, 1,
                                           2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17};
    unsigned char type = *p;
    *contains = 0;
    if (type < 0x80 || type >= 0xe0)
        return 1;
    if (type < 0x90) {
        *contains = (type & 15u) * 2;
        return 1;
    }
    if (type < 0xa0) {
        *contains = type & 15u;
        return 1;
    }
    if (type < 0xc0)
        return 1 + (type & 31u);
    int width = widths[type - 0xc0];
    if (width < 0)
        return 0;
    if (width == 0)
        return 1 + (size_t)bodies[type - 0xc0];
    uint64_t count = read_count(p + 1, end, width);
    if (count > RL_MAX_FRAME)
        return 0;
    if (type >= 0xdc) {
        *contains = type >= 0xde ? count * 2 : count;
        return 1 + (size_t)width;
    }
    return 1 + (size_t)width + (size_t)bodies[type - 0xc0] + count;
}

// The size of the first msgpack value of these bytes, 0 if it is not complete or lies about its
// counts. Looked at before msgpack-c allocates by those counts.
static size_t whole_size(const unsigned char *data, size_t size)
{
    const unsigned char *p = data, *end = data + size;
    uint64_t due = 1; // values still to come, each at least a byte
    while (due > 0) {
        uint64_t contains;
        if (p >= end || due > (uint64_t)(end - p))
            return 0;
        size_t head = head_size(p, end, &contains);
        if (head == 0 || head > (size_t)(end - p))
            return 0;
        p += head;
        due += contains;
        due--;
    }
    return (size_t)(p - data);
}

static uint64_t envelope_number(const msgpack_object *map, char key)
{
    for (size_t at = 0; at < map->via.map.size; at++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[at];
        if (kv->key.type == MSGPACK_OBJECT_STR && kv->key.via.str.size == 1 &&
            kv->key.via.str.ptr[0] == key && kv->val.type == MSGPACK_OBJECT_POSITIVE_INTEGER)
            return kv->val.via.u64;
    }
    return 0;
}

static rl_msg_t *take_message(const msgpack_object *map, const char **why)
{
    if (map->type != MSGPACK_OBJECT_MAP) {
        *why = "not a map";
        return NULL;
    }
    if (envelope_number(map, 'v') != RL_PROTO_VERSION) {
        *why = "another protocol version: run the same ragline everywhere";
        return NULL;
    }
    uint64_t type = envelope_number(map, 'm');
    if (type == 0 || type >= RL_MSG_TYPES) {
        *why = "unknown kind of message";
        return NULL;
    }
    owned_msg_t *owner = rl_new(*owner);
    rl_msg_t *msg = &owner->msg;
    msg->type = (rl_msg_type_t)type;
    if (!take_map(owner, &rl_messages[type].table, map, (char *)&msg->announce, why))
        msg->unreadable = *why;
    return msg;
}

size_t rl_msg_decode_readable(const void *data, size_t size, rl_msg_t **out, const char **why)
{
    *out = NULL;
    size_t whole = whole_size(data, size < RL_MAX_FRAME ? size : RL_MAX_FRAME);
    if (whole == 0) {
        *why = "not a complete msgpack value";
        return 0;
    }
    msgpack_zone zone;
    msgpack_object object;
    size_t offset = 0;
    if (!msgpack_zone_init(&zone, whole < SHORT ? SHORT_ZONE : MSGPACK_ZONE_CHUNK_SIZE)) {
        *why = "out of memory";
        return 0;
    }
    if (msgpack_unpack(data, whole, &offset, &zone, &object) == MSGPACK_UNPACK_SUCCESS)
        *out = take_message(&object, why);
    else
        *why = "malformed msgpack";
    msgpack_zone_destroy(&zone);
    return whole;
}

size_t rl_msg_decode(const void *data, size_t size, rl_msg_t **out, const char **why)
{
    size_t used = rl_msg_decode_readable(data, size, out, why);
    if (*out && (*out)->unreadable)
        rl_msg_free(out);
    return *out ? used : 0;
}
