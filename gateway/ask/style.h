// style: what the terminal (or the pipe) at the other end of a stream can show.
#ifndef STYLE_H
#define STYLE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct style {
    bool terminal; // a terminal that understands ANSI sequences; else plain lines
    bool colour;   // terminal, and NO_COLOR is not set (https://no-color.org)
    bool unicode;  // the locale's encoding is UTF-8
    int columns;   // of the terminal, 80 if unknown
    int rows;      // 24 if unknown
} style_t;

// Reads the stream, the locale and the environment; setlocale (LC_CTYPE, "") was called before.
style_t style_of(FILE *stream);

// The sequence that starts a look, or "" where colours are off. STYLE_OFF ends it.
typedef enum look {
    STYLE_OFF,
    STYLE_BOLD,
    STYLE_DIM,
    STYLE_BAD,
    STYLE_WARN,
    STYLE_WAIT,
    STYLE_SEARCH,
    STYLE_MERGE,
    STYLE_READ,
    STYLE_WRITE,
} look_t;
const char *style_on(const style_t *self, look_t look);

// A duration as people read it: "3.2 ms", "182 ms", "1.92 s". `out` has room for 32 bytes.
const char *style_duration(double ms, char out[32]);

#endif
