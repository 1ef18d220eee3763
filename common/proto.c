// proto: the table of messages, and the codec that walks it.
#include "proto.h"

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

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

enum {
    NAME = 256,       // ids, names, words of the protocol
    ENDPOINT = 512,   // addresses
    TEXT = 256 << 10, // a passage, a question
    LONG = 1 << 20,   // a conversation's turn, JSON
};

#define NUMBER(s, f) {#f, U64, offsetof(s, f), 0, 0, NULL}
#define REAL(s, f) {#f, F64, offsetof(s, f), 0, 0, NULL}
#define FLAG(s, f) {#f, BOOL, offsetof(s, f), 0, 0, NULL}
#define STRING(s, f, m) {#f, STR, offsetof(s, f), 0, m, NULL}
#define FLOATS(s, f, m) {#f, VECTOR, offsetof(s, f), offsetof(s, f##_size), m, NULL}
#define LIST_OF(s, f, m, t) {#f, LIST, offsetof(s, f), offsetof(s, f##_size), m, t}
#define TABLE(t, s) {t, sizeof t / sizeof *t, sizeof(s)}

static const field_t passage_fields[] = {
    NUMBER(rl_passage_t, id),           STRING(rl_passage_t, doc, 1024),
    STRING(rl_passage_t, title, 4096),  STRING(rl_passage_t, heading, 4096),
    STRING(rl_passage_t, source, 4096), STRING(rl_passage_t, text, TEXT),
    NUMBER(rl_passage_t, start),        NUMBER(rl_passage_t, end),
    NUMBER(rl_passage_t, hash),         REAL(rl_passage_t, score),
    STRING(rl_passage_t, meta, TEXT),
};
static const table_t passage_table = TABLE(passage_fields, rl_passage_t);

static const field_t turn_fields[] = {
    STRING(rl_turn_t, role, NAME),
    STRING(rl_turn_t, content, LONG),
};
static const table_t turn_table = TABLE(turn_fields, rl_turn_t);

static const field_t announce_fields[] = {
    STRING(rl_announce_t, worker, NAME),     STRING(rl_announce_t, kind, NAME),
    NUMBER(rl_announce_t, route),            STRING(rl_announce_t, tasks, ENDPOINT),
    NUMBER(rl_announce_t, period_ms),        FLAG(rl_announce_t, ready),
    NUMBER(rl_announce_t, queued),           NUMBER(rl_announce_t, running),
    NUMBER(rl_announce_t, slots),            NUMBER(rl_announce_t, service_us),
    NUMBER(rl_announce_t, served),           STRING(rl_announce_t, collection, NAME),
    NUMBER(rl_announce_t, shard),            NUMBER(rl_announce_t, shards),
    STRING(rl_announce_t, generation, NAME), STRING(rl_announce_t, space, NAME),
    NUMBER(rl_announce_t, dimension),        NUMBER(rl_announce_t, passages),
    STRING(rl_announce_t, language, NAME),   STRING(rl_announce_t, model, NAME),
};

static const field_t leave_fields[] = {
    STRING(rl_leave_t, worker, NAME),
};

static const field_t welcome_fields[] = {
    STRING(rl_welcome_t, gateway, NAME),
    NUMBER(rl_welcome_t, route),
    STRING(rl_welcome_t, tokens, ENDPOINT),
};

static const field_t search_fields[] = {
    STRING(rl_search_t, gateway, NAME),
    NUMBER(rl_search_t, route),
    NUMBER(rl_search_t, task),
    STRING(rl_search_t, request, NAME),
    STRING(rl_search_t, text, TEXT),
    FLOATS(rl_search_t, vector, RL_MAX_DIMENSION),
    NUMBER(rl_search_t, k),
    NUMBER(rl_search_t, deadline_ms),
    STRING(rl_search_t, filter, TEXT),
};

static const field_t hits_fields[] = {
    STRING(rl_hits_t, worker, NAME),
    NUMBER(rl_hits_t, task),
    STRING(rl_hits_t, generation, NAME),
    NUMBER(rl_hits_t, queue_us),
    NUMBER(rl_hits_t, work_us),
    REAL(rl_hits_t, bound),
    LIST_OF(rl_hits_t, hits, RL_MAX_HITS, &passage_table),
};

static const field_t failed_fields[] = {
    STRING(rl_failed_t, worker, NAME),   NUMBER(rl_failed_t, task),
    NUMBER(rl_failed_t, seq),            NUMBER(rl_failed_t, status),
    STRING(rl_failed_t, code, NAME),     STRING(rl_failed_t, message, 8192),
    NUMBER(rl_failed_t, retry_after_s),  FLAG(rl_failed_t, retry),
};

