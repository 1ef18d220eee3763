// generator: what the parts of this process share.
#ifndef GENERATOR_H
#define GENERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch.h"
#include "gateway_links.h"
#include "proc.h"
#include "upstreams.h"

struct tasks;

typedef struct generator {
    rl_proc_t *proc;
    rl_fetcher_t *fetcher;
    gateway_links_t *gateways;
    struct tasks *tasks;
    upstreams_t upstreams;
    const backend_events_t *answer_events; // what a backend calls while it writes an answer
    size_t slots, queue_max;
    bool leaving;     // no new answers
    rl_buf_t scratch; // one text at a time
} generator_t;

// Runs the process; returns its exit status.
int generator_main(int argc, char **argv);

#endif
