// generator: what the parts of this process share.
#ifndef GEN_GENERATOR_H
#define GEN_GENERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch.h"
#include "gen_gateways.h"
#include "proc.h"
#include "prompt.h"
#include "upstream.h"

struct gen_tasks;

enum {
    UPSTREAMS_MAX = 4
};

typedef struct generator {
    rl_proc_t *proc;
    rl_fetcher_t *fetcher;
    gen_gateways_t *gateways;
    struct gen_tasks *tasks;
    upstream_t *llm, *extractive;
    upstream_t *order[UPSTREAMS_MAX]; // asked one after the other, as far as the trouble allows
    size_t order_size;
    prompt_template_t *template;
    size_t slots, queue_max;
    size_t context_tokens, max_tokens;
    bool leaving;     // no new answers
    rl_buf_t scratch; // one text at a time
} generator_t;

// Runs the process; returns its exit status.
int generator_main(int argc, char **argv);

#endif
