// request_timings: what a request's timeline keeps of its searches and of its generation.
#include "request_private.h"

#include <string.h>

#include "clock.h"
#include "json_scan.h"

// Once: when the passages are there, or the request ends before.
void request_note_searches(request_t *self)
{
    timeline_t *timeline = self->timeline;
    uint64_t now = rl_now_us();
    for (size_t at = 0; at < self->searches_size; at++) {
        const search_t *search = &self->searches[at];
        uint64_t done = search->done_us ? search->done_us : now;
        span_t *span = timeline_add(timeline, STAGE_SEARCH_WORK,
                                    search->sent_us ? search->sent_us : done, done);
        if (!span)
            continue;
        span->worker = timeline_text(timeline, search->worker);
        span->collection = timeline_text(timeline, search->source.collection);
        span->shard = search->source.shard;
        span->kind = search->source.kind;
        span->queue_us = search->queue_us;
        span->work_us = search->work_us;
        span->waited = search->waited;
        span->tries = search->tries;
        span->hedged = search->hedged;
        span->hedge_won = search->hedge_won;
        if (search->state != SEARCH_ANSWERED)
            span->missing = timeline_text(timeline, search->reason ? search->reason : "not awaited");
        timeline->of++;
        timeline->answered += search->state == SEARCH_ANSWERED;
    }
    request_cancel_searches(self);
    request_forget_searches(self);
}
