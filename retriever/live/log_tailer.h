// log_tailer: follows the change log of an open generation and applies it to each shard's delta. A
// thread does that as soon as something is written; a search polls the log once more before it
// begins, so that a change that was acknowledged is in force for every search after that.
#ifndef LOG_TAILER_H
#define LOG_TAILER_H

#include "delta.h"
#include "field_types.h"

typedef struct log_tailer log_tailer_t;

typedef struct log_tailer_options {
    bool (*serves)(const void *arg, uint64_t shard); // the shards that are kept up
    const void *arg;
    delta_kinds_t kinds;
} log_tailer_options_t;

// Applies all that is in the log. The store outlives it. NULL with `why`: the log is damaged, the
// generation cannot be changed, or *gone: changes that the generation does not have are no longer
// in the log, since a newer one has them.
log_tailer_t *log_tailer_new(const char *folder, const store_t *store,
                             const log_tailer_options_t *options, bool *gone, char *why,
                             size_t why_size);
void log_tailer_destroy(log_tailer_t **self_p);

// Follows the log in a thread of its own from now on.
int log_tailer_start(log_tailer_t *self, char *why, size_t why_size);

// Applies what was written since, or waits until another thread has. Any thread. Returns 0, or -1
// with `why` when it cannot be known what is in force: the log is damaged, or has gone on without
// this generation.
int log_tailer_poll(log_tailer_t *self, char *why, size_t why_size);

// Whether there is a log of changes in the folder.
bool log_tailer_has_log(const log_tailer_t *self);
// Number of the last change that all deltas have.
uint64_t log_tailer_number(const log_tailer_t *self);

// The fields of the metadata, those of passages added included.
field_types_t *log_tailer_fields(const log_tailer_t *self);

// The delta of a shard, NULL if it is not served.
delta_t *log_tailer_delta(const log_tailer_t *self, uint64_t shard);

#endif
