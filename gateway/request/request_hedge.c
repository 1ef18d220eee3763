// request_hedge: a search that has taken longer than 95 of 100 do at the source's fastest replica
// is sent to a second replica; the first answer counts, the other task is cancelled. Hedges are a
// bounded share of all searches, so that they cannot make an overload worse. One search in twenty
// takes that long by definition, which alone would use up the usual share: half of what can be
// saved up is kept for those that take twice as long. Dean, Barroso 2013, "The Tail at Scale".
#include "request_private.h"

#include "clock.h"

static void on_hedge_timer(evutil_socket_t fd, short what, void *arg)
{
    request_t *self = arg;
    (void)fd;
    (void)what;
    if (self->state == REQUEST_SEARCHING)
        request_ask_busy_again(self);
}

enum {
    MIN_LOOK_US = 1000,
    MAX_LOOK_US = 20000,
};

static void hedge(request_t *self, search_t *search)
{
    pipeline_t *pipeline = self->pipeline;
    worker_t *other = registry_pick(pipeline->registry, &search->source, search->task->worker,
                                    pipeline->settings.max_outstanding);
    if (!other || !request_send_search(self, search, other, &search->hedge))
        return;
    pipeline->hedge_budget -= 1;
    search->hedged = true;
    self->timeline->hedges++;
    metrics_count(pipeline->metrics, COUNT_HEDGES, 1);
}

// `next` is 0 where nothing is awaited yet.
static uint64_t sooner(uint64_t next, uint64_t wait)
{
    wait = wait > MIN_LOOK_US ? wait : MIN_LOOK_US;
    return !next || wait < next ? wait : next;
}

// Hedges what is due, and returns in how many µs the next is, or one is to be asked again; 0 if
// there is none.
static uint64_t hedge_due(request_t *self)
{
    uint64_t now = rl_now_us(), next = 0;
    for (size_t at = 0; at < self->searches_size; at++) {
        search_t *search = &self->searches[at];
        if (search->state == SEARCH_WAITING && search->again_us) {
            next = sooner(next, search->again_us > now ? search->again_us - now : 0);
            continue;
        }
        if (search->state != SEARCH_ASKED || !search->task || search->hedged)
            continue;
        uint64_t after = registry_hedge_after_us(self->pipeline->registry, &search->source);
        uint64_t due = search->sent_us + after;
        if (!after)
            continue;
        if (self->pipeline->hedge_budget < REQUEST_HEDGES_SAVED / 2)
            due += after;
        if (due <= now && self->pipeline->hedge_budget >= 1) {
            hedge(self, search);
            continue;
        }
        // those that cannot be afforded now are looked at again
        next = sooner(next, due > now ? due - now : after < MAX_LOOK_US ? after : MAX_LOOK_US);
    }
    return next;
}

void request_hedge_later(request_t *self)
{
    uint64_t next = self->state == REQUEST_SEARCHING ? hedge_due(self) : 0;
    if (!next)
        return;
    if (!self->hedge_timer)
        self->hedge_timer =
            event_new(rl_proc_base(self->pipeline->proc), -1, 0, on_hedge_timer, self);
    struct timeval wait = {(time_t)(next / 1000000), (suseconds_t)(next % 1000000)};
    if (self->hedge_timer)
        event_add(self->hedge_timer, &wait);
}