static const field_t generate_fields[] = {
    STRING(rl_generate_t, gateway, NAME),
    NUMBER(rl_generate_t, route),
    NUMBER(rl_generate_t, task),
    STRING(rl_generate_t, request, NAME),
    STRING(rl_generate_t, traceparent, NAME),
    STRING(rl_generate_t, question, TEXT),
    LIST_OF(rl_generate_t, turns, RL_MAX_TURNS, &turn_table),
    LIST_OF(rl_generate_t, passages, RL_MAX_HITS, &passage_table),
    STRING(rl_generate_t, params, LONG),
    STRING(rl_generate_t, prefix, LONG),
    NUMBER(rl_generate_t, max_tokens),
    NUMBER(rl_generate_t, deadline_ms),
    NUMBER(rl_generate_t, window),
};

static const field_t credit_fields[] = {
    NUMBER(rl_credit_t, task),
    NUMBER(rl_credit_t, route),
    NUMBER(rl_credit_t, seq),
    NUMBER(rl_credit_t, window),
    FLAG(rl_credit_t, again),
};

static const field_t cancel_fields[] = {
    NUMBER(rl_cancel_t, task),
    NUMBER(rl_cancel_t, route),
};

static const field_t progress_fields[] = {
    NUMBER(rl_progress_t, task),
    NUMBER(rl_progress_t, seq),
    STRING(rl_progress_t, stage, NAME),
    STRING(rl_progress_t, data, TEXT),
};

static const field_t token_fields[] = {
    NUMBER(rl_token_t, task), NUMBER(rl_token_t, seq),      STRING(rl_token_t, text, TEXT),
    NUMBER(rl_token_t, cite), REAL(rl_token_t, cite_score),
};

static const field_t done_fields[] = {
    NUMBER(rl_done_t, task),          NUMBER(rl_done_t, seq),
    STRING(rl_done_t, finish, NAME),  STRING(rl_done_t, model, NAME),
    STRING(rl_done_t, upstream, NAME), NUMBER(rl_done_t, prompt_tokens),
    NUMBER(rl_done_t, completion_tokens), FLAG(rl_done_t, counted),
    NUMBER(rl_done_t, passages_used), STRING(rl_done_t, timings, TEXT),
};

// Every message, by type; the directions stand beside rl_msg_type_t.
static const struct {
    const char *name;
    table_t table;
} messages[RL_MSG_TYPES] = {
    [RL_ANNOUNCE] = {"announce", TABLE(announce_fields, rl_announce_t)},
    [RL_LEAVE] = {"leave", TABLE(leave_fields, rl_leave_t)},
    [RL_WELCOME] = {"welcome", TABLE(welcome_fields, rl_welcome_t)},
    [RL_SEARCH] = {"search", TABLE(search_fields, rl_search_t)},
    [RL_HITS] = {"hits", TABLE(hits_fields, rl_hits_t)},
    [RL_FAILED] = {"failed", TABLE(failed_fields, rl_failed_t)},
    [RL_GENERATE] = {"generate", TABLE(generate_fields, rl_generate_t)},
    [RL_CREDIT] = {"credit", TABLE(credit_fields, rl_credit_t)},
    [RL_CANCEL] = {"cancel", TABLE(cancel_fields, rl_cancel_t)},
    [RL_PROGRESS] = {"progress", TABLE(progress_fields, rl_progress_t)},
    [RL_TOKEN] = {"token", TABLE(token_fields, rl_token_t)},
    [RL_DONE] = {"done", TABLE(done_fields, rl_done_t)},
};

const char *rl_msg_name(rl_msg_type_t type)
{
    return type > 0 && type < RL_MSG_TYPES ? messages[type].name : "?";
}

// ---------------------------------------------------------------------------------------- encode

static int buf_write(void *data, const char *bytes, size_t size)
{
    return rl_buf_add(data, bytes, size);
}

static void pack_string(msgpack_packer *packer, const char *text, size_t size)
{
    msgpack_pack_str(packer, size);
    msgpack_pack_str_body(packer, text, size);
}

// A field that has its zero value is not sent: the decoder starts from zero.
static bool is_zero(const field_t *field, const char *base)
{
    const void *at = base + field->offset;
    switch (field->type) {
    case U64:
        return *(const uint64_t *)at == 0;
    case F64:
        return *(const double *)at == 0;
    case BOOL:
        return !*(const bool *)at;
    case STR:
        return !*(const char *const *)at || !**(const char *const *)at;
    case VECTOR:
    case LIST:
        return *(const uint64_t *)(base + field->count_offset) == 0;
    }
    return true;
}

static void pack_fields(msgpack_packer *packer, const table_t *table, const char *base);

