// request_dump: how many requests are in which state, what each is at, and whom it waits for.
#include "clock.h"
#include "coalesce.h"
#include "generation.h"
#include "request_private.h"
#include "search.h"

uint64_t request_count_states(const pipeline_t *pipeline, size_t *states)
{
    const request_t *self, *oldest = TAILQ_FIRST(&pipeline->requests);
    TAILQ_FOREACH(self, &pipeline->requests, all)
    states[self->state]++;
    return oldest ? oldest->received_us : 0;
}

static void dump_work(const request_t *self, rl_dump_t *dump)
{
    const request_t *leader = coalesce_leader(self);
    if (self->state > REQUEST_SEARCHING)
        generation_dump(self, dump);
    else if (leader)
        rl_dump_text(dump, "waits_for", leader->id); // which searches for the same
    else
        search_dump(self, dump);
}

static bool dump_one(const request_t *self, uint64_t now, rl_dump_t *dump)
{
    const timeline_t *timeline = self->timeline;
    uint64_t age = now - self->received_us, entered = 0;
    if (!rl_dump_item(dump, self->id))
        return false;
    if (timeline->steps_size > 0)
        entered = timeline->steps[timeline->steps_size - 1].start_us;
    rl_dump_text(dump, "form", timeline->form);
    rl_dump_text(dump, "collection", timeline->collection);
    rl_dump_text(dump, "state", request_state_names[self->state]);
    rl_dump_ms(dump, "for_ms", age);
    rl_dump_ms(dump, "in_state_ms", age > entered ? age - entered : 0);
    rl_dump_number(dump, "left_ms", request_time_left_ms(self));
    rl_dump_number(dump, "sources", self->search ? search_count(self) : self->answer.of);
    rl_dump_number(dump, "sources_pending", search_pending(self));
    dump_work(self, dump);
    rl_dump_end(dump);
    return true;
}

void request_dump(const pipeline_t *pipeline, rl_dump_t *out)
{
    uint64_t now = rl_now_us();
    const request_t *self;
    rl_dump_list(out, "requests", pipeline->in_flight);
    TAILQ_FOREACH(self, &pipeline->requests, all)
    {
        if (!dump_one(self, now, out))
            break;
    }
    rl_dump_list_end(out);
}
