// pool: the threads that search, and the lines of tasks before them.
//
// Tasks of one source wait in a line. A thread that is free takes what waits in the line whose turn
// it is, as many as are worth searching together, and never waits for more to come. Everything but
// the search itself happens in the caller's thread: tasks go in by rl_pool_put and come back by
// rl_pool_take.
#ifndef RL_POOL_H
#define RL_POOL_H

#include "proto.h"
#include "served.h"

typedef struct rl_pool rl_pool_t;
typedef struct rl_line rl_line_t;

typedef enum rl_task_state {
    RL_TASK_WAITING, // in its line
    RL_TASK_RUNNING, // at a thread
    RL_TASK_DONE,    // among those that rl_pool_take gives
} rl_task_state_t;

typedef struct rl_task {
    // filled by who puts it; stays as it is
    void *owner;
    rl_msg_t *msg; // holds the query's strings
    rl_query_t query;
    uint64_t arrived_us;
    uint64_t deadline_us; // on the clock of rl_now_us; a task that starts later fails
    // filled by the pool
    uint64_t queue_us, work_us;   // waiting; the whole time of the batch it was searched in
    uint64_t share_us;            // its part of that time
    char generation[RL_POSITION]; // what was searched (rl_served_position)
    rl_result_t result;
    // the pool's own
    struct rl_task *next;
    rl_line_t *line;
    rl_task_state_t state;
    bool dropped;
    void *remote; // of a source that waits for others (source_engine.h), while it does
} rl_task_t;

// `threads` threads; at most `room` tasks wait in each line. `on_done` is called from one
// of the threads when there is something to take (not again until it was taken).
rl_pool_t *rl_pool_new(size_t threads, size_t room, void (*on_done)(void *arg), void *arg);
// Ends the threads, waiting for the searches under way; nothing is searched any more.
void rl_pool_stop(rl_pool_t *self);
// Stops it if need be. All lines must be gone.
void rl_pool_destroy(rl_pool_t **self_p);

// A line for one source. Takes a reference to `served`.
rl_line_t *rl_line_new(rl_pool_t *pool, rl_served_t *served, const rl_served_source_t *source);
// Tasks that still wait, run or lie there done must have been taken or dropped before.
void rl_line_destroy(rl_line_t **self_p);
// From now on the line's tasks are searched here; searches under way end where they are.
void rl_line_serve(rl_line_t *self, rl_served_t *served, const rl_served_source_t *source);
// What is served, as the caller's own reference.
rl_served_t *rl_line_served(const rl_line_t *self);
void rl_line_load(const rl_line_t *self, size_t *waiting, size_t *running);

// Puts a task in line; it belongs to the pool until it is taken. Returns -1 when there is no room
// (then it does not).
int rl_pool_put(rl_line_t *line, rl_task_t *task);

// Nobody waits for the task any more. True: it is out and the caller's again; false: it runs or is
// done and will be among those taken, marked `dropped`.
bool rl_pool_drop(rl_task_t *task);

// Where the task is now.
rl_task_state_t rl_pool_state(const rl_task_t *task);

// Takes all that is done, oldest first, linked by `next`; they are the caller's. NULL if none.
rl_task_t *rl_pool_take(rl_pool_t *self);

#endif
