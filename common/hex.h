// hex: bytes as hexadecimal digits, and random ones.
#ifndef RL_HEX_H
#define RL_HEX_H

#include <stddef.h>

// `size` bytes as 2 × size lower-case digits and a NUL.
void rl_hex(char *out, const void *data, size_t size);

// `size` bytes (at most 64) from the kernel's random numbers, which nobody can guess, in hex. From
// the process's one thread only: they are drawn in advance for several calls.
void rl_random_hex(char *out, size_t size);

#endif
