// request_load: how many requests are in which state.
#include "request_private.h"

uint64_t request_count_states(const pipeline_t *pipeline, size_t *states)
{
    const request_t *self, *oldest = TAILQ_FIRST(&pipeline->requests);
    TAILQ_FOREACH(self, &pipeline->requests, all)
    states[self->state]++;
    return oldest ? oldest->received_us : 0;
}
