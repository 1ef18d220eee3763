// request_private: what the files of a request share; for them alone.
#ifndef REQUEST_PRIVATE_H
#define REQUEST_PRIVATE_H

#include "answer_cache.h"
#include "response.h"
#include "followup.h"
#include "passage_set.h"
#include "request.h"
#include "timeline.h"

enum {
    MAX_SOURCES = 1024,        // shards × kinds × collections of one question
    REQUEST_HEDGES_SAVED = 10, // hedges that a quiet time can save up
};

typedef enum search_state {
    SEARCH_EMBEDDING, // waits for the question's vector
    SEARCH_WAITING,   // every replica has as much as it may have
    SEARCH_ASKED,
    SEARCH_ANSWERED,
    SEARCH_MISSING, // no worker, failed, or too late
} search_state_t;

// One source's part of the retrieval.
typedef struct search {
    source_t source;
    search_state_t state;
    task_t *task;
    task_t *hedge; // the same at another replica, where the first is slow
    task_t *check; // what is in force (request_check.c)
    bool hedged, hedge_won;
    rl_msg_t *hits;
    char *worker; // that answered, or was asked last
    char *reason; // why it is missing
    unsigned tries;
    uint64_t asked_us; // when it first had all that it needs
    uint64_t again_us; // SEARCH_WAITING because all said that they are busy: when to ask again
    uint64_t sent_us, done_us, queue_us, work_us;
    char effort_kind[16]; // as in rl_hits_t
    uint64_t effort, effort_wanted;
} search_t;

// Retrieval shared with others that ask the same (request_share.c).
typedef struct share {
    char rest[LRU_KEY], key[LRU_KEY]; // of all but the words; of all
    char flight[LRU_KEY];             // of all and the deadlines: who may wait for whom
    uint64_t from_us;                 // when the cache was asked
    size_t checks;                    // sources that are asked what is in force
    bool checking, checked;           // waits for them; they have said it
    bool unchecked;                   // one has not: nothing of others is used
    bool lowered;                     // a search took less effort than it should, for want of time
    uint64_t changes, reloads;        // of the registry and the settings until the keys were made
    bool leads;                       // others may wait for what this one finds
    request_t *leader;                // that is waited for, NULL if none
    bool orphan;                      // waits for nobody any more: in pipeline->orphans
    passage_set_t *found;             // what its leader found for it; NULL: nothing
    bool by_itself;                   // has waited in vain: it waits for nobody again
    struct request_queue followers;
    TAILQ_ENTRY(request) next; // in followers, or orphans
} share_t;

// Answers that are kept (request_again.c).
typedef struct again {
    char key[LRU_KEY];       // of the question, without the writer; "": nothing is kept
    cached_answer_t *answer; // that is given again, NULL: a new one is written
    size_t given;            // pieces of it
    bool sound;              // the passages are what another one asking now would get
    uint32_t *ends;          // of the pieces that came, in bytes
    size_t ends_size;
    bool left_out; // too many of them
} again_t;

// An answer begun before all sources have answered (request_provisional.c).
typedef struct provisional {
    struct event *timer; // when sources are late enough; NULL: not looked at
    bool due;            // they are
    bool running;        // a generation from `hits` is at work, and its words are held
    passage_set_t *hits; // what it was begun with; NULL: it was not
    rl_msg_t **held;
    size_t held_size;
} provisional_t;

// Passages shown before all sources have answered (request_progressive.c).
typedef struct progressive {
    struct event *timer; // when they may be shown next; NULL: they are not
    bool due;            // as soon as there is more of them
    unsigned shown;      // sources that had answered when they were shown last
    uint64_t from_us;    // since when sources are awaited
} progressive_t;

struct request {
    pipeline_t *pipeline;
    question_t *question;
    response_t *face;
    answer_t answer;
    char id[40];
    timeline_t *timeline;
    const keys_caller_t *caller;
    request_state_t state;
    uint64_t received_us;
    struct event *timer;       // the whole answer
    struct event *hedge_timer; // NULL while no search may be hedged
    struct event *phase;       // the phase at hand: retrieval's deadlines, a wait for a generator
    bool shown;                // a first status has gone out
    bool queued;               // stands in pipeline->waiting
    bool alone;                // and no generator is there: it fails if none comes
    // retrieval
    char *search_text; // what is looked for: the question, made to stand on its own
    search_t *searches;
    size_t searches_size, pending;
    uint64_t retrieval_us; // when its deadlines begin: at the question's first byte, or when
                           // it was rewritten, or waited for another in vain
    long soft_ms, hard_ms;
    size_t quorum;
    bool soft_over;
    embed_call_t *embed;
    rewrite_t *rewrite;
    float *vector;
    size_t dimension;
    uint64_t embed_start_us;
    passage_set_t *hits; // the passages
    share_t share;
    provisional_t provisional;
    again_t again;
    progressive_t progressive;
    char reader[64]; // id of the generator that has read the passages ahead, "" if none
    bool drafting;   // a draft that its session knows of
    missing_source_t *missing;
    // generation
    task_t *generation;
    char *generator;                           // id of the worker
    unsigned generator_tries, generators_lost; // asked; of them lost
    uint64_t generate_sent_us, heard_us;
    uint64_t seq, granted;          // highest number taken; numbers up to this may be sent
    bool paused;                    // the client is behind: no credit until it has caught up
    uint64_t gap_us;                // when a gap was last asked about
    size_t text_length;             // code points
    uint64_t tokens, tokens_before; // of the answer; of them, by generators that were lost
    unsigned continuations;
    TAILQ_ENTRY(request) all, wait;
};

