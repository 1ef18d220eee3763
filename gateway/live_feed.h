// live_feed: GET /v1/live: a snapshot of this gateway as JSON, or one a second as server-sent
// events to all who watch (gateway/README.md, "Live").
#ifndef LIVE_FEED_H
#define LIVE_FEED_H

#include "gateway.h"

typedef struct live_feed live_feed_t;

// Begins to take snapshots once a second.
live_feed_t *live_feed_new(gateway_t *gateway);
// Ends all watchers' streams.
void live_feed_destroy(live_feed_t **self_p);

// The gateway stops: tells the watchers and ends their streams, since open streams would hold it
// up.
void live_feed_stop(live_feed_t *self);

#endif
