// search_private: what the files of the search share; for them alone.
#ifndef SEARCH_PRIVATE_H
#define SEARCH_PRIVATE_H

#include "request_private.h"
#include "search.h"

enum {
    SEARCH_MAX_SOURCES = 1024, // shards × kinds × collections of one question
    SEARCH_MAX_TRIES = 3,      // workers asked for one source, one after the other
    SEARCH_MIN_LOOK_US = 1000,
};

typedef enum lookup_state {
    LOOKUP_EMBEDDING, // waits for the question's vector
    LOOKUP_WAITING,   // every replica has as much as it may have
    LOOKUP_ASKED,
    LOOKUP_FAILED, // to be asked elsewhere, or put off
    LOOKUP_ANSWERED,
    LOOKUP_MISSING, // no worker, failed, or too late
} lookup_state_t;

// One source's part of the retrieval.
typedef struct lookup {
    source_t source;
    lookup_state_t state;
    task_t *task;
    task_t *hedge; // the same at another replica, where the first is slow
    bool hedged, hedge_won;
    rl_msg_t *hits;
    char *worker; // that answered, or was asked last
    char *reason; // why it is missing, or has failed
    // of a failure: by whom, and whether another may be asked, or the same one later
    const worker_t *failed_by;
    bool retry, busy;
    unsigned tries;
    uint64_t asked_us; // when it first had all that it needs
    uint64_t again_us; // LOOKUP_WAITING because all said that they are busy: when to ask again
    uint64_t sent_us, done_us, queue_us, work_us;
    char effort_kind[16]; // as in rl_hits_t
    uint64_t effort, effort_wanted;
} lookup_t;

typedef struct search {
    lookup_t *lookups;
    size_t size, pending;
    long soft_ms, hard_ms;
    size_t quorum;
    bool asked, soft_over, hard_over;
    bool lowered;  // a search took less effort than it should
    bool room;     // a retriever has room again
    bool looked;   // the time to look again has come
    bool refused;  // the last task could not be sent as it is
    bool moved;    // see search_has_moved
    unsigned sent; // since then
    size_t failed; // lookups in LOOKUP_FAILED
    rl_timer_t *look;
    embed_call_t *embed;
    bool embedded; // its call is over, and nobody has looked at what came of it
    float *vector;
    size_t dimension;
    uint64_t embed_start_us;
    char embed_why[160];
} search_t;

void search_set_text(char **text, const char *with);
// The source will not answer; the question goes on without it and says so.
void search_miss(request_t *self, lookup_t *lookup, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void search_ask(request_t *self, lookup_t *lookup, const worker_t *except);
void search_cancel_tasks(request_t *self, lookup_t *lookup);
void search_give_up_embedding(request_t *self);
bool search_is_stale(const request_t *self, const lookup_t *lookup);
void search_note(request_t *self);

#endif
