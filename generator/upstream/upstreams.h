// upstreams: what writes answers, in the order in which it is asked: the LLM servers of
// llm.upstreams (or the one of llm.url), then the passages' own sentences where llm.fallback says
// so. A server that keeps failing is passed over for a while (breaker.h).
#ifndef UPSTREAMS_H
#define UPSTREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "backend.h"
#include "breaker.h"
#include "conf.h"

enum {
    UPSTREAMS_LLM = 8,                // LLM servers at most
    UPSTREAMS_MAX = UPSTREAMS_LLM + 1 // and the extractive one
};

typedef struct upstream {
    char name[80];   // as configured; "llm" for the one of llm.*; "extractive"
    char where[120]; // before an option's name in messages: "llm.", "[upstream NAME] "
    backend_t *backend;
    breaker_t breaker;
    prompt_template_t *template; // NULL: it is given no prompt
    size_t context_tokens, max_tokens;
    size_t prefill_slots, prefill_reserve;
    uint64_t target_us;     // in which prompts are to be read, 0: they are not cut for it
    uint64_t settings;      // of all that its answers depend on, a hash (model_fingerprint.h)
    size_t calls;           // that it is asked with; it is kept as long as there are any
    size_t prefills;        // of them: prompts that are only read
    struct prefill_counts { // since the start: what became of prefills
        uint64_t done, yielded, skipped, tokens;
    } prefilled;
    backend_call_t *warming; // reads the beginning that all prompts have (prefill.h)
    bool warmed;
    double reading_rate; // tokens (as prompt_tokens counts them) that it reads in a second: what
                         // was measured, averaged; 0: not known
    double planned_rate; // the same as prompts are cut by: follows only what differs by much
    LIST_ENTRY(upstream) list;
} upstream_t;

typedef struct upstreams {
    struct event_base *loop;
    rl_fetcher_t *fetcher;
    LIST_HEAD(upstream_list, upstream) all; // also those that are in the order no more
    upstream_t *order[UPSTREAMS_MAX];
    size_t size;      // of the order, at least 1 once it was configured
    unsigned version; // of the order: counts its changes
} upstreams_t;

void upstreams_init(upstreams_t *self, struct event_base *loop, rl_fetcher_t *fetcher);
void upstreams_free(upstreams_t *self);

// (Re)reads llm.* and the sections [upstream NAME]. False with what is wrong in `why`: then nothing
// has changed. Answers under way stay with the upstream that they were started with.
bool upstreams_configure(upstreams_t *self, const rl_conf_t *conf, char *why, size_t why_size);

// What answers now: the model of the first one that is not left alone, "" if not known yet.
const char *upstreams_model(const upstreams_t *self);

// Places in the order; `tried` has a bit for each that is excluded. -1: there is none.
//
// The first one that may be asked, which has a prompt where `llm` is wanted.
int upstreams_next(const upstreams_t *self, unsigned tried, bool llm);
// Where none may: the one that is left alone for the shortest time from now.
int upstreams_least_bad(const upstreams_t *self, unsigned tried);
// Where this one stands.
int upstreams_index_of(const upstreams_t *self, const upstream_t *upstream);

// How it keeps prompts.
prompt_cache_t upstream_prompt_cache(const upstream_t *upstream);
// So many tokens were read in this time.
void upstream_measured(upstream_t *upstream, double tokens, double seconds);

// An answer is asked for. Returns whether this is the one that tries the server again: each of the
// ends below wants to know it.
bool upstream_begin(upstream_t *upstream);
// Its first words have come; the end is still to follow.
void upstream_responded(upstream_t *upstream);
// The ends of an answer: it came whole; it failed; it was cancelled, `overdue` where its time had
// run out.
void upstream_done(upstream_t *upstream);
void upstream_failed(upstream_t *upstream, bool probe, const backend_failure_t *failure);
void upstream_abandoned(upstream_t *upstream, bool probe, bool overdue);

// Why it is passed over, in words.
void upstream_why_open(const upstream_t *upstream, char *why, size_t why_size);

// Frees upstreams that are not in the order any more and have no calls. Not from within a call
// of an upstream.
void upstreams_sweep(upstreams_t *self);

#endif
