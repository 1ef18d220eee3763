// loop: sockets and exact timers for the programs that measure: epoll and a heap, nothing else, so
// that they take little of the CPU that is to be measured.
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct loop loop_t;

// Something that waits for a time; embedded by its owner.
typedef struct loop_timer {
    void (*fn)(struct loop_timer *self);
    uint64_t due_us; // of CLOCK_MONOTONIC (clock.h)
    size_t at;       // where in the heap, from 1; 0: not set
} loop_timer_t;

// Something that waits for a descriptor; embedded by its owner.
typedef struct loop_watched {
    void (*fn)(struct loop_watched *self, uint32_t events); // events as of epoll
    int fd;
} loop_watched_t;

loop_t *loop_new(void);
void loop_destroy(loop_t **self_p);

// Sets (or moves) a timer; due times may lie in the past.
void loop_at(loop_t *self, loop_timer_t *timer, uint64_t due_us);
void loop_not(loop_t *self, loop_timer_t *timer);

// Watches a descriptor, level-triggered; `events` as of epoll. Closing it ends the watch.
void loop_watch(loop_t *self, loop_watched_t *watch, uint32_t events);
void loop_rewatch(loop_t *self, loop_watched_t *watch, uint32_t events);

// A watch (or its owner) that is freed within a turn must not be called later in it.
void loop_forget(loop_t *self, loop_watched_t *watch);

// Runs until loop_stop. Timers fire within some 10 µs of their time while the CPU is free.
void loop_run(loop_t *self);
void loop_stop(loop_t *self);

#endif
