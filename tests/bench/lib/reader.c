// reader: HTTP/1.1 responses with a length or in chunks.
#include "reader.h"

#include <stdlib.h>
#include <string.h>

enum {
    LINE_BYTES = 4096,
    MAX_EVENT = 4 << 20
};

void reader_reset(reader_t *self)
{
    char *line = self->line, *body = self->body;
    size_t room = self->body_room;
    *self = (reader_t){.line = line, .body = body, .body_room = room};
}

void reader_free(reader_t *self)
{
    free(self->line);
    free(self->body);
    *self = (reader_t){0};
}

// Takes bytes up to a line's end. Returns whether the line is complete (in self->line).
static bool take_line(reader_t *self, const char **data, size_t *size)
{
    if (!self->line && !(self->line = malloc(LINE_BYTES)))
        abort();
    const char *end = memchr(*data, '\n', *size);
    size_t part = end ? (size_t)(end + 1 - *data) : *size;
    if (self->line_size + part >= LINE_BYTES) {
        self->state = READER_BROKEN;
        return false;
    }
    memcpy(self->line + self->line_size, *data, part);
    self->line_size += part;
    *data += part;
    *size -= part;
    if (!end)
        return false;
    while (self->line_size > 0 && strchr("\r\n", self->line[self->line_size - 1]))
        self->line_size--;
    self->line[self->line_size] = '\0';
    self->line_size = 0;
    return true;
}

static void take_head_line(reader_t *self)
{
    const char *line = self->line;
    if (self->status == 0) {
        if (*line == '\0')
            return; // the end of the chunked response before
        self->status = strncmp(line, "HTTP/1.1 ", 9) == 0 ? atoi(line + 9) : 0;
        if (self->status == 0)
            self->state = READER_BROKEN;
    } else if (strncasecmp(line, "content-length:", 15) == 0) {
        self->left = strtoul(line + 15, NULL, 10);
    } else if (strncasecmp(line, "transfer-encoding:", 18) == 0) {
        self->chunked = true;
    } else if (strncasecmp(line, "content-type:", 13) == 0) {
        self->events = strstr(line, "text/event-stream") != NULL;
    } else if (*line == '\0') {
        self->state = READER_BODY;
        if (!self->chunked && self->left == 0)
            self->state = READER_DONE;
    }
}

static void keep(reader_t *self, const char *data, size_t size)
{
    if (self->body_size + size + 1 > self->body_room) {
        self->body_room = 2 * (self->body_size + size + 1);
        self->body = realloc(self->body, self->body_room);
        if (!self->body)
            abort();
    }
    memcpy(self->body + self->body_size, data, size);
    self->body_size += size;
    self->body[self->body_size] = '\0';
    if (self->body_size > MAX_EVENT)
        self->state = READER_BROKEN;
}

static void hand_out(reader_t *self, reader_fn *fn, void *arg)
{
    size_t start = 0;
    while (self->events) {
        char *from = self->body + (self->looked > start ? self->looked - 1 : start);
        char *end = memmem(from, (size_t)(self->body + self->body_size - from), "\n\n", 2);
        if (!end)
            break;
        *end = '\0';
        fn(arg, self->body + start, (size_t)(end - self->body) - start);
        start = (size_t)(end - self->body) + 2;
        self->looked = start;
    }
    if (self->state == READER_DONE && !self->events) {
        fn(arg, self->body ? self->body : (char[]){""}, self->body_size);
        start = self->body_size;
    }
    if (start > 0)
        memmove(self->body, self->body + start, self->body_size - start);
    self->body_size -= start;
    self->looked = self->body_size;
}

// The line between two chunks: empty, or the next one's size.
static void take_chunk_line(reader_t *self)
{
    if (*self->line == '\0' && !self->size_next) {
        self->size_next = true; // the line end behind the chunk before
        return;
    }
    self->left = strtoul(self->line, NULL, 16);
    self->size_next = false;
    if (self->left == 0)
        self->state = READER_DONE;
}

void reader_take(reader_t *self, const char *data, size_t size, reader_fn *fn, void *arg)
{
    while (size > 0 && self->state == READER_HEAD)
        if (take_line(self, &data, &size)) {
            take_head_line(self);
            self->size_next = true;
        }
    while (size > 0 && self->state == READER_BODY) {
        if (self->left > 0) {
            size_t part = size < self->left ? size : self->left;
            keep(self, data, part);
            data += part;
            size -= part;
            self->left -= part;
            if (self->left == 0 && !self->chunked)
                self->state = READER_DONE;
        } else if (take_line(self, &data, &size)) {
            take_chunk_line(self);
        }
    }
    if (self->state == READER_BODY || self->state == READER_DONE)
        hand_out(self, fn, arg);
}
