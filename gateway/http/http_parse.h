// http_parse: the bytes of an HTTP/1.x request (RFC 9112), read strictly: what two readers could
// understand in two ways is refused, so that a proxy in front never sees another end of a
// request than this server. Knows no sockets.
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

enum {
    HTTP_MAX_FIELDS = 100
}; // header lines of one request

typedef struct http_field {
    const char *name, *value; // as sent; white space around the value removed
} http_field_t;

// The head of one request. Strings point into the bytes it was parsed from.
typedef struct http_head {
    const char *method;
    const char *path;     // %XX decoded, valid UTF-8, starts with "/" (or is "*")
    const char *query;    // as sent, escapes checked, without the "?"; "" if there is none
    const char *host;     // of Host or of an absolute target, with its port; "" if none was sent
    int minor;            // HTTP/1.minor: 0 or 1
    http_field_t *fields; // malloc'd; http_head_clear frees it
    size_t fields_size;
    bool chunked;    // the body comes in chunks
    uint64_t length; // of the body, where it does not
    bool keep_alive; // the client would like to send more requests
    bool expects_continue;
} http_head_t;

// What is wrong with a request.
typedef struct http_fault {
    int status;          // HTTP status that says so
    const char *message; // for people
} http_fault_t;

// Looks for the end of a head in these bytes; *scanned (0 at first) remembers how far it has
// looked. Returns the head's size with its blank line, 0 if more bytes are needed, or -1 and a
// fault when the bytes cannot be a request.
long http_head_end(const char *data, size_t size, size_t *scanned, http_fault_t *fault);

// Parses a complete head in place (the bytes are changed; they must outlive the head). Returns 0,
// or -1 and a fault; the head must be cleared in either case.
int http_head_parse(char *data, size_t size, http_head_t *head, http_fault_t *fault);
void http_head_clear(http_head_t *head);

// A header's value; NULL if it was not sent; the first if it was sent several times.
const char *http_head_field(const http_head_t *head, const char *name);

// Whether a comma-separated header value holds this word (case does not matter).
bool http_value_has(const char *value, const char *word);

// Decodes %XX (and, in a query, "+" as a space) in place. Returns 0, or -1 on a bad escape, a NUL
// or bytes that are no UTF-8.
int http_unescape(char *text, bool plus);

// The decoder of chunked bodies (RFC 9112, 7.1).
typedef struct http_chunks {
    int state;
    uint64_t left;   // bytes of the chunk still to come
    unsigned digits; // of the size line so far
    size_t overhead; // bytes of extensions and trailers so far
    bool line_empty; // trailer line without a character yet
} http_chunks_t;

// Takes bytes as they come and adds the body's to `out`. Returns how many it took; *done tells the
// end of the body. Returns -1 and a fault on anything wrong, also when `out` is full (413).
long http_chunks_feed(http_chunks_t *self, const char *data, size_t size, rl_buf_t *out, bool *done,
                      http_fault_t *fault);

#endif
