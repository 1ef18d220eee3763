// json: reads JSON from outside with simdjson, for messages that come by the thousand: chunks of an
// LLM's stream, embeddings. Text that is no valid JSON (RFC 8259) in UTF-8 is refused as a whole:
// nesting over 1,024 deep and numbers that fit neither 64 bits nor a double (1e999) too. Of a key
// that stands twice in an object the first counts. Memory: about 14 bytes a byte of the text, of
// which a parser that is kept for the next text holds on to at most those of a megabyte.
//
// Why simdjson (3.0.1 of Debian 12; tests/bench/common/json.c measures it, here a µs on an EPYC):
//
//                                jansson   own scanner before   simdjson   yyjson 0.10
//     chunk of 249 bytes             3.4                 0.26       0.23          0.16
//     vector of 384, 8,394 bytes     146                 10.3        7.2          10.6
//
// yyjson is no package of Debian 12; what it would save is nothing against the 30 µs that a token
// costs on its way.
#ifndef RL_JSON_H
#define RL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rl_json_doc rl_json_doc_t;

// A value of a document, as long as that lives. Where there is none all functions below take it,
// and say no.
typedef struct rl_json {
    const void *document; // NULL: there is no value
    size_t at;
} rl_json_t;

// NULL if it is no JSON, or memory is short; then *why says what is wrong (static text).
rl_json_doc_t *rl_json_parse(const char *text, size_t size, const char **why);
void rl_json_free(rl_json_doc_t **doc_p);
rl_json_t rl_json_root(const rl_json_doc_t *doc); // of NULL: no value

bool rl_json_is_object(rl_json_t value);
bool rl_json_is_array(rl_json_t value);
bool rl_json_is_null(rl_json_t value);

// The member of an object; the item of an array (from 0) and their number.
rl_json_t rl_json_get(rl_json_t object, const char *key);
rl_json_t rl_json_at(rl_json_t array, size_t at);
size_t rl_json_size(rl_json_t array);

// A string, followed by a NUL (it may hold others); NULL if the value is none. `size` may be NULL.
const char *rl_json_string(rl_json_t value, size_t *size);
// A whole number of 64 bits, any number: false, and nothing written, if the value is none.
bool rl_json_integer(rl_json_t value, int64_t *out);
bool rl_json_number(rl_json_t value, double *out);
// The `size` items of an array as floats: false if one is no number, or too large for a float.
bool rl_json_floats(rl_json_t array, float *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
