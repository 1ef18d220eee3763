// sse: a parser of text/event-stream bytes as they come (WHATWG HTML, 9.2.6), for the LLM's stream.
#ifndef RL_SSE_H
#define RL_SSE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rl_sse rl_sse_t;

// One event: its name ("message" if none was given) and its data lines joined by \n.
// Returns false to stop the parser (rl_sse_feed then returns what it has used so far).
typedef bool(rl_sse_event_fn)(void *arg, const char *name, const char *data, size_t size);

// Events larger than `max_event` bytes make the parser fail.
rl_sse_t *rl_sse_new(size_t max_event, rl_sse_event_fn *fn, void *arg);
void rl_sse_destroy(rl_sse_t **self_p);

// Takes bytes as they come: lines end with \n, \r\n or \r, an event may come in any number of
// pieces, comments and unknown fields are passed over, a byte order mark at the start too.
// Returns 0, or -1 when an event was too large.
int rl_sse_feed(rl_sse_t *self, const char *data, size_t size);

// The stream has ended: an event without its closing blank line is delivered when it has data
// (some servers leave the last blank line out).
void rl_sse_end(rl_sse_t *self);

#endif
