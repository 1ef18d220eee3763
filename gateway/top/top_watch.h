// top_watch: the connections to the gateways that are watched: one event a second from each, and
// again and again where one is away.
#ifndef TOP_WATCH_H
#define TOP_WATCH_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf.h"

typedef struct top_watch top_watch_t;

enum {
    TOP_MAX_GATEWAYS = 64
};

// Begins to watch the gateways that `conf` names (arguments, else top.urls). `once`: one snapshot
// of each, and no second try. `changed` is called from the loop whenever one has sent a snapshot or
// is found to be away. NULL after having said what is wrong with the addresses.
top_watch_t *top_watch_new(struct event_base *base, const rl_conf_t *conf, bool once,
                           void (*changed)(void *arg), void *arg);
void top_watch_destroy(top_watch_t **self_p);

// All that are there as one (see top_sum), with a member "gateways": [{"url", "gateway", "state":
// "serving", "stopping" or "away", "error"}] more. The caller owns it.
json_t *top_watch_sum(const top_watch_t *self);

size_t top_watch_size(const top_watch_t *self);
size_t top_watch_there(const top_watch_t *self); // that sent a snapshot and are not away
bool top_watch_settled(const top_watch_t *self); // each has sent a snapshot or failed
bool top_watch_reached(const top_watch_t *self); // one has sent a snapshot at some time
// Writes what is wrong with those that are away to standard error, each only when it is news.
void top_watch_complain(top_watch_t *self);

#endif