static void pack_value(msgpack_packer *packer, const field_t *field, const char *base)
{
    const void *at = base + field->offset;
    uint64_t count;
    const char *text;
    switch (field->type) {
    case U64:
        msgpack_pack_uint64(packer, *(const uint64_t *)at);
        break;
    case F64:
        msgpack_pack_double(packer, *(const double *)at);
        break;
    case BOOL:
        msgpack_pack_true(packer);
        break;
    case STR:
        text = *(const char *const *)at;
        pack_string(packer, text, strlen(text));
        break;
    case VECTOR:
        count = *(const uint64_t *)(base + field->count_offset);
        msgpack_pack_bin(packer, count * sizeof(float));
        msgpack_pack_bin_body(packer, *(const void *const *)at, count * sizeof(float));
        break;
    case LIST:
        count = *(const uint64_t *)(base + field->count_offset);
        msgpack_pack_array(packer, count);
        for (uint64_t each = 0; each < count; each++)
            pack_fields(packer, field->of, *(const char *const *)at + each * field->of->stride);
        break;
    }
}

static size_t count_fields(const table_t *table, const char *base)
{
    size_t given = 0;
    for (size_t at = 0; at < table->size; at++)
        given += !is_zero(&table->fields[at], base);
    return given;
}

static void pack_given(msgpack_packer *packer, const table_t *table, const char *base)
{
    for (size_t at = 0; at < table->size; at++) {
        const field_t *field = &table->fields[at];
        if (is_zero(field, base))
            continue;
        pack_string(packer, field->key, strlen(field->key));
        pack_value(packer, field, base);
    }
}

static void pack_fields(msgpack_packer *packer, const table_t *table, const char *base)
{
    msgpack_pack_map(packer, count_fields(table, base));
    pack_given(packer, table, base);
}

int rl_msg_encode(const rl_msg_t *msg, rl_buf_t *out)
{
    size_t before = out->size;
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, buf_write);
    const table_t *table = &messages[msg->type].table;
    const char *base = (const char *)&msg->announce; // all members of the union start here
    msgpack_pack_map(&packer, count_fields(table, base) + 2);
    pack_string(&packer, "v", 1);
    msgpack_pack_uint64(&packer, RL_PROTO_VERSION);
    pack_string(&packer, "m", 1);
    msgpack_pack_uint64(&packer, msg->type);
    pack_given(&packer, table, base);
    return out->full || out->size - before > RL_MAX_FRAME ? -1 : 0;
}

// ---------------------------------------------------------------------------------------- decode

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

static void *own(owned_msg_t *owner, size_t size)
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

rl_msg_t *rl_msg_keep(rl_msg_t *msg)
{
    owned_msg_t *from = (owned_msg_t *)msg, *to = malloc(sizeof *to);
    if (!to)
        return NULL;
    *to = *from;
    memset(from, 0, sizeof *from);
    from->msg.type = to->msg.type;
    return &to->msg;
}

static bool take_string(owned_msg_t *owner, const field_t *field, const msgpack_object *value,
                        char *base, const char **why)
{
    if (value->type != MSGPACK_OBJECT_STR) {
        *why = "a field that should be a string is not";
        return false;
    }
    if (value->via.str.size > field->max || !rl_utf8_valid(value->via.str.ptr, value->via.str.size)) {
        *why = "a string is too long, or not UTF-8";
        return false;
    }
    char *text = own(owner, value->via.str.size + 1);
    if (!text) {
        *why = "out of memory";
        return false;
    }
    memcpy(text, value->via.str.ptr, value->via.str.size);
    text[value->via.str.size] = '\0';
    *(const char **)(base + field->offset) = text;
    return true;
}

