// tasks: everything the gateway has asked of a worker and not got back yet. A task knows its worker
// and its request; a worker knows its tasks (so that a lost one's can go elsewhere).
#ifndef TASKS_H
#define TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct worker;
struct request;

typedef enum task_kind {
    TASK_SEARCH,
    TASK_HEDGE,        // the same search at another replica
    TASK_REVALIDATION, // asks what is in force, and for no hits
    TASK_GENERATION,
    TASK_PREFILL, // passages are read ahead
} task_kind_t;

typedef struct task {
    uint64_t id;           // on the wire; never used twice
    struct worker *worker; // NULL: not in use
    struct request *request;
    task_kind_t kind;
    unsigned source; // retrieval: which of the request's sources
    uint64_t sent_us;
    LIST_ENTRY(task) of_worker;
} task_t;

LIST_HEAD(task_list, task);

typedef struct tasks tasks_t;

tasks_t *tasks_new(void);
void tasks_destroy(tasks_t **self_p);

// A new task, added to the worker's list; its count of outstanding tasks goes up, unless the task
// is of a kind that yields to others (revalidation, prefill). The table owns it; the pointer stays
// valid until tasks_end. NULL: too many are under way.
task_t *tasks_begin(tasks_t *self, task_kind_t kind, struct worker *worker, struct request *request,
                    unsigned source);

// The task with this id, NULL if it is not (or no longer) one of ours.
task_t *tasks_find(tasks_t *self, uint64_t id);

// Answered, failed, lost or cancelled. *task_p becomes NULL.
void tasks_end(tasks_t *self, task_t **task_p);

size_t tasks_size(const tasks_t *self);

#endif
