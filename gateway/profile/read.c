// read: finds where each value ends by counting brackets outside strings; jansson does the rest.
#include "read.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"

typedef enum where {
    BETWEEN, // two values
    FIELD,   // at a line's start, in what may be an event's field: "data:", "event:"
    REST,    // of a line that is passed over
    INSIDE,  // a value
    STRING,  // inside a value
    ESCAPE,  // inside a string, behind a backslash
} where_t;

enum {
    FIELD_MAX = 5, // letters of the longest field's name, "event" or "retry"
};

struct reading {
    void (*take)(void *, const json_t *);
    void *arg;
    where_t where;
    bool line_start;
    unsigned deep;
    rl_buf_t value;
    char field[FIELD_MAX + 1];
    size_t field_size;
    size_t values, at, line; // at: byte of the stream
    size_t value_at, value_line;
    char error[400];
};

reading_t *reading_new(void (*take)(void *, const json_t *), void *arg)
{
    reading_t *self = rl_new(*self);
    self->take = take;
    self->arg = arg;
    self->line = 1;
    self->line_start = true;
    self->value = rl_buf_make(READ_MAX_VALUE);
    return self;
}

void reading_destroy(reading_t **self_p)
{
    if (!*self_p)
        return;
    rl_buf_free(&(*self_p)->value);
    free(*self_p);
    *self_p = NULL;
}

static int fail_reading(reading_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int fail_reading(reading_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(self->error, sizeof self->error, format, args);
    va_end(args);
    return -1;
}

static int not_json(reading_t *self)
{
    return fail_reading(
        self,
        "line %zu is not JSON; what is read is timelines: the answer of GET /v1/traces, or "
        "timings objects, one after the other",
        self->line);
}

static int end_value(reading_t *self)
{
    json_error_t error;
    json_t *value = json_loadb(self->value.data, self->value.size, 0, &error);
    if (!value)
        return fail_reading(self, "the value that begins in line %zu (byte %zu) is not JSON: %s",
                            self->value_line, self->value_at, error.text);
    self->values++;
    self->take(self->arg, value);
    json_decref(value);
    rl_buf_clear(&self->value);
    if (self->value.room > (1 << 20)) { // one large value does not hold its memory for good
        rl_buf_free(&self->value);
        self->value = rl_buf_make(READ_MAX_VALUE);
    }
    self->where = BETWEEN;
    return 0;
}

// A byte of a value; the end of the outermost bracket ends it.
static int read_inside(reading_t *self, char c)
{
    if (self->where == ESCAPE) {
        self->where = STRING;
    } else if (self->where == STRING) {
        self->where = c == '\\' ? ESCAPE : c == '"' ? INSIDE : STRING;
    } else if (c == '"') {
        self->where = STRING;
    } else if (c == '{' || c == '[') {
        self->deep++;
    } else if (c == '}' || c == ']') {
        return --self->deep == 0;
    }
    return 0;
}

static int read_between(reading_t *self, char c)
{
    bool start = self->line_start;
    self->line_start = c == '\n';
    if (strchr(" \t\r\n,", c) && c)
        return 0;
    if (c == '{' || c == '[') {
        self->where = INSIDE;
        self->deep = 1;
        self->value_at = self->at;
        self->value_line = self->line;
        rl_buf_add(&self->value, &c, 1);
        return 0;
    }
    if (start && c == ':') { // a comment of an event stream
        self->where = REST;
        return 0;
    }
    if (!start || c < 'a' || c > 'z')
        return not_json(self);
    self->where = FIELD;
    self->field[0] = c;
    self->field_size = 1;
    return 0;
}

static int read_field(reading_t *self, char c)
{
    static const char *const passed[] = {"event", "id", "retry"};
    if (c != ':') {
        if (self->field_size == FIELD_MAX || c < 'a' || c > 'z')
            return not_json(self);
        self->field[self->field_size++] = c;
        return 0;
    }
    self->field[self->field_size] = '\0';
    if (strcmp(self->field, "data") == 0) {
        self->where = BETWEEN;
        self->line_start = false;
        return 0;
    }
    for (size_t at = 0; at < sizeof passed / sizeof *passed; at++)
        if (strcmp(self->field, passed[at]) == 0) {
            self->where = REST;
            return 0;
        }
    return not_json(self);
}

static int take_byte(reading_t *self, char c)
{
    switch (self->where) {
    case BETWEEN:
        return read_between(self, c);
    case FIELD:
        return read_field(self, c);
    case REST:
        if (c == '\n') {
            self->where = BETWEEN;
            self->line_start = true;
        }
        return 0;
    default:
        break;
    }
    if (rl_buf_add(&self->value, &c, 1) != 0)
        return fail_reading(self, "the value that begins in line %zu is larger than %d MiB",
                            self->value_line, READ_MAX_VALUE >> 20);
    return read_inside(self, c) ? end_value(self) : 0;
}

int reading_feed(reading_t *self, const char *data, size_t size)
{
    if (*self->error)
        return -1;
    for (size_t at = 0; at < size; at++, self->at++) {
        if (take_byte(self, data[at]) != 0)
            return -1;
        self->line += data[at] == '\n';
    }
    return 0;
}

int reading_end(reading_t *self)
{
    if (*self->error)
        return -1;
    if (self->where >= INSIDE)
        return fail_reading(
            self,
            "it ends in the middle of the value that begins in line %zu (byte %zu), after "
            "%zu whole ones: was it cut off?",
            self->value_line, self->value_at, self->values);
    if (self->where == FIELD)
        return not_json(self);
    if (self->values == 0)
        return fail_reading(self, "there is no answer in it");
    return 0;
}

const char *reading_error(const reading_t *self)
{
    return self->error;
}
