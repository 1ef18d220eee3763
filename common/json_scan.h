// json_scan: reads JSON in one pass, without building a tree of it: for the two kinds of message
// that come by the thousand and of which little is wanted (chunks of a stream, embeddings), where a
// tree was half of the work.
//
// Everything that is passed over is checked as what is taken: a document that is not valid JSON
// (RFC 8259) makes the scan `bad`; only whether strings that are passed over are UTF-8 is not.
// Nothing is owned and nothing allocated: what is handed out points into the text.
#ifndef RL_JSON_SCAN_H
#define RL_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rl_scan {
    const char *at, *end;
    bool bad;      // from now on every function returns false
    bool first;    // no comma is due: an object or array has just begun
    unsigned deep; // objects and arrays that are open
} rl_scan_t;

rl_scan_t rl_scan_make(const char *data, size_t size);

// The first byte of the next value ('{', '[', '"', 't', 'f', 'n', '-' or a digit), 0 at the end.
char rl_scan_peek(rl_scan_t *self);

// Goes into an object or array, which must come next.
bool rl_scan_enter_object(rl_scan_t *self);
bool rl_scan_enter_array(rl_scan_t *self);

// The next member's name as it stands between its quotes (escapes are not resolved); its value
// comes next. False when the object ends (and is left).
bool rl_scan_member(rl_scan_t *self, const char **name, size_t *size);
// Whether the array has another item, which comes next. False when it ends (and is left).
bool rl_scan_item(rl_scan_t *self);

// A string as it stands between its quotes.
bool rl_scan_string(rl_scan_t *self, const char **raw, size_t *size);
// Resolves the escapes of such a string into `out` (of at least `size` + 1 bytes; NUL-terminated).
// Returns the length, or -1 if an escape is half a character (or the character NUL).
long rl_scan_unescape(const char *raw, size_t size, char *out);

bool rl_scan_number(rl_scan_t *self, double *number);

// Passes over a value of any kind.
bool rl_scan_skip(rl_scan_t *self);

// Whether all was well and nothing but white space is left.
bool rl_scan_ends(rl_scan_t *self);

#endif
