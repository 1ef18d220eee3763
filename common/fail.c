// fail: how a function says why it failed.
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>

int rl_fail(char *why, size_t why_size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, why_size, format, args);
    va_end(args);
    return -1;
}
