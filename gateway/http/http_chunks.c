// http_chunks: the decoder of chunked bodies.
#include <ctype.h>

#include "http_parse.h"

// Extensions and trailers are passed over; nobody needs more of them than this.
enum {
    MAX_OVERHEAD = 8192
};

enum state {
    SIZE, // hexadecimal digits
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_LF,
    DONE,
};

static long fault_at(http_fault_t *fault, int status, const char *message)
{
    *fault = (http_fault_t){status, message};
    return -1;
}

static const char bad_size[] = "A chunk's size is not valid.";
static const char bad_end[] = "A chunk does not end where its size says.";

static long on_size(http_chunks_t *self, char c, http_fault_t *fault)
{
    if (isxdigit((unsigned char)c)) {
        if (++self->digits > 15)
            return fault_at(fault, 400, bad_size);
        int digit = isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
        self->left = self->left * 16 + (uint64_t)digit;
        return 0;
    }
    if (self->digits == 0 || (c != '\r' && c != ';' && c != ' ' && c != '\t'))
        return fault_at(fault, 400, bad_size);
    self->state = c == '\r' ? SIZE_LF : EXTENSION;
    return 0;
}

static long on_extension(http_chunks_t *self, char c, http_fault_t *fault)
{
    if (c == '\n' || ++self->overhead > MAX_OVERHEAD)
        return fault_at(fault, 400, "A chunk's extension is not valid or too long.");
    if (c == '\r')
        self->state = SIZE_LF;
    return 0;
}

static long on_size_lf(http_chunks_t *self, char c, http_fault_t *fault)
{
    if (c != '\n')
        return fault_at(fault, 400, bad_size);
    self->state = self->left > 0 ? DATA : TRAILER;
    self->line_empty = true;
    self->digits = 0;
    return 0;
}

static long on_trailer(http_chunks_t *self, char c, http_fault_t *fault)
{
    if (c == '\n' || ++self->overhead > MAX_OVERHEAD)
        return fault_at(fault, 400, "The trailers of the chunked body are not valid or too long.");
    if (c == '\r')
        self->state = TRAILER_LF;
    else
        self->line_empty = false;
    return 0;
}

static long on_trailer_lf(http_chunks_t *self, char c, http_fault_t *fault)
{
    if (c != '\n')
        return fault_at(fault, 400, "The trailers of the chunked body are not valid.");
    self->state = self->line_empty ? DONE : TRAILER;
    self->line_empty = true;
    return 0;
}

static long on_byte(http_chunks_t *self, char c, http_fault_t *fault)
{
    switch ((enum state)self->state) {
    case SIZE:
        return on_size(self, c, fault);
    case EXTENSION:
        return on_extension(self, c, fault);
    case SIZE_LF:
        return on_size_lf(self, c, fault);
    case DATA_CR:
        self->state = DATA_LF;
        return c == '\r' ? 0 : fault_at(fault, 400, bad_end);
    case DATA_LF:
        self->state = SIZE;
        return c == '\n' ? 0 : fault_at(fault, 400, bad_end);
    case TRAILER:
        return on_trailer(self, c, fault);
    case TRAILER_LF:
        return on_trailer_lf(self, c, fault);
    case DATA:
    case DONE:
        break;
    }
    return 0;
}

long http_chunks_feed(http_chunks_t *self, const char *data, size_t size, rl_buf_t *out, bool *done,
                      http_fault_t *fault)
{
    size_t at = 0;
    while (at < size && self->state != DONE) {
        if (self->state != DATA) {
            if (on_byte(self, data[at++], fault) != 0)
                return -1;
            continue;
        }
        size_t part = size - at < self->left ? size - at : (size_t)self->left;
        if (rl_buf_add(out, data + at, part) != 0)
            return fault_at(fault, 413, "The request's body is too large.");
        at += part;
        self->left -= part;
        if (self->left == 0)
            self->state = DATA_CR;
    }
    *done = self->state == DONE;
    return (long)at;
}
