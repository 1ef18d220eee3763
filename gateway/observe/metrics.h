// metrics: what Prometheus gets to see of the questions: counters, and histograms of durations.
// Every family is a row of a table with its help text; the number of series is bounded whatever the
// clients and workers call things.
#ifndef METRICS_H
#define METRICS_H

#include "metrics_text.h"
#include "timeline.h"

enum {
    METRICS_MAX_VALUES = 20, // collections, models that have series of their own; the rest: "other"
};

typedef enum counter {
    COUNT_QUESTIONS,  // taken
    COUNT_DONE,       // this one to COUNT_PASSAGES_CUT: counted by metrics_answer
    COUNT_FAILED,     // the sum over all codes
    COUNT_CANCELLED,  // the client went away
    COUNT_INCOMPLETE, // answered without all sources
    COUNT_ASKED,      // sources that were to answer
    COUNT_ANSWERED,   // of those
    COUNT_CONTINUATIONS,
    COUNT_PASSAGES_REPEATED, // left out of prompts
    COUNT_PASSAGES_CUT,
    COUNT_REFUSED,        // 429: as many are at work as may be
    COUNT_REFUSED_RATE,   // 429: the key has used up its rate
    COUNT_TOKENS,         // relayed
    COUNT_RETRIES,        // tasks sent again to another worker
    COUNT_SEARCHES,       // search tasks sent, hedges not counted
    COUNT_HEDGES,         // search tasks sent to a second replica because the first is slow
    COUNT_HEDGES_WON,     // of those, answered first
    COUNT_EFFORT_LOWERED, // searches that looked at less of their index, for want of time
    COUNT_GAPS,           // numbers missing in a token stream
    COUNT_STRAY_MESSAGES, // messages for tasks that are not ours
    COUNT_EMBED_ERRORS,
    COUNT_FALLBACKS,  // answers not by the configured model
    COUNT_CACHE_HITS, // questions whose passages were in the cache
    COUNT_CACHE_MISSES,
    COUNT_ANSWER_CACHE_HITS, // questions whose answer was
    COUNT_ANSWER_CACHE_MISSES,
    COUNT_SEMANTIC_HITS,     // that took the passages of another question close to it
    COUNT_RETRIEVALS_SHARED, // that waited for another's retrieval of the same
    COUNT_PREFILLS,          // drafts whose passages a generator was asked to read ahead
    COUNT_PREFILLS_USED,     // questions that went to the generator that had read them
    COUNT_PROVISIONAL,       // answers begun before all sources had answered
    COUNT_PROVISIONAL_KEPT,  // of them, with the passages that they ended with
    COUNT_PROGRESSIVE,       // questions whose first passages went out before all sources answered
    COUNT_PREVIEWS,          // quotations for the time until the first token
    COUNTERS,                // their number
} counter_t;

// What can go wrong, counted by code.
typedef enum trouble {
    FAILURE_UPSTREAM, // an LLM server failed a generator, whether or not another answered instead
    FAILURE_DENSE,    // a task failed at a worker of this role, tried again or not
    FAILURE_LEXICAL,
    FAILURE_GENERATOR,
    FAILURES, // their number
} failure_t;

typedef struct metrics metrics_t;

metrics_t *metrics_new(void);
void metrics_destroy(metrics_t **self_p);
void metrics_count(metrics_t *self, counter_t counter, uint64_t more);
uint64_t metrics_value(const metrics_t *self, counter_t counter);
// `code` as workers send it; those that are not known count as "other".
void metrics_count_failure(metrics_t *self, failure_t trouble, const char *code);

// To be called once for every question or draft that was taken, when its answer has ended, well or
// not. Drafts have times and stages only.
void metrics_answer(metrics_t *self, const timeline_t *timeline);

// The value of the label `collection` for this one: its name (shortened) or "other". Valid until
// the metrics are destroyed.
const char *metrics_collection(metrics_t *self, const char *collection);

// Appends all of them.
void metrics_write(const metrics_t *self, metrics_text_t *text);

#endif
