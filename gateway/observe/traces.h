// traces: the timelines of the answers that ended last, and GET /v1/traces and /v1/traces/{id}.
#ifndef TRACES_H
#define TRACES_H

#include "buf.h"
#include "http.h"
#include "timeline.h"

typedef struct traces traces_t;

// Keeps the last `most`; 0 keeps none.
traces_t *traces_new(size_t most);
void traces_destroy(traces_t **self_p);
// Another bound, from now on (the oldest go first).
void traces_resize(traces_t *self, size_t most);

// Takes the timeline of an answer that has ended; *timeline_p becomes NULL.
void traces_keep(traces_t *self, timeline_t **timeline_p);

size_t traces_size(const traces_t *self);
// From the newest (0) to the oldest (traces_size − 1).
const timeline_t *traces_at(const traces_t *self, size_t at);

// Answer GET /v1/traces and GET /v1/traces/{id} with those that the caller may see; `gateway` is
// the id of this process.
void traces_get_list(const traces_t *self, const char *gateway, http_req_t *req);
void traces_get_one(const traces_t *self, const char *gateway, http_req_t *req);

#endif
