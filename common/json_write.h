// json_write: JSON written into a buffer as it goes, with the commas that belong between members:
// for what is written too often to be made into a tree of values first.
//
// Whether a comma is needed is seen from the byte before. A name needs no escape; it is NULL for an
// item of an array or a value that stands alone.
#ifndef RL_JSON_WRITE_H
#define RL_JSON_WRITE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

// The comma, and the name with its colon; the value is to follow.
void rl_json_name(rl_buf_t *out, const char *name);
void rl_json_open(rl_buf_t *out, const char *name, char bracket); // '{' or '['
void rl_json_close(rl_buf_t *out, char bracket);                  // '}' or ']'

void rl_json_text(rl_buf_t *out, const char *name, const char *text); // valid UTF-8; NULL is ""
void rl_json_bytes(rl_buf_t *out, const char *name, const char *text, size_t size);
void rl_json_count(rl_buf_t *out, const char *name, uint64_t count);
void rl_json_flag(rl_buf_t *out, const char *name, bool flag);
// Microseconds as milliseconds with three decimals.
void rl_json_ms(rl_buf_t *out, const char *name, uint64_t us);
void rl_json_value(rl_buf_t *out, const char *name, const json_t *value); // NULL is null

// The bare numbers: no name, no comma.
void rl_json_add_count(rl_buf_t *out, uint64_t count);
void rl_json_add_ms(rl_buf_t *out, uint64_t us);

#endif