// The one function that changes the state; stamps the time.
void request_enter(request_t *self, request_state_t state);

// Ends it with an error to the client. The request is gone afterwards.
void request_fail(request_t *self, int status, const char *code, long retry_after_s,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
// Ends it with everything said. The request is gone afterwards.
void request_complete(request_t *self);

void request_status(request_t *self, const char *state, const char *message, const json_t *detail);

// Milliseconds left until the whole answer's deadline, at least 1.
uint64_t request_time_left_ms(const request_t *self);

// Sets or ends the phase's timer (ms < 0).
void request_phase_timer(request_t *self, long ms, event_callback_fn fn);

// Retrieval (request_search.c), then generation (request_generate.c).
void request_search(request_t *self);
void request_cancel_searches(request_t *self);
void request_forget_searches(request_t *self);
// The source will not answer; the question goes on without it and says so.
void request_miss(request_t *self, search_t *search, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
unsigned request_passages_wanted(const request_t *self);
// Hits of each kind that count in the fusion.
unsigned request_candidates_wanted(const request_t *self);
// Whether another source of the same collection answered from a newer index generation.
bool request_is_stale(const request_t *self, const search_t *search);
// Retrieval is over (request_merge.c).
void request_merge(request_t *self);
// The passages are there (self->hits): they go out, and on it goes.
void request_show_sources(request_t *self);
// Before searching: true if that is not needed, since the passages were in the cache (the request
// has gone on, and may have ended) or another question is searching for the same.
bool request_share(request_t *self);
// The question's vector is there: true if a question close to it has passages that will do.
bool request_share_near(request_t *self);
// Whether all sources answered, from the generations that are in force, and those are still the
// ones that it was asked for. False where nothing is shared or kept.
bool request_share_current(const request_t *self);
// The passages are there: for the cache and for those who wait.
void request_share_found(request_t *self, bool current);
// Waits for nobody any more and is waited for by nobody.
void request_unshare(request_t *self);
bool request_waits_for_another(const request_t *self);
// What of others may be used is held against what is in force (request_check.c): true while the
// sources are asked, and request_checked_go_on follows.
bool request_check(request_t *self);
void request_checked(task_t *task, const rl_hits_t *hits); // NULL: it was not answered
void request_checked_go_on(request_t *self);
// It has to search for itself after all.
void request_search_again(request_t *self);
bool request_send_search(request_t *self, search_t *search, worker_t *worker, task_t **task);
// Hedging (request_hedge.c): sees to it that searches that take long are sent to a second replica.
void request_hedge_later(request_t *self);
// Asks those whose replicas were all busy again, if it is time.
void request_ask_busy_again(request_t *self);
void request_generate(request_t *self);
// A draft's passages are read ahead by an LLM server, if one can.
void request_prefill(request_t *self);
void request_cancel_generation(request_t *self);
bool request_send_generate(request_t *self, worker_t *worker);
// "docs/0/dense".
void request_name_source(const source_t *source, char *out, size_t size);
// The passages of what has answered so far; the caller owns them.
merged_passage_t *request_merge_now(const request_t *self, size_t *size);
// Sources have been asked: late ones may be gone without for a while (request_provisional.c).
void request_provisional_later(request_t *self);
// Something has changed while searching.
void request_provisional_look(request_t *self);
// The passages are complete (self->hits): true if the generation begun before goes on (the request
// may have ended), false if one has to be begun.
bool request_provisional_decide(request_t *self);
// Its generation has come to nothing: true if it was one begun before its time.
bool request_provisional_failed(request_t *self);
void request_provisional_end(request_t *self);
// Sources have been asked, by it or by the one that it waits for: what they have found is shown
// before the last of them has answered (request_progressive.c).
void request_progressive_later(request_t *self);
// Something has changed while searching: for it, and those that wait for what it finds.
void request_progressive_look(request_t *self);
void request_progressive_end(request_t *self);
// A quotation from the passages goes out, for those who want one while the model reads
// (request_quick.c).
void request_quick_answer(request_t *self);
void request_client_caught_up(request_t *self);
// Whether the answer was given before (request_again.c); its passages are to go out, then it.
bool request_again_find(request_t *self);
void request_again_begin(request_t *self);
// More of it, now or in the next turn. The request may have ended.
void request_again_go_on(request_t *self);
void request_again_later(request_t *self);
// A piece of a new answer has come; all of it has, from this writer.
void request_again_note(request_t *self);
void request_again_keep(request_t *self, const char *writer);
void request_again_end(request_t *self);

// What the timeline keeps of the searches, which are then forgotten, and of a generator's own
// account of what it did (request_timings.c).
void request_note_searches(request_t *self);
void request_note_generation(request_t *self, const rl_done_t *done);
void request_note_lost_generation(request_t *self);

void request_hits(task_t *task, rl_msg_t *msg);
void request_search_failed(task_t *task, const rl_failed_t *failed);
bool request_hold(task_t *task, rl_msg_t *msg);
void request_progress(task_t *task, const rl_progress_t *progress);
void request_token(task_t *task, const rl_token_t *token);
void request_done(task_t *task, const rl_done_t *done);
void request_generate_failed(task_t *task, const rl_failed_t *failed);
void request_take_generated(pipeline_t *pipeline, rl_msg_t *msg);

#endif
