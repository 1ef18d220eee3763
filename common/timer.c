// timer: one libevent timer.
#include "timer.h"

#include <event2/event.h>
#include <stdlib.h>

#include "mem.h"

struct rl_timer {
    struct event *event;
    rl_timer_fn *fn;
    void *arg;
    bool again;
};

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    rl_timer_t *self = arg;
    (void)fd;
    (void)what;
    if (!self->again)
        event_del(self->event);
    self->fn(self->arg); // may destroy the timer
}

rl_timer_t *rl_timer_new(struct event_base *base, rl_timer_fn *fn, void *arg)
{
    rl_timer_t *self = rl_new(*self);
    *self = (rl_timer_t){.fn = fn, .arg = arg};
    self->event = rl_must(event_new(base, -1, EV_PERSIST, on_event, self));
    return self;
}

void rl_timer_destroy(rl_timer_t **self_p)
{
    if (!*self_p)
        return;
    event_free((*self_p)->event);
    free(*self_p);
    *self_p = NULL;
}

static void set_event(rl_timer_t *self, uint64_t us, bool again)
{
    struct timeval wait = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
    self->again = again;
    if (event_add(self->event, &wait) != 0) // fails for want of memory only
        rl_out_of_memory();
}

void rl_timer_after(rl_timer_t *self, uint64_t us)
{
    set_event(self, us, false);
}

void rl_timer_every(rl_timer_t *self, uint64_t us)
{
    set_event(self, us, true);
}

void rl_timer_stop(rl_timer_t *self)
{
    event_del(self->event);
}

bool rl_timer_is_set(const rl_timer_t *self)
{
    return event_pending(self->event, EV_TIMEOUT, NULL) != 0;
}
