// mem: allocation that ends the process when it fails.
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SMALL = 1024
};

void rl_out_of_memory(void)
{
    static const char message[] = "out of memory\n"; // the log allocates
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    (void)written;
    abort();
}

void *rl_must(void *p)
{
    if (!p)
        rl_out_of_memory();
    return p;
}

// Small blocks come from malloc, which keeps at hand what was freed last; calloc uses none of that
// before glibc 2.41.
void *rl_alloc(size_t size)
{
    if (size > SMALL)
        return rl_must(calloc(1, size));
    return memset(rl_must(malloc(size > 0 ? size : 1)), 0, size);
}

void *rl_alloc_array(size_t count, size_t size)
{
    return rl_must(calloc(count > 0 ? count : 1, size));
}

void *rl_realloc(void *p, size_t count, size_t size)
{
    return rl_must(reallocarray(p, count > 0 ? count : 1, size));
}

char *rl_strdup(const char *text)
{
    return rl_must(strdup(text));
}

char *rl_strndup(const char *text, size_t size)
{
    return rl_must(strndup(text, size));
}

char *rl_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int size = vasprintf(&text, format, args);
    va_end(args);
    return rl_must(size < 0 ? NULL : text);
}
