// pool: the threads that search, and the queues of tasks before them.
#include "pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "probes.h"
#include "thread.h"

struct task_queue {
    pool_t *pool;
    snapshot_t *snapshot;
    snapshot_source_t source;
    task_t *first, *last;
    size_t waiting, running;
    task_queue_t *next; // among those whose turn comes
    bool scheduled;     // it is among them
};

typedef struct pool_thread {
    pool_t *pool;
    size_t number;
    pthread_t thread;
} pool_thread_t;

struct pool {
    pthread_mutex_t mutex; // guards all below, the queues, and the state of tasks
    pthread_cond_t work;
    task_queue_t *first, *last; // queues whose turn comes
    task_t *done, *done_last;
    size_t room; // of each queue
    bool stop;
    void (*on_done)(void *arg);
    void *arg;
    size_t threads;
    pool_thread_t pool_threads[];
};

// A batch on its way through a thread.
typedef struct batch {
    task_queue_t *queue;
    snapshot_t *snapshot;
    snapshot_source_t source;
    task_t *tasks[SOURCE_BATCH];
    size_t size;
} batch_t;

// ---- queues; the mutex is held here -------------------------------------------------------------

static void schedule_queue(pool_t *self, task_queue_t *queue)
{
    if (queue->scheduled || !queue->first)
        return;
    queue->scheduled = true;
    queue->next = NULL;
    if (self->last)
        self->last->next = queue;
    else
        self->first = queue;
    self->last = queue;
}

static task_queue_t *next_queue(pool_t *self)
{
    task_queue_t *queue = self->first;
    self->first = queue->next;
    if (!self->first)
        self->last = NULL;
    queue->scheduled = false;
    return queue;
}

static void unschedule_queue(pool_t *self, task_queue_t *queue)
{
    task_queue_t **at = &self->first, *before = NULL;
    while (*at && *at != queue) {
        before = *at;
        at = &before->next;
    }
    if (!*at)
        return;
    *at = queue->next;
    if (self->last == queue)
        self->last = before;
    queue->scheduled = false;
}

static void take_batch(pool_t *self, batch_t *batch)
{
    task_queue_t *queue = next_queue(self);
    batch->queue = queue;
    batch->snapshot = snapshot_ref(queue->snapshot);
    batch->source = queue->source;
    batch->size = 0;
    size_t most = queue->source.backend->batch(queue->source.source);
    while (queue->first && batch->size < most) {
        task_t *task = queue->first;
        // a query with a filter gains nothing from being searched with others
        if (query_selects(&task->query))
            most = batch->size > 0 ? batch->size : 1;
        if (batch->size == most)
            break;
        queue->first = task->next;
        task->state = TASK_RUNNING;
        batch->tasks[batch->size++] = task;
    }
    if (!queue->first)
        queue->last = NULL;
    queue->waiting -= batch->size;
    queue->running += batch->size;
    schedule_queue(self, queue);
}

// Whether on_done is due.
static bool put_done(pool_t *self, batch_t *batch)
{
    bool first = !self->done;
    batch->queue->running -= batch->size;
    for (size_t at = 0; at < batch->size; at++) {
        task_t *task = batch->tasks[at];
        task->state = TASK_DONE;
        task->next = NULL;
        if (self->done)
            self->done_last->next = task;
        else
            self->done = task;
        self->done_last = task;
    }
    return first;
}

// ---- searching ----------------------------------------------------------------------------------

static void search_batch(batch_t *batch, size_t thread)
{
    query_t queries[SOURCE_BATCH];
    result_t results[SOURCE_BATCH];
    size_t from[SOURCE_BATCH], size = 0;
    uint64_t started = rl_now_us();
    char generation[SNAPSHOT_MAX_VERSION];
    snapshot_last_version(batch->snapshot, generation);
    for (size_t at = 0; at < batch->size; at++) {
        task_t *task = batch->tasks[at];
        task->queue_us = started - task->arrived_us;
        snprintf(task->generation, sizeof task->generation, "%s", generation);
        if (started >= task->deadline_us) {
            result_fail(&task->result, "deadline", false,
                        "the deadline passed while the question waited for %llu ms in line",
                        (unsigned long long)task->queue_us / 1000);
            continue;
        }
        queries[size] = task->query;
        from[size++] = at;
    }
    if (size == 0)
        return;
    memset(results, 0, size * sizeof *results);
    snapshot_search(batch->snapshot, &batch->source, thread, queries, size, results, generation);
    uint64_t took = rl_now_us() - started;
    for (size_t at = 0; at < size; at++) {
        task_t *task = batch->tasks[from[at]];
        task->result = results[at];
        snprintf(task->generation, sizeof task->generation, "%s", generation);
        task->work_us = took;
        task->share_us = took / size;
        if (task->msg) // else no gateway asked
            RL_PROBE_TASK_SEARCHED(task->msg->search.request, task->msg->search.task,
                                   task->queue_us, took, size);
    }
}

