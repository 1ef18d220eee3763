// upstreams: the order of what writes answers, and what is known of each.
#include "upstreams.h"

#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "model_fingerprint.h"
#include "upstreams_read.h"

enum {
    LATER_S = 1000000,   // longest Retry-After that counts
    LEAST_MEASURED = 64, // tokens: with less the rate cannot be measured
};

// ---- the order --------------------------------------------------------------------------

void upstreams_init(upstreams_t *self, struct event_base *loop, rl_fetcher_t *fetcher)
{
    *self = (upstreams_t){.loop = loop, .fetcher = fetcher};
    LIST_INIT(&self->all);
}

static void free_upstream(upstream_t *upstream)
{
    LIST_REMOVE(upstream, list);
    if (upstream->warming)
        upstream->backend->type->cancel(&upstream->warming);
    upstream->backend->type->destroy(&upstream->backend);
    prompt_template_destroy(&upstream->template);
    free(upstream);
}

void upstreams_free(upstreams_t *self)
{
    while (!LIST_EMPTY(&self->all))
        free_upstream(LIST_FIRST(&self->all));
    self->size = 0;
}

void upstreams_sweep(upstreams_t *self)
{
    upstream_t *next;
    for (upstream_t *at = LIST_FIRST(&self->all); at; at = next) {
        next = LIST_NEXT(at, list);
        if (at->calls == 0 && upstreams_index_of(self, at) < 0)
            free_upstream(at);
    }
}

// The one of this name, or a new one. "extractive" is the name of nothing else.
static upstream_t *find_or_add(upstreams_t *self, const char *name)
{
    upstream_t *upstream;
    LIST_FOREACH(upstream, &self->all, list)
    {
        if (strcmp(upstream->name, name) == 0)
            return upstream;
    }
    upstream = rl_new(*upstream);
    snprintf(upstream->name, sizeof upstream->name, "%s", name);
    upstream->backend = strcmp(name, "extractive") == 0
                            ? backend_extractive_new(self->loop)
                            : backend_openai_new(self->loop, self->fetcher);
    LIST_INSERT_HEAD(&self->all, upstream, list);
    return upstream;
}

static void take_over(upstreams_t *self, upstream_plan_t *plan, const rl_conf_t *conf)
{
    upstream_t *upstream = find_or_add(self, plan->name);
    if (upstream->backend->type->configure(upstream->backend, &plan->settings)) {
        breaker_reset(&upstream->breaker);
        upstream->reading_rate = upstream->planned_rate = 0;
    }
    breaker_set(&upstream->breaker, (unsigned)rl_conf_int(conf, "llm.breaker_failures"),
                (uint64_t)rl_conf_int(conf, "llm.breaker_ms") * 1000);
    prompt_template_destroy(&upstream->template);
    snprintf(upstream->where, sizeof upstream->where, "%s", plan->where);
    upstream->template = plan->template;
    plan->template = NULL;
    upstream->context_tokens = plan->context_tokens;
    upstream->max_tokens = plan->max_tokens;
    upstream->prefill_slots = plan->prefill_slots;
    upstream->prefill_reserve = plan->prefill_reserve;
    upstream->target_us = plan->target_us;
    upstream->settings = model_fingerprint_of_settings(upstream, &plan->settings);
    upstream->warmed = false;
    self->order[self->size++] = upstream;
}

bool upstreams_configure(upstreams_t *self, const rl_conf_t *conf, char *why, size_t why_size)
{
    upstreams_plan_t plan;
    bool good = upstreams_plan_read(&plan, conf, why, why_size);
    for (size_t at = 0; good && at < plan.size; at++) {
        const backend_type_t *type = find_or_add(self, plan.llms[at].name)->backend->type;
        good = type->check(&plan.llms[at].settings, why, why_size);
    }
    if (good) {
        self->size = 0;
        self->version++;
        for (size_t at = 0; at < plan.size; at++)
            take_over(self, &plan.llms[at], conf);
        if (plan.extractive) {
            upstream_t *last = self->order[self->size++] = find_or_add(self, "extractive");
            last->max_tokens = (size_t)rl_conf_int(conf, "llm.max_tokens");
            last->settings = model_fingerprint_of_settings(last, NULL);
        }
    }
    upstreams_plan_free(&plan);
    return good;
}

const char *upstreams_model(const upstreams_t *self)
{
    const upstream_t *first = self->order[0];
    for (size_t at = 0; at < self->size; at++)
        if (self->order[at]->breaker.state == BREAKER_CLOSED) {
            first = self->order[at];
            break;
        }
    return first->backend->type->model(first->backend);
}

int upstreams_next(const upstreams_t *self, unsigned tried, bool llm)
{
    uint64_t now = rl_now_us();
    for (size_t at = 0; at < self->size; at++)
        if (!(tried & 1u << at) && (!llm || self->order[at]->template) &&
            breaker_admits(&self->order[at]->breaker, now))
            return (int)at;
    return -1;
}