static bool take_vector(owned_msg_t *owner, const field_t *field, const msgpack_object *value,
                        char *base, const char **why)
{
    size_t count = value->type == MSGPACK_OBJECT_BIN ? value->via.bin.size / sizeof(float) : 0;
    if (count == 0 || value->via.bin.size % sizeof(float) != 0 || count > field->max) {
        *why = "a vector is not a row of float32, or too long";
        return false;
    }
    float *vector = own(owner, count * sizeof(float));
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

static bool take_map(owned_msg_t *owner, const table_t *table, const msgpack_object *map, char *base,
                     const char **why);

static bool take_list(owned_msg_t *owner, const field_t *field, const msgpack_object *value,
                      char *base, const char **why)
{
    if (value->type != MSGPACK_OBJECT_ARRAY || value->via.array.size > field->max) {
        *why = "a list is not one, or too long";
        return false;
    }
    size_t count = value->via.array.size, stride = field->of->stride;
    if (count == 0)
        return true;
    char *items = own(owner, count * stride);
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

static bool take_value(owned_msg_t *owner, const field_t *field, const msgpack_object *value,
                       char *base, const char **why)
{
    void *at = base + field->offset;
    switch (field->type) {
    case U64:
        *why = "a number is not a whole number from 0";
        if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            return false;
        *(uint64_t *)at = value->via.u64;
        return true;
    case F64:
        *why = "a number is not finite";
        if (value->type != MSGPACK_OBJECT_FLOAT64 && value->type != MSGPACK_OBJECT_FLOAT32)
            return false;
        *(double *)at = value->via.f64;
        return isfinite(value->via.f64);
    case BOOL:
        *why = "a flag is not true or false";
        if (value->type != MSGPACK_OBJECT_BOOLEAN)
            return false;
        *(bool *)at = value->via.boolean;
        return true;
    case STR:
        return take_string(owner, field, value, base, why);
    case VECTOR:
        return take_vector(owner, field, value, base, why);
    case LIST:
        return take_list(owner, field, value, base, why);
    }
    return false;
}

static const field_t *find_field(const table_t *table, const msgpack_object *key)
{
    if (key->type != MSGPACK_OBJECT_STR)
        return NULL;
    for (size_t at = 0; at < table->size; at++) {
        const field_t *field = &table->fields[at];
        size_t size = strlen(field->key); // a key of a peer's may be empty, or hold a NUL
        if (size == key->via.str.size && memcmp(field->key, key->via.str.ptr, size) == 0)
            return field;
    }
    return NULL;
}

// Fills the struct at `base`: zero and "" for what is not there, unknown keys passed over.
static bool take_map(owned_msg_t *owner, const table_t *table, const msgpack_object *map, char *base,
                     const char **why)
{
    memset(base, 0, table->stride);
    for (size_t at = 0; at < table->size; at++)
        if (table->fields[at].type == STR)
            *(const char **)(base + table->fields[at].offset) = "";
    if (map->type != MSGPACK_OBJECT_MAP) {
        *why = "not a map";
        return false;
    }
    for (size_t at = 0; at < map->via.map.size; at++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[at];
        const field_t *field = find_field(table, &kv->key);
        if (field && !take_value(owner, field, &kv->val, base, why))
            return false;
    }
    return true;
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
// values it contains; 0 when it runs past the end. https://github.com/msgpack/msgpack/blob/master/spec.md
static size_t head_size(const unsigned char *p, const unsigned char *end, uint64_t *contains)
{
    static const struct {
        signed char width; // bytes of the count that follows the type byte, 0 if none
        signed char fixed; // bytes of the body, when there is no count
    } heads[32] = {
        // c0..c3 nil, (never used), false, true; c4..c6 bin; c7..c9 ext; ca cb float; cc..cf uint
        {0, 0}, {-1, 0}, {0, 0}, {0, 0}, {1, 0}, {2, 0}, {4, 0}, {1, 1}, {2, 1}, {4, 1}, {0, 4},
        {0, 8}, {0, 1},  {0, 2}, {0, 4}, {0, 8},
        // d0..d3 int; d4..d8 fixext; d9..db str; dc dd array; de df map
        {0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 2}, {0, 3}, {0, 5}, {0, 9}, {0, 17}, {1, 0}, {2, 0},
        {4, 0}, {2, 0}, {4, 0}, {2, 0}, {4, 0}};
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
    int width = heads[type - 0xc0].width;
    if (width < 0)
        return 0;
    if (width == 0)
        return 1 + (size_t)heads[type - 0xc0].fixed;
    uint64_t count = read_count(p + 1, end, width);
    if (count > RL_MAX_FRAME)
        return 0;
    if (type >= 0xdc) {
        *contains = type >= 0xde ? count * 2 : count;
        return 1 + (size_t)width;
    }
    return 1 + (size_t)width + (size_t)heads[type - 0xc0].fixed + count;
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
    owned_msg_t *owner = calloc(1, sizeof *owner);
    if (!owner) {
        *why = "out of memory";
        return NULL;
    }
    rl_msg_t *msg = &owner->msg;
    msg->type = (rl_msg_type_t)type;
    if (!take_map(owner, &messages[type].table, map, (char *)&msg->announce, why))
        rl_msg_free(&msg);
    return msg;
}

size_t rl_msg_decode(const void *data, size_t size, rl_msg_t **out, const char **why)
{
    *out = NULL;
    size_t whole = size > RL_MAX_FRAME ? 0 : whole_size(data, size);
    if (whole == 0) {
        *why = "not a complete msgpack value";
        return 0;
    }
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    if (msgpack_unpack_next(&unpacked, data, whole, &offset) == MSGPACK_UNPACK_SUCCESS)
        *out = take_message(&unpacked.data, why);
    else
        *why = "malformed msgpack";
    msgpack_unpacked_destroy(&unpacked);
    return *out ? whole : 0;
}
