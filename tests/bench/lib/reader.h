// reader: takes an HTTP response apart as it comes: status, then the body's events.
#ifndef BENCH_READER_H
#define BENCH_READER_H

#include <stdbool.h>
#include <stddef.h>

typedef enum reader_state {
    READER_HEAD,
    READER_BODY,
    READER_DONE,
    READER_BROKEN, // not HTTP as expected, or a line or an event above 4 MiB
} reader_state_t;

typedef struct reader {
    reader_state_t state;
    int status;  // HTTP status, 0 before it came
    bool events; // the body is an event stream
    bool chunked;
    size_t left;    // bytes to come of the chunk, or of the body
    bool size_next; // the next line is a chunk's size
    char *line;     // of the head, or a chunk's size; so far
    size_t line_size;
    char *body;                          // what is not yet handed out, with a NUL behind
    size_t body_size, body_room, looked; // looked: no event ends before
} reader_t;

// One event, without its blank line, or the whole body where it is no event stream; NUL-terminated.
typedef void(reader_fn)(void *arg, char *event, size_t size);

void reader_reset(reader_t *self); // for the next response
void reader_free(reader_t *self);

// Takes bytes; calls `fn` for each event that is complete. At the body's end the state is
// READER_DONE (the caller looks before it reads on).
void reader_take(reader_t *self, const char *data, size_t size, reader_fn *fn, void *arg);

#endif
