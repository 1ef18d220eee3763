// worker: the retriever as a whole: gateways, collections, the pool, and an orderly end.
#include "worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "collection.h"
#include "engines.h"
#include "fail.h"
#include "log.h"
#include "mem.h"
#include "shard_workers.h"
#include "timer.h"

enum {
    MAX_COLLECTIONS = 256,
    CALM_US = 100000, // after LEAVE: no task for so long means that none is on its way
    STOP_CHECK_US = 10000,
};

struct worker {
    rl_proc_t *proc;
    shard_context_t context;
    snapshot_options_t options;
    uint64_t *shards;
    collection_t **collections;
    size_t collections_size;
    engines_t *engines; // collections that are not on this machine; NULL: none
    char *bind, *advertise;
    int wakeup; // eventfd: the threads have a result for the loop
    struct event *woken;
    rl_timer_t *tick, *stop_check;
    uint64_t grace_us, stop_us;
};

// ---- turns of the loop --------------------------------------------------------------------------

// From any thread.
static void wake(void *arg)
{
    worker_t *self = arg;
    uint64_t one = 1;
    if (write(self->wakeup, &one, sizeof one) != (ssize_t)sizeof one)
        abort(); // an eventfd takes 2^64 - 2 of them
}

static void on_woken(evutil_socket_t fd, short what, void *arg)
{
    worker_t *self = arg;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof count) < 0)
        count = 0; // woken for nothing
    task_t *next;
    for (task_t *task = pool_take(self->context.pool); task; task = next) {
        next = task->next;
        shard_worker_done(task);
    }
    for (size_t at = 0; at < self->collections_size; at++)
        collection_loaded(self->collections[at]);
}

static void on_tick(void *arg)
{
    worker_t *self = arg;
    for (size_t at = 0; at < self->collections_size; at++)
        collection_tick(self->collections[at]);
    engines_tick(self->engines);
    shard_workers_announce(&self->context);
}

// ---- orderly end --------------------------------------------------------------------------------

static void on_stop_check(void *arg)
{
    worker_t *self = arg;
    size_t tasks = shard_workers_tasks(&self->context);
    uint64_t now = rl_now_us();
    if (tasks > 0 && now >= self->stop_us) {
        rl_warn("%zu tasks are not finished after retriever.grace_ms", tasks);
        shard_workers_give_up(&self->context);
        tasks = 0;
    }
    if (tasks == 0 && (now - self->context.last_task_us > CALM_US || now >= self->stop_us))
        rl_proc_end(self->proc, 0);
}

void worker_stop(worker_t *self)
{
    rl_timer_stop(self->tick);
    shard_workers_leave(&self->context);
    self->context.last_task_us = rl_now_us();
    self->stop_us = rl_now_us() + self->grace_us;
    rl_timer_every(self->stop_check, STOP_CHECK_US);
}

static void read_times(worker_t *self)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    rl_timer_every(self->tick, (uint64_t)rl_conf_int(conf, "cluster.announce_ms") * 1000);
    self->grace_us = (uint64_t)rl_conf_int(conf, "retriever.grace_ms") * 1000;
}

void worker_reload(worker_t *self)
{
    if (self->stop_us)
        return;
    read_times(self);
    on_tick(self);
}

// ---- dumps --------------------------------------------------------------------------------------

static void on_dump(void *arg, rl_dump_t *dump)
{
    const worker_t *self = arg;
    size_t tasks = shard_workers_tasks(&self->context), size = self->collections_size;
    bool room = true;
    rl_dump_begin(dump, "queues");
    rl_dump_number(dump, "open_tasks", tasks);
    rl_dump_number(dump, "threads", self->options.source.threads);
    rl_dump_end(dump);
    rl_wire_dump(dump);
    rl_gateways_dump(self->context.gateways, dump);
    rl_dump_list(dump, "collections", size + engines_size(self->engines));
    for (size_t at = 0; room && at < size; at++)
        room = collection_dump(self->collections[at], dump);
    if (room)
        engines_dump(self->engines, dump);
    rl_dump_list_end(dump);
    rl_dump_list(dump, "units", shard_workers_size(&self->context));
    shard_workers_dump(&self->context, dump);
    rl_dump_list_end(dump);
    rl_dump_list(dump, "tasks", tasks);
    shard_workers_dump_tasks(&self->context, dump);
    rl_dump_list_end(dump);
}

// ---- making -------------------------------------------------------------------------------------

static int read_shards(worker_t *self, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    size_t size = rl_conf_list_size(conf, "retriever.shards");
    self->shards = rl_alloc_array(size + 1, sizeof *self->shards);
    for (size_t at = 0; at < size; at++) {
        const char *word = rl_conf_list_at(conf, "retriever.shards", at);
        char *end = NULL;
        self->shards[at] = strtoull(word, &end, 10);
        if (*word < '0' || *word > '9' || *end || self->shards[at] >= STORE_MAX_SHARDS)
            return rl_fail(why, why_size,
                           "retriever.shards: \"%s\" is no number of a shard (0, 1, 2…)", word);
    }
    self->options.shards = self->shards;
    self->options.shards_size = size;
    return 0;
}

