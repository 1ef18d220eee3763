// buf: a byte buffer that grows up to a bound declared where it is made.
#ifndef RL_BUF_H
#define RL_BUF_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rl_buf {
    char *data;  // always followed by a NUL byte once anything was added; NULL before
    size_t size; // bytes in use
    size_t room; // bytes allocated
    size_t max;  // never holds more than this
    bool full;   // something did not fit (or memory was short): the content is not to be trusted
} rl_buf_t;

// An empty buffer that refuses to grow past `max` bytes.
rl_buf_t rl_buf_make(size_t max);
void rl_buf_free(rl_buf_t *self);

// Empties it and keeps the memory.
void rl_buf_clear(rl_buf_t *self);

// Each returns 0, or -1 when it did not fit: then nothing is added and `full` is set.
int rl_buf_add(rl_buf_t *self, const void *data, size_t size);
int rl_buf_adds(rl_buf_t *self, const char *text);
int rl_buf_addf(rl_buf_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Appends `text` (valid UTF-8, `size` bytes) as a JSON string with its quotes.
int rl_buf_add_json(rl_buf_t *self, const char *text, size_t size);

// Drops the first `size` bytes.
void rl_buf_drop(rl_buf_t *self, size_t size);

// The content as a malloc'd string, which the caller owns; the buffer is left empty. Never NULL.
char *rl_buf_take(rl_buf_t *self);

#endif
