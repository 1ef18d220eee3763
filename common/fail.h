// fail: how a function says why it failed.
#ifndef RL_FAIL_H
#define RL_FAIL_H

#include <stddef.h>

// Writes what is wrong; always returns -1, so that a failure is one statement.
int rl_fail(char *why, size_t why_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
