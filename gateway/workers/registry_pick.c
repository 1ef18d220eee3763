// registry_pick: which worker gets a task.
#include "registry_private.h"

#include "clock.h"

// Whether an announcement is overdue: the worker may be dead or stopped, and not yet count as lost.
static bool is_late(const worker_t *worker, uint64_t now)
{
    return now > worker->seen_us && now - worker->seen_us > worker->period_ms * 1500;
}

static bool is_free_generator(const worker_t *worker)
{
    return worker->role == ROLE_GENERATOR && worker->ready && worker->outstanding < worker->slots;
}

// The least of what the ready replicas have there; 0: none has it.
static uint64_t fastest_of(const replicas_t *replicas, uint64_t (*value)(const worker_t *worker))
{
    const worker_t *worker;
    uint64_t fastest = 0;
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        uint64_t us = worker->ready ? value(worker) : 0;
        if (us && (!fastest || us < fastest))
            fastest = us;
    }
    return fastest;
}

static uint64_t median_us(const worker_t *worker)
{
    return worker->latency.last.median_us;
}

static uint64_t p95_us(const worker_t *worker)
{
    return worker->latency.p95_us;
}

worker_t *registry_pick(registry_t *self, const source_t *source, const worker_t *except,
                        size_t bound)
{
    worker_t *worker;
    replicas_t *replicas = registry_replicas(self, source);
    rl_choice_t choice = {.random = &self->random};
    uint64_t now = rl_now_us();
    uint64_t fastest = rl_choice_probes(&self->random) ? 0 : fastest_of(replicas, median_us);
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        if (worker->ready && worker != except && worker->outstanding < bound)
            rl_choice_offer(&choice, worker, is_late(worker, now),
                            rl_choice_load(worker->outstanding, median_us(worker), fastest), 1);
    }
    return choice.best;
}

static worker_t *pick_generator(registry_t *self, const worker_t *except, bool prefill)
{
    worker_t *worker;
    rl_choice_t choice = {.random = &self->random};
    uint64_t now = rl_now_us();
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (worker != except && is_free_generator(worker) && (worker->prefill || !prefill))
            rl_choice_offer(&choice, worker, is_late(worker, now), worker->outstanding,
                            worker->slots);
    }
    return choice.best;
}

worker_t *registry_pick_generator(registry_t *self, const worker_t *except)
{
    return pick_generator(self, except, false);
}

worker_t *registry_pick_prefiller(registry_t *self)
{
    return pick_generator(self, NULL, true);
}

worker_t *registry_find_generator(registry_t *self, const char *id)
{
    worker_t *worker = registry_find(self, id);
    return worker && is_free_generator(worker) && !worker->leaving ? worker : NULL;
}

uint64_t registry_hedge_after_us(registry_t *self, const source_t *source)
{
    const worker_t *worker;
    const replicas_t *replicas = registry_replicas(self, source);
    size_t ready = 0;
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        ready += worker->ready;
    }
    return ready > 1 ? fastest_of(replicas, p95_us) : 0;
}
