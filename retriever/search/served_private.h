// served_private: an open generation, as served.c opens it and served_search.c searches it.
#ifndef RL_SERVED_PRIVATE_H
#define RL_SERVED_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "follow.h"
#include "served.h"

struct rl_served {
    atomic_size_t users;
    rl_store_t *store;
    rl_served_source_t *sources;
    size_t size;
    rl_follow_t *live; // what changes have made of it
    // comparing checksums aside
    pthread_t checker;
    bool checks; // the thread is to be joined
    atomic_bool stop, damaged;
    uint64_t *shards; // that are served
    size_t shards_size;
    char damage[1024]; // what is wrong, written before `damaged`
};

#endif
