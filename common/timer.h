// timer: a function that the loop calls later: once, or again and again.
#ifndef RL_TIMER_H
#define RL_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
typedef struct rl_timer rl_timer_t;
typedef void(rl_timer_fn)(void *arg);

rl_timer_t *rl_timer_new(struct event_base *base, rl_timer_fn *fn, void *arg);
void rl_timer_destroy(rl_timer_t **self_p);

// In `us` microseconds, once, or every `us` microseconds; instead of what was set before. May be
// called from `fn`.
void rl_timer_after(rl_timer_t *self, uint64_t us);
void rl_timer_every(rl_timer_t *self, uint64_t us);
void rl_timer_stop(rl_timer_t *self);
bool rl_timer_is_set(const rl_timer_t *self);

#endif
