// upstreams: what writes answers, in the order in which it is asked: the LLM servers of
// llm.upstreams (or the one of llm.url), then the passages' own sentences where llm.fallback says
// so. A server that keeps failing is passed over for a while (breaker.h).
#ifndef GEN_UPSTREAMS_H
#define GEN_UPSTREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "breaker.h"
#include "conf.h"
#include "upstream.h"

enum {
    UPSTREAMS_LLM = 8,                // LLM servers at most
    UPSTREAMS_MAX = UPSTREAMS_LLM + 1 // and the extractive one
};

typedef struct gen_upstream {
    char name[80];   // as configured; "llm" for the one of llm.*; "extractive"
    char where[120]; // before an option's name in messages: "llm.", "[upstream NAME] "
    upstream_t *backend;
    breaker_t breaker;
    prompt_template_t *template; // NULL: it is given no prompt
    size_t context_tokens, max_tokens;
    size_t prefill_slots, prefill_reserve;
    uint64_t target_us;     // in which prompts are to be read, 0: they are not cut for it
    uint64_t settings;      // of all that its answers depend on, a hash (writer.h)
    size_t calls;           // that it is asked with; it is kept as long as there are any
    size_t prefills;        // of them: prompts that are only read
    struct prefill_counts { // since the start: what became of prefills
        uint64_t done, yielded, skipped, tokens;
    } prefilled;
    upstream_call_t *warming; // reads the beginning that all prompts have (prefill.h)
    bool warmed;
    double reading_rate; // tokens (as prompt_tokens counts them) that it reads in a second: what
                         // was measured, averaged; 0: not known
    double planned_rate; // the same as prompts are cut by: follows only what differs by much
    LIST_ENTRY(gen_upstream) list;
} gen_upstream_t;

typedef struct gen_upstreams {
    struct event_base *loop;
    rl_fetcher_t *fetcher;
    LIST_HEAD(upstream_list, gen_upstream) all; // also those that are in the order no more
    gen_upstream_t *order[UPSTREAMS_MAX];
    size_t size;      // of the order, at least 1 once it was configured
    unsigned version; // of the order: counts its changes
} gen_upstreams_t;

void gen_upstreams_init(gen_upstreams_t *self, struct event_base *loop, rl_fetcher_t *fetcher);
void gen_upstreams_free(gen_upstreams_t *self);

// (Re)reads llm.* and the sections [upstream NAME]. False with what is wrong in `why`: then nothing
// has changed. Answers at work go on with the upstream that they were started with.
bool gen_upstreams_configure(gen_upstreams_t *self, const rl_conf_t *conf, char *why,
                             size_t why_size);

// What answers now: the model of the first one that is not left alone, "" if not known yet.
const char *gen_upstreams_model(const gen_upstreams_t *self);

// Places in the order; `tried` has a bit for each that is not meant. -1: there is none.
//
// The first one that may be asked, which has a prompt where `llm` is wanted.
int gen_upstreams_next(const gen_upstreams_t *self, unsigned tried, bool llm);
// Where none may: the one that is left alone for the shortest time from now.
int gen_upstreams_least_bad(const gen_upstreams_t *self, unsigned tried);
// Where this one stands.
int gen_upstreams_place(const gen_upstreams_t *self, const gen_upstream_t *upstream);

// What it keeps of prompts.
upstream_keeps_t gen_upstream_keeps(const gen_upstream_t *upstream);
// So many tokens were read in this time.
void gen_upstream_measured(gen_upstream_t *upstream, double tokens, double seconds);

// An answer is asked for. Returns whether this is the one that tries the server again: each of the
// ends below wants to know it.
bool gen_upstream_begin(gen_upstream_t *upstream);
// Its first words have come; the end is still to follow.
void gen_upstream_speaks(gen_upstream_t *upstream);
// The ends of an answer: it came whole; it failed; nobody waits for it any more, `overdue` where
// it took longer than it might.
void gen_upstream_done(gen_upstream_t *upstream);
void gen_upstream_failed(gen_upstream_t *upstream, bool probe, const upstream_failure_t *failure);
void gen_upstream_left(gen_upstream_t *upstream, bool probe, bool overdue);

// Why it is passed over, in words.
void gen_upstream_why_open(const gen_upstream_t *upstream, char *why, size_t why_size);

// Lets go of what is not in the order any more and has no answers at work. Not from within a call
// of an upstream.
void gen_upstreams_sweep(gen_upstreams_t *self);

#endif