int upstreams_least_bad(const upstreams_t *self, unsigned tried)
{
    int best = -1;
    for (size_t at = 0; at < self->size; at++)
        if (!(tried & 1u << at) &&
            (best < 0 || self->order[at]->breaker.until_us < self->order[best]->breaker.until_us))
            best = (int)at;
    return best;
}

int upstreams_index_of(const upstreams_t *self, const upstream_t *upstream)
{
    for (size_t at = 0; at < self->size; at++)
        if (self->order[at] == upstream)
            return (int)at;
    return -1;
}

prompt_cache_t upstream_prompt_cache(const upstream_t *upstream)
{
    const backend_type_t *type = upstream->backend->type;
    return upstream->template && type->prompt_cache ? type->prompt_cache(upstream->backend)
                                                    : (prompt_cache_t){0};
}

void upstream_measured(upstream_t *upstream, double tokens, double seconds)
{
    if (tokens < LEAST_MEASURED || seconds <= 0)
        return;
    double rate = tokens / seconds, before = upstream->reading_rate;
    double planned = upstream->planned_rate;
    // times are averaged, not rates: one prompt that a server had without saying so is no new speed
    upstream->reading_rate = before > 0 ? 1 / (0.75 / before + 0.25 / rate) : rate;
    // prompts stay the same byte for byte as long as this does
    if (planned <= 0 || upstream->reading_rate > planned * 1.25 ||
        upstream->reading_rate < planned / 1.25)
        upstream->planned_rate = upstream->reading_rate;
}

// ---- what becomes of answers ------------------------------------------------------------

void upstream_why_open(const upstream_t *upstream, char *why, size_t why_size)
{
    const breaker_t *breaker = &upstream->breaker;
    uint64_t now = rl_now_us();
    if (breaker->state == BREAKER_OPEN && breaker->until_us > now)
        snprintf(why, why_size,
                 "the upstream %s failed %u times in a row; it is tried again in %.1f s",
                 upstream->name, breaker->failures, (double)(breaker->until_us - now) / 1e6);
    else
        snprintf(why, why_size, "the upstream %s failed %u times in a row; it is being tried again",
                 upstream->name, breaker->failures);
}

static void log_change(upstream_t *upstream, breaker_state_t before, const char *reason)
{
    const breaker_t *breaker = &upstream->breaker;
    char why[240];
    if (breaker->state == before)
        return;
    switch (breaker->state) {
    case BREAKER_CLOSED:
        upstream->warmed = false; // it may have been restarted
        rl_info("the upstream %s answers again", upstream->name);
        break;
    case BREAKER_OPEN:
        upstream_why_open(upstream, why, sizeof why);
        rl_warn("%s: %s", why, reason);
        break;
    case BREAKER_HALF_OPEN:
        rl_info("the upstream %s is tried again with one question", upstream->name);
        break;
    }
}

static double random_share(void)
{
    unsigned char byte;
    evutil_secure_rng_get_bytes(&byte, sizeof byte);
    return byte / 255.0;
}

bool upstream_begin(upstream_t *upstream)
{
    breaker_state_t before = upstream->breaker.state;
    bool probe = breaker_ask(&upstream->breaker, rl_now_us());
    upstream->calls++;
    log_change(upstream, before, "");
    return probe;
}

void upstream_responded(upstream_t *upstream)
{
    breaker_state_t before = upstream->breaker.state;
    breaker_speaks(&upstream->breaker);
    log_change(upstream, before, "");
}

void upstream_done(upstream_t *upstream)
{
    breaker_state_t before = upstream->breaker.state;
    upstream->calls--;
    breaker_done(&upstream->breaker);
    log_change(upstream, before, "");
}

void upstream_failed(upstream_t *upstream, bool probe, const backend_failure_t *failure)
{
    breaker_state_t before = upstream->breaker.state;
    backend_failure_kind_t kind = failure->kind;
    long later_s = failure->retry_after_s < 0 ? 0 : failure->retry_after_s;
    uint64_t later = (uint64_t)(later_s < LATER_S ? later_s : LATER_S) * 1000000;
    upstream->calls--;
    if (kind == BACKEND_MISTAKE && probe)
        breaker_speaks(&upstream->breaker); // the server works; the client gets the error
    else if (kind == BACKEND_DOWN || kind == BACKEND_BUSY || probe)
        breaker_failed(&upstream->breaker, probe, rl_now_us(), later, random_share());
    log_change(upstream, before, failure->message);
}

void upstream_abandoned(upstream_t *upstream, bool probe, bool overdue)
{
    breaker_state_t before = upstream->breaker.state;
    upstream->calls--;
    if (probe && overdue)
        breaker_failed(&upstream->breaker, probe, rl_now_us(), 0, random_share());
    else
        breaker_left(&upstream->breaker, probe, rl_now_us());
    log_change(upstream, before, overdue ? "it said nothing" : "nobody waits for its answer");
}
