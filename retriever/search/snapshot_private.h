// snapshot_private: an open generation, as snapshot.c opens it and snapshot_search.c searches it.
#ifndef SNAPSHOT_PRIVATE_H
#define SNAPSHOT_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "log_tailer.h"
#include "snapshot.h"

struct snapshot {
    atomic_size_t refs;
    store_t *store;
    snapshot_source_t *sources;
    size_t size;
    log_tailer_t *live; // what changes have made of it
    // the thread that compares checksums of large files
    pthread_t checker;
    bool checks; // the thread is to be joined
    atomic_bool stop, damaged;
    uint64_t *shards; // that are served
    size_t shards_size;
    char damage[1024]; // what is wrong, written before `damaged`
};

#endif
