// mem: memory whose size this program decides. Running out of it ends the process with a message,
// through one function, so that no caller has a path for it that no test can reach. Where foreign
// bytes decide the size (a file, a peer, a client) malloc is called as it is, and NULL is an error.
#ifndef RL_MEM_H
#define RL_MEM_H

#include <stdarg.h>
#include <stddef.h>

// Ends the process: "out of memory" on stderr, then abort.
void rl_out_of_memory(void) __attribute__((noreturn, cold));

// What any other function gave back, if it is not NULL: `p = rl_must(strdup(text))`.
void *rl_must(void *p);

// Each is never NULL, and is freed with free. rl_alloc zeroes.
void *rl_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *rl_alloc_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull)); // zeroed
void *rl_realloc(void *p, size_t count, size_t size) __attribute__((returns_nonnull));
char *rl_strdup(const char *text) __attribute__((malloc, returns_nonnull, nonnull));
char *rl_strndup(const char *text, size_t size) __attribute__((malloc, returns_nonnull, nonnull));
char *rl_format(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

// A zeroed struct of this type: `self = rl_new(*self)`.
#define rl_new(of) rl_alloc(sizeof(of))

#endif
