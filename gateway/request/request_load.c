// request_load: how many requests are in which state.
#include "request_private.h"

uint64_t request_count_states(const gateway_t *gateway, size_t *states)
{
    const request_t *self, *oldest = TAILQ_FIRST(&gateway->requests);
    TAILQ_FOREACH(self, &gateway->requests, all)
    states[self->state]++;
    return oldest ? oldest->received_us : 0;
}
