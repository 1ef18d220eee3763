// pool: the threads that search, and the queues of tasks before them.
//
// Tasks of one source wait in one queue; queues with tasks take turns. A free thread takes from the
// queue whose turn it is as many tasks as are worth searching together, and never waits for more to
// come. Everything but the search itself happens in the caller's thread: tasks go in by pool_put
// and come back by pool_take.
#ifndef POOL_H
#define POOL_H

#include "proto.h"
#include "snapshot.h"

typedef struct pool pool_t;
typedef struct task_queue task_queue_t;

typedef enum task_state {
    TASK_WAITING, // in its queue
    TASK_RUNNING, // at a thread
    TASK_DONE,    // among those that pool_take gives
} task_state_t;

typedef struct task {
    // filled by the caller of pool_put; not changed here
    void *owner;
    rl_msg_t *msg; // holds the query's strings
    query_t query;
    uint64_t arrived_us;
    uint64_t deadline_us; // on the clock of rl_now_us; a task that starts later fails
    // filled by the pool
    uint64_t queue_us, work_us; // waiting; the whole time of the batch it was searched in
    uint64_t share_us;          // its part of that time
    char generation[SNAPSHOT_MAX_VERSION]; // what was searched (snapshot_version)
    result_t result;
    // the pool's own
    struct task *next;
    task_queue_t *queue;
    task_state_t state;
    bool dropped;
    void *remote; // of a source that waits for others (source_engine.h), while it does
} task_t;

// `threads` threads; at most `room` tasks wait in each queue. `on_done` is called from one
// of the threads when there is something to take (not again until it was taken).
pool_t *pool_new(size_t threads, size_t room, void (*on_done)(void *arg), void *arg);
// Ends the threads, waiting for the searches under way; nothing is searched any more.
void pool_stop(pool_t *self);
// Stops it if need be. All queues must be gone.
void pool_destroy(pool_t **self_p);

// A queue for one source. Takes a reference to the snapshot.
task_queue_t *task_queue_new(pool_t *pool, snapshot_t *snapshot, const snapshot_source_t *source);
// Its tasks must have been taken or dropped before.
void task_queue_destroy(task_queue_t **self_p);
// From now on the queue's tasks are searched here; searches under way end where they are.
void task_queue_serve(task_queue_t *self, snapshot_t *snapshot, const snapshot_source_t *source);
// The snapshot that is searched, as the caller's own reference.
snapshot_t *task_queue_snapshot(const task_queue_t *self);
void task_queue_load(const task_queue_t *self, size_t *waiting, size_t *running);

// Puts a task in the queue; it belongs to the pool until it is taken. Returns -1 when there is no
// room (then it does not).
int pool_put(task_queue_t *queue, task_t *task);

// Ends the task without a result. True: it is the caller's again; false: it runs or is done and
// comes back by pool_take, marked `dropped`.
bool pool_drop(task_t *task);

// Where the task is now.
task_state_t pool_state(const task_t *task);

// Takes all that is done, oldest first, linked by `next`; they are the caller's. NULL if none.
task_t *pool_take(pool_t *self);

#endif
