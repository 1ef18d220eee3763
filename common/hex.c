// hex: bytes as hexadecimal digits.
#include "hex.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void rl_hex(char *out, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t at = 0; at < size; at++) {
        *out++ = "0123456789abcdef"[bytes[at] >> 4];
        *out++ = "0123456789abcdef"[bytes[at] & 15];
    }
    *out = '\0';
}

// Random bytes of the kernel, which nobody can guess.
static void draw_random(void *out, size_t size)
{
    static unsigned char pool[256]; // getrandom gives so many at once, without interruption
    static size_t used = sizeof pool;
    if (used + size > sizeof pool) {
        if (getrandom(pool, sizeof pool, 0) != (ssize_t)sizeof pool)
            abort(); // there is no such kernel
        used = 0;
    }
    memcpy(out, pool + used, size);
    used += size;
}

void rl_random_hex(char *out, size_t size)
{
    unsigned char bytes[64];
    draw_random(bytes, size);
    rl_hex(out, bytes, size);
}
