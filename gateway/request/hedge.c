#include "hedge.h"

#include "clock.h"
#include "request_private.h"
#include "search.h"

enum {
    MAX_SAVED = 10, // hedges that a quiet time can save up
    MIN_LOOK_US = 1000,
    MAX_LOOK_US = 20000,
};

static void earn_hedges(pipeline_t *pipeline, unsigned sent)
{
    pipeline->hedge_budget += sent * pipeline->settings.hedge_share;
    if (pipeline->hedge_budget > MAX_SAVED)
        pipeline->hedge_budget = MAX_SAVED;
}

static void send_hedge(request_t *self, size_t at, const worker_t *slow)
{
    pipeline_t *pipeline = self->pipeline;
    worker_t *other = registry_pick(pipeline->registry, search_source(self, at), slow,
                                    pipeline->settings.max_outstanding);
    if (!other || !search_send_hedge(self, at, other))
        return;
    pipeline->hedge_budget -= 1;
    self->timeline->hedges++;
    metrics_count(pipeline->metrics, COUNT_HEDGES, 1);
}

// Hedges this one if it is due. Returns in how many µs it is to be looked at, 0: not any more.
static uint64_t look_at_search(request_t *self, size_t at, uint64_t now)
{
    pipeline_t *pipeline = self->pipeline;
    const worker_t *worker;
    uint64_t sent_us;
    if (!search_may_hedge(self, at, &worker, &sent_us))
        return 0;
    uint64_t after = registry_hedge_after_us(pipeline->registry, search_source(self, at));
    uint64_t due = sent_us + after;
    if (!after)
        return 0;
    if (pipeline->hedge_budget < MAX_SAVED / 2)
        due += after;
    if (due <= now && pipeline->hedge_budget >= 1) {
        send_hedge(self, at, worker);
        return 0;
    }
    // those that cannot be afforded now are looked at again
    uint64_t wait = due > now ? due - now : after < MAX_LOOK_US ? after : MAX_LOOK_US;
    return wait > MIN_LOOK_US ? wait : MIN_LOOK_US;
}

void hedge_late(request_t *self)
{
    unsigned sent;
    if (!search_has_moved(self, &sent))
        return;
    earn_hedges(self->pipeline, sent);
    uint64_t now = rl_now_us(), next = 0;
    for (size_t at = 0; at < search_count(self); at++) {
        uint64_t wait = look_at_search(self, at, now);
        next = wait && (!next || wait < next) ? wait : next;
    }
    search_look_in(self, next);
}
