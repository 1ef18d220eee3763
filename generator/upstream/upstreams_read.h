// upstreams_read: the order of the upstreams as the configuration has it, read and checked whole
// before anything changes.
#ifndef UPSTREAMS_READ_H
#define UPSTREAMS_READ_H

#include "upstreams.h"

typedef struct upstream_plan {
    char name[80], where[120];
    backend_settings_t settings; // looks into `where` and the configuration
    prompt_template_t *template; // owned
    size_t context_tokens, max_tokens, prefill_slots, prefill_reserve;
    uint64_t target_us;
} upstream_plan_t;

typedef struct upstreams_plan {
    upstream_plan_t llms[UPSTREAMS_LLM];
    size_t size;
    bool extractive; // comes last
} upstreams_plan_t;

// False with what is wrong in `why`. Free with upstreams_plan_free in any case.
bool upstreams_plan_read(upstreams_plan_t *plan, const rl_conf_t *conf, char *why, size_t why_size);
void upstreams_plan_free(upstreams_plan_t *plan);

#endif
