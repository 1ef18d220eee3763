// sse: a parser of text/event-stream bytes as they come.
#include "sse.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"

struct rl_sse {
    rl_sse_event_fn *fn;
    void *arg;
    size_t max;
    rl_buf_t line; // a line of which only a part has come
    rl_buf_t data; // data lines of the event so far, each with a \n after it
    char name[64]; // longer names are cut: no caller compares more
    uint8_t mark;  // bytes of a byte order mark seen at the start; 3 once the start is past
    bool after_cr; // the last byte was a \r: a \n now belongs to it
    bool stopped;  // the callback wants no more
    bool failed;   // an event was too large
};

static const char byte_order_mark[] = "\xEF\xBB\xBF";

rl_sse_t *rl_sse_new(size_t max_event, rl_sse_event_fn *fn, void *arg)
{
    rl_sse_t *self = rl_new(*self);
    self->fn = fn;
    self->arg = arg;
    self->max = max_event;
    // a line may be as long as an event, and its field name comes on top
    self->line = rl_buf_make(max_event + 64);
    self->data = rl_buf_make(max_event + 1);
    return self;
}

void rl_sse_destroy(rl_sse_t **self_p)
{
    rl_sse_t *self = *self_p;
    if (!self)
        return;
    rl_buf_free(&self->line);
    rl_buf_free(&self->data);
    free(self);
    *self_p = NULL;
}

// A blank line: the event is complete. Without data there is none (WHATWG HTML, 9.2.6).
static void deliver_event(rl_sse_t *self)
{
    if (self->data.size > 0) {
        self->data.data[--self->data.size] = '\0'; // the last line's \n
        const char *name = self->name[0] ? self->name : "message";
        if (!self->fn(self->arg, name, self->data.data, self->data.size))
            self->stopped = true;
    }
    rl_buf_clear(&self->data);
    self->name[0] = '\0';
}

static void set_name(rl_sse_t *self, const char *value, size_t size)
{
    if (size >= sizeof self->name)
        size = sizeof self->name - 1;
    memcpy(self->name, value, size);
    self->name[size] = '\0';
}

static void take_line(rl_sse_t *self, const char *line, size_t size)
{
    if (size == 0) {
        deliver_event(self);
        return;
    }
    const char *colon = memchr(line, ':', size);
    size_t field = colon ? (size_t)(colon - line) : size;
    const char *value = colon ? colon + 1 : line + size;
    size_t value_size = size - (size_t)(value - line);
    if (value_size > 0 && *value == ' ') {
        value++;
        value_size--;
    }
    if (field == 4 && memcmp(line, "data", 4) == 0) {
        if (rl_buf_add(&self->data, value, value_size) || rl_buf_add(&self->data, "\n", 1))
            self->failed = true;
    } else if (field == 5 && memcmp(line, "event", 5) == 0) {
        set_name(self, value, value_size);
    }
    // id and retry are of no use to a client that never reconnects; comments have field == 0
}

// Passes over a byte order mark at the very start, also one that comes in pieces. What began like
// one and is none belongs to the first line.
static size_t skip_mark(rl_sse_t *self, const char *data, size_t size)
{
    size_t at = 0;
    while (self->mark < 3 && at < size) {
        if (data[at] != byte_order_mark[self->mark]) {
            if (rl_buf_add(&self->line, byte_order_mark, self->mark))
                self->failed = true;
            self->mark = 3;
            break;
        }
        self->mark++;
        at++;
    }
    return at;
}

// The first line end of these bytes, or NULL.
static const char *line_end(const char *data, size_t size)
{
    const char *lf = memchr(data, '\n', size);
    const char *cr = memchr(data, '\r', lf ? (size_t)(lf - data) : size);
    return cr ? cr : lf;
}

int rl_sse_feed(rl_sse_t *self, const char *data, size_t size)
{
    size_t at = skip_mark(self, data, size);
    while (at < size && !self->stopped && !self->failed) {
        if (self->after_cr) {
            self->after_cr = false;
            if (data[at] == '\n') {
                at++;
                continue;
            }
        }
        const char *end = line_end(data + at, size - at);
        if (!end) {
            if (rl_buf_add(&self->line, data + at, size - at))
                self->failed = true;
            break;
        }
        size_t part = (size_t)(end - (data + at));
        if (self->line.size == 0) {
            take_line(self, data + at, part); // all of it is here: no copy
        } else if (rl_buf_add(&self->line, data + at, part)) {
            self->failed = true;
        } else {
            take_line(self, self->line.data, self->line.size);
            rl_buf_clear(&self->line);
        }
        at += part + 1;
        self->after_cr = *end == '\r';
    }
    return self->failed ? -1 : 0;
}

void rl_sse_end(rl_sse_t *self)
{
    if (self->stopped || self->failed)
        return;
    if (self->line.size > 0) {
        take_line(self, self->line.data, self->line.size);
        rl_buf_clear(&self->line);
    }
    if (!self->stopped && !self->failed)
        deliver_event(self);
}
