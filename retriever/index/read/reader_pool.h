// reader_pool: the processes that read documents, on all cores. Each has its jobs in turn, and
// answers them in that order; one that crashes or passes a limit is ended, and another takes its
// place.
#ifndef READER_POOL_H
#define READER_POOL_H

#include "reader.h"
#include "reader_frame.h"

typedef struct reader_pool reader_pool_t;

reader_pool_t *reader_pool_new(const reader_limits_t *limits);
// Ends the readers.
void reader_pool_destroy(reader_pool_t **self_p);

// Gives a reader a job; the descriptor is the pool's from now on. That the reader is gone is for
// reader_pool_receive to find.
void reader_pool_send(reader_pool_t *self, unsigned reader, int fd, const char *path,
                      uint64_t after);

// The next frame of a reader. Returns 1 with *frame and its body (good until the next call for this
// reader); 0 if none has come in some milliseconds: ask again; -1 if the reader was lost with all
// its jobs, and why (*reason).
int reader_pool_receive(reader_pool_t *self, unsigned reader, reader_frame_t *frame,
                        const char **body, report_reason_t *reason, char *why, size_t why_size);

// Ends a reader that has said what cannot be; its jobs are lost.
void reader_pool_drop(reader_pool_t *self, unsigned reader);

#endif
