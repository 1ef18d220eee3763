// keys: who may ask: a file of hashed API keys, each with the collections it may read and a rate.
//
// A line: NAME sha256:<64 hex digits of the key> [collections=a,b] [rate=N/s|N/min] [operator];
// '#' comments.
// The digits are made by: printf %s "$KEY" | sha256sum. Without collections= (or with *) all may be
// read; a rate allows bursts of as much as comes in one of its periods.
#ifndef KEYS_H
#define KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct keys keys_t;
typedef struct keys_caller keys_caller_t; // one key's owner; the anonymous one where no file is set

// NULL file or "": everyone is anonymous and may do everything. NULL and `why` (file, line, what)
// when the file does not hold.
keys_t *keys_new(const char *file, char *why, size_t why_size);
void keys_destroy(keys_t **self_p);
// Reads the file (again); -1 and `why` if it does not hold (the old keys stay in force). A key that
// was there before keeps its caller and what is used up of its rate.
int keys_reload(keys_t *self, const char *file, char *why, size_t why_size);
bool keys_needed(const keys_t *self);

// The caller with this key (as in "Authorization: Bearer KEY" or "X-Api-Key: KEY"), NULL if there
// is none. Compared in constant time. Each of these three returns a reference, which the caller of
// the function gives back with keys_unref; it stays valid when keys are read again or removed.
const keys_caller_t *keys_find(keys_t *self, const char *key);
const keys_caller_t *keys_anonymous(keys_t *self);
const keys_caller_t *keys_ref(const keys_caller_t *caller);
void keys_unref(const keys_caller_t **caller_p);

// What the caller may read, as one text: "*", or the names in their order.
const char *keys_rights(const keys_caller_t *caller);
// Whether there are callers with other rights.
bool keys_parted(const keys_caller_t *caller);
const char *keys_name(const keys_caller_t *caller);
// Whether the caller may see what concerns other callers (traces). Without keys everybody may.
bool keys_is_operator(const keys_caller_t *caller);
bool keys_may_read(const keys_caller_t *caller, const char *collection);
// Takes one request from the caller's rate (token bucket). Returns 0, or the seconds to wait (> 0).
long keys_take(const keys_caller_t *caller, uint64_t now_us);

#endif
