// buf: a bounded byte buffer.
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

rl_buf_t rl_buf_make(size_t max)
{
    return (rl_buf_t){.max = max};
}

void rl_buf_free(rl_buf_t *self)
{
    free(self->data);
    *self = rl_buf_make(self->max);
}

void rl_buf_clear(rl_buf_t *self)
{
    self->size = 0;
    self->full = false;
    if (self->data)
        self->data[0] = '\0';
}

// Makes room for `more` bytes and a NUL behind them.
static int make_room(rl_buf_t *self, size_t more)
{
    if (self->full || more > self->max || self->size > self->max - more) {
        self->full = true;
        return -1;
    }
    size_t need = self->size + more + 1;
    if (need <= self->room)
        return 0;
    size_t room = self->room ? self->room : 64;
    while (room < need)
        room *= 2;
    char *data = realloc(self->data, room);
    if (!data) {
        self->full = true;
        return -1;
    }
    self->data = data;
    self->room = room;
    return 0;
}

int rl_buf_add(rl_buf_t *self, const void *data, size_t size)
{
    if (make_room(self, size) != 0)
        return -1;
    if (size > 0)
        memcpy(self->data + self->size, data, size);
    self->size += size;
    self->data[self->size] = '\0';
    return 0;
}

int rl_buf_adds(rl_buf_t *self, const char *text)
{
    return rl_buf_add(self, text, strlen(text));
}

int rl_buf_addf(rl_buf_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0 || make_room(self, (size_t)size) != 0) {
        self->full = true;
        return -1;
    }
    va_start(args, format);
    vsnprintf(self->data + self->size, (size_t)size + 1, format, args);
    va_end(args);
    self->size += (size_t)size;
    return 0;
}

// What a byte becomes inside a JSON string (RFC 8259, 7): NULL when it stands for itself. U+2028
// and U+2029 need no escape in JSON and are left alone.
static const char *json_escape(unsigned char c, char room[8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20 && c != 0x7f)
            return NULL;
        snprintf(room, 8, "\\u%04x", c);
        return room;
    }
}

int rl_buf_add_json(rl_buf_t *self, const char *text, size_t size)
{
    char room[8];
    size_t plain = 0; // start of the run of bytes that stand for themselves
    rl_buf_add(self, "\"", 1);
    for (size_t at = 0; at < size; at++) {
        const char *escape = json_escape((unsigned char)text[at], room);
        if (!escape)
            continue;
        rl_buf_add(self, text + plain, at - plain);
        rl_buf_adds(self, escape);
        plain = at + 1;
    }
    rl_buf_add(self, text + plain, size - plain);
    return rl_buf_add(self, "\"", 1);
}

void rl_buf_drop(rl_buf_t *self, size_t size)
{
    if (size >= self->size) {
        rl_buf_clear(self);
        return;
    }
    memmove(self->data, self->data + size, self->size - size + 1);
    self->size -= size;
}

char *rl_buf_take(rl_buf_t *self)
{
    char *data = self->data ? self->data : rl_alloc(1);
    self->data = NULL;
    *self = rl_buf_make(self->max);
    return data;
}
