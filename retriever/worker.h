// worker: the retriever as the gateways see it. Each shard and kind is announced as a worker of its
// own, with a socket for its tasks.
//
//   out  ANNOUNCE, LEAVE, HITS, FAILED   to the gateways of cluster.gateways
//   in   WELCOME, SEARCH, CANCEL         from them
#ifndef WORKER_H
#define WORKER_H

#include "proc.h"

typedef struct worker worker_t;

// Opens the collections of retriever.index and begins to announce them. Returns NULL and writes
// what is wrong (with the configuration, an index, a socket) and what to do into `why`.
worker_t *worker_new(rl_proc_t *proc, char *why, size_t why_size);
void worker_destroy(worker_t **self_p);

// Orderly end: leaves the gateways, finishes the open tasks (for at most retriever.grace_ms), then
// calls rl_proc_end.
void worker_stop(worker_t *self);

// Takes over what can change of a configuration that was read again: cluster.announce_ms and
// retriever.grace_ms. Looks for new generations at once.
void worker_reload(worker_t *self);

#endif
