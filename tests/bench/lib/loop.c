// loop: epoll and a binary heap of timers.
#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

#include "clock.h"

enum {
    TURN_EVENTS = 64,  // descriptors looked at before timers are looked at again
    TURN_TIMERS = 64,  // and the other way round
    SLACK_NS = 1000,   // the kernel's default of 50 µs would show in every stamp
    IDLE_US = 1000000, // longest sleep
};

struct loop {
    int epoll;
    loop_timer_t **heap; // from 1: the children of i are 2i and 2i+1
    size_t size, room;
    struct epoll_event events[TURN_EVENTS];
    int events_size;
    bool stopped;
};

loop_t *loop_new(void)
{
    loop_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    self->room = 64;
    self->heap = calloc(self->room, sizeof(loop_timer_t *));
    if (self->epoll < 0 || !self->heap)
        abort();
    prctl(PR_SET_TIMERSLACK, SLACK_NS);
    return self;
}

void loop_destroy(loop_t **self_p)
{
    if (*self_p)
        free((*self_p)->heap);
    free(*self_p);
    *self_p = NULL;
}

static void put(loop_t *self, size_t at, loop_timer_t *timer)
{
    self->heap[at] = timer;
    timer->at = at;
}

static void move_up(loop_t *self, loop_timer_t *timer, size_t at)
{
    for (; at > 1 && self->heap[at / 2]->due_us > timer->due_us; at /= 2)
        put(self, at, self->heap[at / 2]);
    put(self, at, timer);
}

static void move_down(loop_t *self, loop_timer_t *timer, size_t at)
{
    for (;;) {
        size_t child = 2 * at;
        if (child < self->size && self->heap[child + 1]->due_us < self->heap[child]->due_us)
            child++;
        if (child > self->size || self->heap[child]->due_us >= timer->due_us)
            break;
        put(self, at, self->heap[child]);
        at = child;
    }
    put(self, at, timer);
}

void loop_not(loop_t *self, loop_timer_t *timer)
{
    size_t at = timer->at;
    if (at == 0)
        return;
    loop_timer_t *last = self->heap[self->size--];
    timer->at = 0;
    if (last == timer)
        return;
    if (at > 1 && self->heap[at / 2]->due_us > last->due_us)
        move_up(self, last, at);
    else
        move_down(self, last, at);
}

void loop_at(loop_t *self, loop_timer_t *timer, uint64_t due_us)
{
    loop_not(self, timer);
    if (self->size + 2 > self->room) {
        self->room *= 2;
        self->heap = realloc(self->heap, self->room * sizeof(loop_timer_t *));
        if (!self->heap)
            abort();
    }
    timer->due_us = due_us;
    self->size++;
    move_up(self, timer, self->size);
}

static void watch(loop_t *self, int operation, loop_watched_t *item, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = item};
    if (epoll_ctl(self->epoll, operation, item->fd, &event) != 0) {
        perror("epoll_ctl");
        abort();
    }
}

void loop_watch(loop_t *self, loop_watched_t *item, uint32_t events)
{
    watch(self, EPOLL_CTL_ADD, item, events);
}

void loop_rewatch(loop_t *self, loop_watched_t *item, uint32_t events)
{
    watch(self, EPOLL_CTL_MOD, item, events);
}

void loop_forget(loop_t *self, loop_watched_t *item)
{
    for (int i = 0; i < self->events_size; i++)
        if (self->events[i].data.ptr == item)
            self->events[i].data.ptr = NULL;
}

static void wait_events(loop_t *self)
{
    uint64_t now = rl_now_us(), sleep = IDLE_US;
    if (self->size > 0) {
        uint64_t due = self->heap[1]->due_us;
        sleep = due <= now ? 0 : due - now < IDLE_US ? due - now : IDLE_US;
    }
    struct timespec time = {(time_t)(sleep / 1000000), (long)(sleep % 1000000) * 1000};
    self->events_size = epoll_pwait2(self->epoll, self->events, TURN_EVENTS, &time, NULL);
    if (self->events_size < 0 && errno == ENOSYS) // Linux before 5.11: whole milliseconds
        self->events_size = epoll_wait(self->epoll, self->events, TURN_EVENTS, (int)(sleep / 1000));
    for (int i = 0; i < self->events_size; i++) {
        loop_watched_t *item = self->events[i].data.ptr;
        if (item)
            item->fn(item, self->events[i].events);
    }
    self->events_size = 0;
}

static void fire_timers(loop_t *self)
{
    uint64_t now = rl_now_us();
    for (int left = TURN_TIMERS; left > 0 && self->size > 0; left--) {
        loop_timer_t *timer = self->heap[1];
        if (timer->due_us > now)
            break;
        loop_not(self, timer);
        timer->fn(timer);
    }
}

void loop_run(loop_t *self)
{
    while (!self->stopped) {
        wait_events(self);
        fire_timers(self);
    }
    self->stopped = false;
}

void loop_stop(loop_t *self)
{
    self->stopped = true;
}
