// breaker: counts failures in a row, and pauses.
#include "breaker.h"

void breaker_set(breaker_t *self, unsigned limit, uint64_t pause_us)
{
    self->limit = limit;
    self->pause_us = pause_us;
    if (limit == 0)
        breaker_reset(self);
}

void breaker_reset(breaker_t *self)
{
    *self = (breaker_t){.limit = self->limit, .pause_us = self->pause_us};
}

const char *breaker_state_name(breaker_state_t state)
{
    static const char *const names[] = {"closed", "open", "half-open"};
    return names[state];
}

bool breaker_admits(const breaker_t *self, uint64_t now_us)
{
    return self->state == BREAKER_CLOSED ||
           (self->state == BREAKER_OPEN && now_us >= self->until_us);
}

bool breaker_ask(breaker_t *self, uint64_t now_us)
{
    if (self->state != BREAKER_OPEN || now_us < self->until_us)
        return false;
    self->state = BREAKER_HALF_OPEN;
    return true;
}

void breaker_speaks(breaker_t *self)
{
    if (self->state == BREAKER_CLOSED)
        return;
    self->state = BREAKER_CLOSED;
    self->failures = self->limit - 1; // one more opens it again, for longer
}

void breaker_done(breaker_t *self)
{
    self->state = BREAKER_CLOSED;
    self->failures = self->openings = 0;
}

static void open_breaker(breaker_t *self, uint64_t now_us, uint64_t at_least_us, double dice)
{
    uint64_t longest = self->pause_us * BREAKER_LONGEST;
    uint64_t pause = self->openings < 5 ? self->pause_us << self->openings : longest;
    if (pause < at_least_us)
        pause = at_least_us;
    if (pause > longest)
        pause = longest;
    self->state = BREAKER_OPEN;
    self->until_us = now_us + (uint64_t)((double)pause * (0.75 + dice / 2));
    self->openings++;
}

void breaker_failed(breaker_t *self, bool probe, uint64_t now_us, uint64_t at_least_us, double dice)
{
    if (self->limit == 0)
        return;
    if (self->state == BREAKER_CLOSED) {
        if (++self->failures >= self->limit)
            open_breaker(self, now_us, at_least_us, dice);
    } else if (self->state == BREAKER_HALF_OPEN && probe) {
        self->failures++;
        open_breaker(self, now_us, at_least_us, dice);
    } // else it was asked before the breaker opened, and adds nothing to what is known
}

void breaker_left(breaker_t *self, bool probe, uint64_t now_us)
{
    if (!probe || self->state != BREAKER_HALF_OPEN)
        return;
    self->state = BREAKER_OPEN;
    self->until_us =
        now_us + self->pause_us; // it may have been cancelled because the server was silent
}
