// hedge: a search that has taken longer than 95 of 100 do at the source's fastest replica is sent
// to a second replica; the first answer counts, the other task is cancelled. Hedges are a bounded
// share of all searches, so that they cannot make an overload worse. One search in twenty takes
// that long by definition, which alone would use up the usual share: half of what can be saved up
// is kept for those that take twice as long. Dean, Barroso 2013, "The Tail at Scale".
#ifndef HEDGE_H
#define HEDGE_H

#include "request.h"

// Hedges what is due, and sees to it that the rest is looked at in time. Does little unless
// searches were sent since.
void hedge_late(request_t *self);

#endif
