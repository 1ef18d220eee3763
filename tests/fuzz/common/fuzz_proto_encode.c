// Arbitrary messages, as a process might come to make them from foreign bytes: each is encoded, and
// decodes to the same after repair, or is refused with a reason.
#include "proto_table.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCKS = 4096,
    LONGEST = 3 << 20,
};

// Where the values come from.
typedef struct source {
    const uint8_t *data;
    size_t size;
    void *blocks[BLOCKS];
    size_t used;
} source_t;

static uint8_t take_byte(source_t *self)
{
    if (self->size == 0)
        return 0;
    self->size--;
    return *self->data++;
}

static void *take_block(source_t *self, size_t size)
{
    if (self->used == BLOCKS)
        return NULL;
    void *block = calloc(1, size + 1);
    if (block)
        self->blocks[self->used++] = block;
    return block;
}

static void take_bytes(source_t *self, void *out, size_t size)
{
    for (size_t at = 0; at < size; at++)
        ((uint8_t *)out)[at] = take_byte(self);
}

// Of any bytes but NUL; now and then longer than its field may be, by the last bytes over again.
static char *take_text(source_t *self, size_t max)
{
    uint8_t kind = take_byte(self);
    size_t size = kind & 63, wanted = size;
    if (kind & 64)
        wanted = max - 8 + (kind & 15);
    if (wanted > LONGEST)
        wanted = size;
    char *text = take_block(self, wanted);
    if (!text)
        return NULL;
    take_bytes(self, text, size < wanted ? size : wanted);
    for (size_t at = 0; at < wanted; at++)
        if (at >= size || !text[at])
            text[at] = size ? text[at % size] : 'x';
    for (size_t at = 0; at < wanted; at++)
        text[at] = text[at] ? text[at] : '\xe9';
    return text;
}

static void fill_struct(source_t *self, const rl_proto_table_t *table, char *base, int depth);

static void fill_field(source_t *self, const rl_proto_field_t *field, char *base, int depth)
{
    void *at = base + field->offset;
    uint64_t count = 0;
    switch (field->type) {
    case RL_PROTO_U64:
        take_bytes(self, at, take_byte(self) & 1 ? 8 : 1);
        break;
    case RL_PROTO_F64:
        take_bytes(self, at, sizeof(double));
        break;
    case RL_PROTO_BOOL:
        *(bool *)at = take_byte(self) & 1;
        break;
    case RL_PROTO_STR:
        *(char **)at = take_text(self, field->max);
        break;
    case RL_PROTO_VECTOR:
        count = take_byte(self) == 255 ? field->max + 1 : take_byte(self) & 7;
        if ((*(void **)at = take_block(self, count * sizeof(float))))
            take_bytes(self, *(void **)at, (count < 8 ? count : 8) * sizeof(float));
        break;
    case RL_PROTO_LIST:
        count = take_byte(self) == 255 ? field->max + 1 : take_byte(self) & 7;
        if ((*(void **)at = take_block(self, count * field->of->stride)))
            for (uint64_t each = 0; each < count && each < 8 && depth < 3; each++)
                fill_struct(self, field->of, *(char **)at + each * field->of->stride, depth + 1);
        break;
    }
    if (field->type == RL_PROTO_VECTOR || field->type == RL_PROTO_LIST)
        *(uint64_t *)(base + field->count_offset) = *(void **)at ? count : 0;
}

static void fill_struct(source_t *self, const rl_proto_table_t *table, char *base, int depth)
{
    for (size_t at = 0; at < table->size; at++)
        if (take_byte(self) & 1)
            fill_field(self, &table->fields[at], base, depth);
}

static void check_message(const rl_msg_t *msg)
{
    char why[256] = "";
    const char *problem = NULL;
    rl_buf_t bytes = rl_buf_make(RL_MAX_FRAME), again = rl_buf_make(RL_MAX_FRAME);
    if (rl_msg_encode(msg, &bytes, why, sizeof why) != 0) {
        if (!*why || bytes.size != 0)
            abort(); // a refusal says why and leaves nothing behind
    } else {
        rl_msg_t *decoded;
        if (rl_msg_decode(bytes.data, bytes.size, &decoded, &problem) != bytes.size)
            abort(); // what we send, we accept
        if (rl_msg_encode(decoded, &again, why, sizeof why) != 0 || again.size != bytes.size ||
            memcmp(again.data, bytes.data, bytes.size) != 0)
            abort(); // and what was repaired is in order
        rl_msg_free(&decoded);
    }
    rl_buf_free(&bytes);
    rl_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source_t *source = calloc(1, sizeof *source);
    if (!source)
        return 0;
    source->data = data;
    source->size = size;
    rl_msg_t msg = {.type = (rl_msg_type_t)(1 + take_byte(source) % (RL_MSG_TYPES - 1))};
    fill_struct(source, &rl_messages[msg.type].table, (char *)&msg.announce, 0);
    check_message(&msg);
    while (source->used > 0)
        free(source->blocks[--source->used]);
    free(source);
    return 0;
}