static void *search_forever(void *arg)
{
    pool_thread_t *member = arg;
    pool_t *self = member->pool;
    batch_t batch;
    pthread_mutex_lock(&self->mutex);
    for (;;) {
        while (!self->first && !self->stop)
            pthread_cond_wait(&self->work, &self->mutex);
        if (self->stop)
            break;
        take_batch(self, &batch);
        pthread_mutex_unlock(&self->mutex);
        search_batch(&batch, member->number);
        snapshot_unref(&batch.snapshot);
        pthread_mutex_lock(&self->mutex);
        bool first = put_done(self, &batch);
        pthread_mutex_unlock(&self->mutex);
        if (first)
            self->on_done(self->arg);
        pthread_mutex_lock(&self->mutex);
    }
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

// ---- the caller's side --------------------------------------------------------------------------

pool_t *pool_new(size_t threads, size_t room, void (*on_done)(void *arg), void *arg)
{
    pool_t *self = rl_alloc(sizeof *self + threads * sizeof *self->pool_threads);
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->work, NULL);
    self->room = room;
    self->on_done = on_done;
    self->arg = arg;
    for (size_t at = 0; at < threads; at++) {
        pool_thread_t *member = &self->pool_threads[at];
        *member = (pool_thread_t){.pool = self, .number = at};
        if (!thread_start(&member->thread, search_forever, member))
            break;
        self->threads++;
    }
    if (self->threads < threads)
        pool_destroy(&self);
    return self;
}

void pool_stop(pool_t *self)
{
    pthread_mutex_lock(&self->mutex);
    self->stop = true;
    pthread_cond_broadcast(&self->work);
    pthread_mutex_unlock(&self->mutex);
    for (; self->threads > 0; self->threads--)
        pthread_join(self->pool_threads[self->threads - 1].thread, NULL);
}

void pool_destroy(pool_t **self_p)
{
    pool_t *self = *self_p;
    if (!self)
        return;
    pool_stop(self);
    pthread_cond_destroy(&self->work);
    pthread_mutex_destroy(&self->mutex);
    free(self);
    *self_p = NULL;
}

task_queue_t *task_queue_new(pool_t *pool, snapshot_t *snapshot, const snapshot_source_t *source)
{
    task_queue_t *self = rl_new(*self);
    self->pool = pool;
    self->snapshot = snapshot_ref(snapshot);
    self->source = *source;
    return self;
}

void task_queue_destroy(task_queue_t **self_p)
{
    task_queue_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock(&self->pool->mutex);
    if (self->scheduled)
        unschedule_queue(self->pool, self);
    pthread_mutex_unlock(&self->pool->mutex);
    snapshot_unref(&self->snapshot);
    free(self);
    *self_p = NULL;
}

void task_queue_serve(task_queue_t *self, snapshot_t *snapshot, const snapshot_source_t *source)
{
    pthread_mutex_lock(&self->pool->mutex);
    snapshot_t *before = self->snapshot;
    self->snapshot = snapshot_ref(snapshot);
    self->source = *source;
    pthread_mutex_unlock(&self->pool->mutex);
    snapshot_unref(&before);
}

snapshot_t *task_queue_snapshot(const task_queue_t *self)
{
    pthread_mutex_lock(&self->pool->mutex);
    snapshot_t *snapshot = snapshot_ref(self->snapshot);
    pthread_mutex_unlock(&self->pool->mutex);
    return snapshot;
}

void task_queue_load(const task_queue_t *self, size_t *waiting, size_t *running)
{
    pthread_mutex_lock(&self->pool->mutex);
    *waiting = self->waiting;
    *running = self->running;
    pthread_mutex_unlock(&self->pool->mutex);
}

int pool_put(task_queue_t *queue, task_t *task)
{
    pool_t *self = queue->pool;
    pthread_mutex_lock(&self->mutex);
    bool fits = queue->waiting < self->room;
    if (fits) {
        task->queue = queue;
        task->state = TASK_WAITING;
        task->next = NULL;
        if (queue->last)
            queue->last->next = task;
        else
            queue->first = task;
        queue->last = task;
        queue->waiting++;
        schedule_queue(self, queue);
        pthread_cond_signal(&self->work);
    }
    pthread_mutex_unlock(&self->mutex);
    return fits ? 0 : -1;
}

static void unlink_task(pool_t *self, task_t *task)
{
    task_queue_t *queue = task->queue;
    task_t **at = &queue->first, *before = NULL;
    while (*at != task) {
        before = *at;
        at = &before->next;
    }
    *at = task->next;
    if (queue->last == task)
        queue->last = before;
    queue->waiting--;
    if (!queue->first && queue->scheduled)
        unschedule_queue(self, queue);
}

bool pool_drop(task_t *task)
{
    pool_t *self = task->queue->pool;
    pthread_mutex_lock(&self->mutex);
    bool out = task->state == TASK_WAITING;
    if (out)
        unlink_task(self, task);
    else
        task->dropped = true;
    pthread_mutex_unlock(&self->mutex);
    return out;
}

task_state_t pool_state(const task_t *task)
{
    pool_t *self = task->queue->pool;
    pthread_mutex_lock(&self->mutex);
    task_state_t state = task->state;
    pthread_mutex_unlock(&self->mutex);
    return state;
}

task_t *pool_take(pool_t *self)
{
    pthread_mutex_lock(&self->mutex);
    task_t *tasks = self->done;
    self->done = self->done_last = NULL;
    pthread_mutex_unlock(&self->mutex);
    return tasks;
}
