// sanitize: text that came from outside, made harmless for a terminal: no escape sequences, no
// control characters, nothing that turns the direction of what follows (CVE-2021-42574).
#ifndef RL_SANITIZE_H
#define RL_SANITIZE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

// Whether a terminal could take this code point as a command or as a change of direction.
// \n and \t are among them.
bool rl_sanitize_is_harmful(uint32_t point);

// Columns of a code point on a terminal: 0, 1 or 2.
int rl_sanitize_width(uint32_t point);

// Appends `text` with every harmful code point as U+FFFD, and white space of any kind as one space.
// At most `columns` columns (0: no limit); what is cut ends with "…".
void rl_sanitize_line(rl_buf_t *out, const char *text, size_t columns);

// Columns of a clean line.
size_t rl_sanitize_columns(const char *text);

// Makes JSON harmless and keeps its meaning: DEL, C1 controls and changes of direction, which JSON
// allows in strings as they are, become \uXXXX.
void rl_sanitize_json(rl_buf_t *out, const char *json, size_t size);

#endif