static int read_kinds(worker_t *self, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    size_t size = rl_conf_list_size(conf, "retriever.kinds");
    for (size_t at = 0; at < size; at++) {
        const char *word = rl_conf_list_at(conf, "retriever.kinds", at);
        source_kind_t kind = source_kind_named(word);
        if (kind == SOURCE_KINDS)
            return rl_fail(why, why_size,
                           "retriever.kinds: \"%s\" is no kind of retrieval (dense, lexical)",
                           word);
        if (self->options.kinds[kind])
            return rl_fail(why, why_size, "retriever.kinds: \"%s\" is there twice", word);
        self->options.kinds[kind] = true;
    }
    return size > 0 ? 0
                    : rl_fail(why, why_size,
                              "retriever.kinds: is empty; it takes dense, lexical or both");
}

static int open_collections(worker_t *self, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    size_t size = rl_conf_list_size(conf, "retriever.index");
    if (size == 0 && self->engines)
        return 0;
    if (size < 1 || size > MAX_COLLECTIONS)
        return rl_fail(why, why_size,
                       "retriever.index: names %zu folders; give the folder of a collection that "
                       "ragline-index has built (at most %d of them), or retriever.engine",
                       size, MAX_COLLECTIONS);
    self->collections = rl_alloc_array(size, sizeof(collection_t *));
    for (size_t at = 0; at < size; at++) {
        collection_t *collection =
            collection_new(rl_conf_list_at(conf, "retriever.index", at), &self->context,
                           &self->options, wake, self, why, why_size);
        if (!collection)
            return -1;
        self->collections[self->collections_size++] = collection;
    }
    return 0;
}

static int start_worker(worker_t *self, char *why, size_t why_size)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    struct event_base *base = rl_proc_base(self->proc);
    self->bind = rl_strdup(rl_conf_str(conf, "retriever.bind"));
    self->advertise = rl_strdup(rl_conf_str(conf, "retriever.advertise"));
    self->options.check_first = (uint64_t)rl_conf_int(conf, "retriever.check_first_mb") << 20;
    self->options.source.threads = (size_t)rl_conf_int(conf, "retriever.threads");
    self->options.source.faiss_threads = (size_t)rl_conf_int(conf, "retriever.faiss_threads");
    self->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wakeup < 0)
        return rl_fail(why, why_size, "out of open files");
    self->woken = rl_must(event_new(base, self->wakeup, EV_READ | EV_PERSIST, on_woken, self));
    self->tick = rl_timer_new(base, on_tick, self);
    self->stop_check = rl_timer_new(base, on_stop_check, self);
    self->context.pool = pool_new(self->options.source.threads,
                                  (size_t)rl_conf_int(conf, "retriever.queue"), wake, self);
    if (!self->context.pool)
        return rl_fail(why, why_size, "cannot start %zu threads", self->options.source.threads);
    self->context.proc = self->proc;
    self->context.bind = self->bind;
    self->context.advertise = self->advertise;
    self->context.threads = self->options.source.threads;
    if (read_shards(self, why, why_size) != 0 || read_kinds(self, why, why_size) != 0)
        return -1;
    self->context.gateways = rl_gateways_new(self->proc, NULL, NULL, why, why_size);
    if (!self->context.gateways ||
        engines_new(&self->engines, &self->context, self->options.kinds, why, why_size) != 0 ||
        open_collections(self, why, why_size) != 0)
        return -1;
    event_add(self->woken, NULL);
    read_times(self);
    rl_proc_on_dump(self->proc, on_dump, self);
    return 0;
}

worker_t *worker_new(rl_proc_t *proc, char *why, size_t why_size)
{
    worker_t *self = rl_new(*self);
    self->proc = proc;
    self->wakeup = -1;
    if (start_worker(self, why, why_size) != 0)
        worker_destroy(&self);
    return self;
}

void worker_destroy(worker_t **self_p)
{
    worker_t *self = *self_p;
    if (!self)
        return;
    if (self->context.pool)
        pool_stop(self->context.pool);
    for (size_t at = 0; at < self->collections_size; at++)
        collection_destroy(&self->collections[at]);
    engines_destroy(&self->engines);
    rl_gateways_destroy(&self->context.gateways);
    pool_destroy(&self->context.pool);
    if (self->woken)
        event_free(self->woken);
    rl_timer_destroy(&self->tick);
    rl_timer_destroy(&self->stop_check);
    if (self->wakeup >= 0)
        close(self->wakeup);
    free(self->collections);
    free(self->shards);
    free(self->bind);
    free(self->advertise);
    free(self);
    *self_p = NULL;
}
