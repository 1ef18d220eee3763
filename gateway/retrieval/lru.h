// lru: values by key, of which those used last are kept: bounded by their cost in all and by age.
// All caches of the gateway are made of it.
#ifndef LRU_H
#define LRU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

typedef struct lru lru_t;
typedef void(lru_free_fn)(void *value);

typedef struct lru_counts {
    uint64_t hits, misses, dropped; // dropped: to make room, or too old
    size_t size, cost;
} lru_counts_t;

// `most` in the unit of lru_put's cost; 0 keeps nothing. Ages count from lru_put.
lru_t *lru_new(size_t most, uint64_t age_us, lru_free_fn *free_fn);
void lru_destroy(lru_t **self_p);
// Other bounds, from now on.
void lru_resize(lru_t *self, size_t most, uint64_t age_us);
bool lru_is_on(const lru_t *self); // whether it keeps anything
void lru_clear(lru_t *self);

// The value, NULL if it is not there or too old. Borrowed: it may be gone after the next lru_put.
void *lru_find(lru_t *self, const char *key, uint64_t now_us);
// Takes the value (frees it at once where it costs more than `most`); one that was there is freed.
void lru_put(lru_t *self, const char *key, void *value, size_t cost, uint64_t now_us);
void lru_drop(lru_t *self, const char *key);
// The value costs something else now, and is as young as if it had just been put. It may be gone
// afterwards, and others, to make room.
void lru_renew(lru_t *self, const char *key, size_t cost, uint64_t now_us);
// From the one used last to the one used longest ago, those too old left out; false from `fn` ends
// it.
void lru_each(lru_t *self, uint64_t now_us, bool (*fn)(void *arg, void *value), void *arg);

const lru_counts_t *lru_counts(const lru_t *self);

enum {
    LRU_KEY = 65 // bytes of a key made by lru_key, with its NUL
};
// A key from parts of any length: their SHA-256 in hexadecimal digits. Two lists of parts have the
// same key only if they are the same.
void lru_key(char out[LRU_KEY], const char *const *parts, size_t size);
// The same, part by part: one key at a time in the process, which has one thread. Where the number
// of parts varies it has to be one of them.
void lru_key_begin(void);
void lru_key_text(const char *text);
void lru_key_number(double number);
void lru_key_end(char out[LRU_KEY]);

#endif
