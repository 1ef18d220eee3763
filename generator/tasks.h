// tasks: all answers of this generator: those that run (at most generator.slots), wait for a slot
// (at most generator.queue), or have ended and are not acknowledged yet.
#ifndef TASKS_H
#define TASKS_H

#include "task.h"

typedef struct tasks tasks_t;

tasks_t *tasks_new(generator_t *generator);
void tasks_destroy(tasks_t **self_p);

// A new task: starts it, lets it wait, or refuses it (a prefill never waits). Takes over the
// message.
void tasks_add(tasks_t *self, gateway_link_t *gateway, rl_msg_t *generate);

task_t *tasks_find(tasks_t *self, uint64_t route, uint64_t id);

// Called by task_set_state: puts the task onto the list of its new state.
void tasks_state_changed(tasks_t *self, task_t *task, task_state_t before);

// Starts what waits while there are slots, and frees what is over; called when a turn ends.
void tasks_turn(tasks_t *self);
// Drops ended tasks that are not acknowledged in time; called every announce period.
void tasks_sweep(tasks_t *self);

void tasks_cancel_of(tasks_t *self, const gateway_link_t *gateway);
void tasks_resend_to(tasks_t *self, const gateway_link_t *gateway);
void tasks_resume_of(tasks_t *self, const gateway_link_t *gateway);
// Ends everything that is not at its end.
void tasks_fail_all(tasks_t *self, const char *code, const char *message);

// Counters, queues, and the tasks that run or wait, for a dump.
void tasks_dump(const tasks_t *self, rl_dump_t *dump);

// Calls `fn` for every prefill, or every answer, that runs. The task may end meanwhile.
void tasks_each_prefill(tasks_t *self, void (*fn)(void *arg, task_t *task), void *arg);
void tasks_each_running(tasks_t *self, void (*fn)(void *arg, task_t *task), void *arg);

// Prefills are not among those that wait, run, and were served.
size_t tasks_waiting(const tasks_t *self);
size_t tasks_running(const tasks_t *self);
uint64_t tasks_served(const tasks_t *self);
// Recent time of an answer from slot to end, µs: an exponential average over about 8.
uint64_t tasks_service_us(const tasks_t *self);

#endif
