// tasks: all answers of this generator: who is at work (at most generator.slots), who waits for a
// slot (at most generator.queue), whose end is not acknowledged yet.
#ifndef GEN_TASKS_H
#define GEN_TASKS_H

#include "task.h"

typedef struct gen_tasks gen_tasks_t;

gen_tasks_t *gen_tasks_new(generator_t *generator);
void gen_tasks_destroy(gen_tasks_t **self_p);

// A new task: starts it, lets it wait, or refuses it (a prefill never waits). Takes over the
// message.
void gen_tasks_take(gen_tasks_t *self, gen_gateway_t *gateway, rl_msg_t *generate);

gen_task_t *gen_tasks_find(gen_tasks_t *self, uint64_t route, uint64_t id);

// Called by gen_task_enter: puts the task onto the list of its new state.
void gen_tasks_moved(gen_tasks_t *self, gen_task_t *task, gen_state_t before);

// Starts what waits while there are slots, and frees what is over; called when a turn ends.
void gen_tasks_turn(gen_tasks_t *self);
// Forgets ends that nobody acknowledges; called every announce period.
void gen_tasks_sweep(gen_tasks_t *self);

void gen_tasks_cancel_of(gen_tasks_t *self, const gen_gateway_t *gateway);
void gen_tasks_again_of(gen_tasks_t *self, const gen_gateway_t *gateway);
void gen_tasks_resume_of(gen_tasks_t *self, const gen_gateway_t *gateway);
// Ends everything that is not at its end.
void gen_tasks_fail_all(gen_tasks_t *self, const char *code, const char *message);

// Counters, queues, and the tasks at work, for a dump.
void gen_tasks_dump(const gen_tasks_t *self, rl_dump_t *dump);

// Calls for every prefill that is at work, or for every answer. The task may end meanwhile.
void gen_tasks_each_prefill(gen_tasks_t *self, void (*fn)(void *arg, gen_task_t *task), void *arg);
void gen_tasks_each_running(gen_tasks_t *self, void (*fn)(void *arg, gen_task_t *task), void *arg);

// Prefills are not among those that wait, run, and were served.
size_t gen_tasks_waiting(const gen_tasks_t *self);
size_t gen_tasks_running(const gen_tasks_t *self);
uint64_t gen_tasks_served(const gen_tasks_t *self);
// Recent time of an answer from slot to end, µs: an exponential average over about 8.
uint64_t gen_tasks_service_us(const gen_tasks_t *self);

#endif
