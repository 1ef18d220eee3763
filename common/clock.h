// clock: the one way to read time. Durations only; clocks of two machines are never compared.
#ifndef RL_CLOCK_H
#define RL_CLOCK_H

#include <stdint.h>
#include <time.h>

// Microseconds of this machine's monotonic clock (never goes back, says nothing about the date).
static inline uint64_t rl_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

#endif
