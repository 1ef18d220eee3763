// proto_encode: a message becomes bytes that every decoder takes, or is refused with the reason.
#include "proto_table.h"

#include <math.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "utf8.h"

static const char left_out[] = "{\"left_out\":\"too long\"}", sign_of_cut[] = "…";

typedef struct encoder {
    msgpack_packer packer;
    const char *message; // its name
    bool refused;
    char *why;
    size_t why_size;
} encoder_t;

static int buf_write(void *data, const char *bytes, size_t size)
{
    return rl_buf_add(data, bytes, size);
}

static void __attribute__((format(printf, 2, 3)))
refuse_message(encoder_t *self, const char *format, ...)
{
    if (self->refused)
        return; // the first reason
    self->refused = true;
    va_list args;
    va_start(args, format);
    vsnprintf(self->why, self->why_size, format, args);
    va_end(args);
}

static void pack_string(encoder_t *self, const char *text, size_t size)
{
    msgpack_pack_str(&self->packer, size);
    msgpack_pack_str_body(&self->packer, text, size);
}

// `text` is valid UTF-8, longer than its field may be.
static void pack_too_long(encoder_t *self, const rl_proto_field_t *field, const char *text)
{
    if (field->too_long == RL_PROTO_REFUSE) {
        refuse_message(self, "%s.%s is longer than %zu bytes", self->message, field->key,
                       field->max);
    } else if (field->too_long == RL_PROTO_LEAVE_OUT) {
        pack_string(self, left_out, sizeof left_out - 1);
    } else {
        size_t kept = rl_utf8_whole(text, field->max - (sizeof sign_of_cut - 1));
        msgpack_pack_str(&self->packer, kept + sizeof sign_of_cut - 1);
        msgpack_pack_str_body(&self->packer, text, kept);
        msgpack_pack_str_body(&self->packer, sign_of_cut, sizeof sign_of_cut - 1);
    }
}

static void pack_text(encoder_t *self, const rl_proto_field_t *field, const char *text)
{
    size_t size = strlen(text);
    char *repaired = rl_utf8_valid(text, size) ? NULL : rl_must(rl_utf8_repair(text, size, &size));
    if (size <= field->max)
        pack_string(self, repaired ? repaired : text, size);
    else
        pack_too_long(self, field, repaired ? repaired : text);
    free(repaired);
}

// A field that has its zero value is not sent: the decoder starts from zero. Neither is a number
// that is none.
static bool is_zero(const rl_proto_field_t *field, const char *base)
{
    const void *at = base + field->offset;
    switch (field->type) {
    case RL_PROTO_U64:
        return *(const uint64_t *)at == 0;
    case RL_PROTO_F64:
        return *(const double *)at == 0 || !isfinite(*(const double *)at);
    case RL_PROTO_BOOL:
        return !*(const bool *)at;
    case RL_PROTO_STR:
        return !*(const char *const *)at || !**(const char *const *)at;
    case RL_PROTO_VECTOR:
    case RL_PROTO_LIST:
        return *(const uint64_t *)(base + field->count_offset) == 0;
    }
    return true;
}

static void pack_vector(encoder_t *self, const rl_proto_field_t *field, const float *vector,
                        uint64_t count)
{
    if (count > field->max) {
        refuse_message(self, "%s.%s has more than %zu components", self->message, field->key,
                       field->max);
        return;
    }
    for (uint64_t at = 0; at < count; at++) {
        if (!isfinite(vector[at])) {
            refuse_message(self, "%s.%s has a component that is no finite number", self->message,
                           field->key);
            return;
        }
    }
    msgpack_pack_bin(&self->packer, count * sizeof(float));
    msgpack_pack_bin_body(&self->packer, vector, count * sizeof(float));
}

static void pack_fields(encoder_t *self, const rl_proto_table_t *table, const char *base);

static void pack_list(encoder_t *self, const rl_proto_field_t *field, const char *items,
                      uint64_t count)
{
    if (count > field->max) {
        refuse_message(self, "%s.%s has more than %zu entries", self->message, field->key,
                       field->max);
        return;
    }
    const rl_buf_t *out = self->packer.data;
    msgpack_pack_array(&self->packer, count);
    for (uint64_t each = 0; each < count && !out->full && !self->refused; each++)
        pack_fields(self, field->of, items + each * field->of->stride);
}

static void pack_value(encoder_t *self, const rl_proto_field_t *field, const char *base)
{
    const void *at = base + field->offset;
    switch (field->type) {
    case RL_PROTO_U64:
        msgpack_pack_uint64(&self->packer, *(const uint64_t *)at);
        break;
    case RL_PROTO_F64:
        msgpack_pack_double(&self->packer, *(const double *)at);
        break;
    case RL_PROTO_BOOL:
        msgpack_pack_true(&self->packer);
        break;
    case RL_PROTO_STR:
        pack_text(self, field, *(const char *const *)at);
        break;
    case RL_PROTO_VECTOR:
        pack_vector(self, field, *(const float *const *)at,
                    *(const uint64_t *)(base + field->count_offset));
        break;
    case RL_PROTO_LIST:
        pack_list(self, field, *(const char *const *)at,
                  *(const uint64_t *)(base + field->count_offset));
        break;
    }
}

static size_t count_fields(const rl_proto_table_t *table, const char *base)
{
    size_t given = 0;
    for (size_t at = 0; at < table->size; at++)
        given += !is_zero(&table->fields[at], base);
    return given;
}

static void pack_given(encoder_t *self, const rl_proto_table_t *table, const char *base)
{
    for (size_t at = 0; at < table->size; at++) {
        const rl_proto_field_t *field = &table->fields[at];
        if (is_zero(field, base))
            continue;
        pack_string(self, field->key, strlen(field->key));
        pack_value(self, field, base);
    }
}

static void pack_fields(encoder_t *self, const rl_proto_table_t *table, const char *base)
{
    msgpack_pack_map(&self->packer, count_fields(table, base));
    pack_given(self, table, base);
}

int rl_msg_encode(const rl_msg_t *msg, rl_buf_t *out, char *why, size_t why_size)
{
    size_t before = out->size;
    const rl_proto_table_t *table = &rl_messages[msg->type].table;
    const char *base = (const char *)&msg->announce; // all members of the union start here
    encoder_t self = {.message = rl_messages[msg->type].name, .why = why, .why_size = why_size};
    msgpack_packer_init(&self.packer, out, buf_write);
    msgpack_pack_map(&self.packer, count_fields(table, base) + 2);
    pack_string(&self, "v", 1);
    msgpack_pack_uint64(&self.packer, RL_PROTO_VERSION);
    pack_string(&self, "m", 1);
    msgpack_pack_uint64(&self.packer, msg->type);
    pack_given(&self, table, base);
    bool too_large = out->full || out->size - before > RL_MAX_FRAME;
    if (!self.refused && !too_large)
        return 0;
    if (!self.refused)
        snprintf(why, why_size, "%s is larger than a message may be (%d bytes)", self.message,
                 RL_MAX_FRAME);
    out->size = before; // what was there before still holds
    out->full = false;
    if (out->data)
        out->data[before] = '\0';
    return self.refused ? RL_MSG_REFUSED : RL_MSG_TOO_LARGE;
}
