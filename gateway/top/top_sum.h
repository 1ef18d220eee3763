// top_sum: the snapshots of several gateways (GET /v1/live?buckets=1) as one.
#ifndef TOP_SUM_H
#define TOP_SUM_H

#include <jansson.h>
#include <stddef.h>

// A snapshot in the form of GET /v1/live, without history, which the caller owns. Counts and rates
// add up; percentiles come from the histograms of all (where a gateway sends none, they are left
// out); a worker that several gateways know is there once, with the tasks of all of them. What a
// gateway sends in another form than it should counts as nothing. `size` may be 0.
json_t *top_sum(json_t *const *snapshots, size_t size);

#endif
