// timeline: where the time of one answer went. Filled by the request's state changes, handed on
// when the answer ends: to the client (timings), to the metrics, the live view, the traces that are
// kept and the spans that are exported.
//
// Durations are microseconds, points in time are microseconds since the question's first byte, by
// the gateway's clock alone: what a worker measured is a duration of its own clock, counted from
// when the gateway sent its task.
#ifndef TIMELINE_H
#define TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "kind.h"

// States of a request. One follows the other: they partition the total.
typedef enum request_state {
    REQUEST_RECEIVED,   // being read and checked
    REQUEST_REWRITING,  // the LLM makes a follow-up question stand on its own
    REQUEST_SEARCHING,  // retrievers (and the embedding server) are at work
    REQUEST_MERGING,    // their hits become passages
    REQUEST_WAITING,    // for a generator with a free slot
    REQUEST_GENERATING, // a generator has it; no word yet
    REQUEST_STREAMING,  // words are coming
    REQUEST_DONE,
    REQUEST_FAILED,
    REQUEST_CANCELLED,
    REQUEST_STATES, // their number
} request_state_t;

extern const char *const request_state_names[REQUEST_STATES];

// Stages: what time is charged to. Finer than states; some overlap (the searches of one answer).
typedef enum stage {
    STAGE_RECEIVE,         // the client sent, the gateway read and checked
    STAGE_REWRITE,         // the LLM's call for a follow-up question
    STAGE_PLAN,            // sources chosen, or nothing else to charge while searching
    STAGE_CACHE,           // passages from the cache, or from a question that asked the same
    STAGE_EMBED,           // the embedding server's call, or the cache
    STAGE_DISPATCH,        // a search waited for room at a retriever, or was asked again
    STAGE_SEARCH_NETWORK,  // of a search: round trip − queue − work
    STAGE_SEARCH_QUEUE,    // of a search: waited inside the retriever
    STAGE_SEARCH_WORK,     // of a search: the index was searched
    STAGE_MISSING,         // waited for a source that did not answer
    STAGE_MERGE,           // hits became passages and went to the client
    STAGE_WAIT,            // waited in the gateway for a generator's slot
    STAGE_GENERATE_LOST,   // with generators that failed or were lost
    STAGE_GENERATOR_QUEUE, // waited inside the generator
    STAGE_PROMPT,          // the prompt was built
    STAGE_CONNECT,         // to the LLM server
    STAGE_SEND,            // the request was written to it
    STAGE_PREFILL,         // from then to its first token
    STAGE_RELAY,           // of generating: what is left, the way to the generator and back
    STAGE_TOKENS,          // from the first token to the last
    STAGE_CLIENT,          // output waited because the client did not read; overlaps TOKENS
    STAGES,                // their number
} stage_t;

// "receive", "search_work"…
extern const char *const stage_names[STAGES];

// One piece of work. Spans overlap; a search has its three parts inside.
typedef struct span {
    stage_t stage; // STAGE_SEARCH_WORK stands for a whole search
    uint64_t start_us, took_us;
    const char *worker; // id, "" if none; owned by the timeline
    const char *detail; // how it was done ("cache", "server"), NULL: nothing to say; static
    // a search only
    const char *collection; // NULL otherwise
    uint64_t shard;
    kind_t kind;
    const char *missing;        // why it did not answer; NULL if it did
    uint64_t queue_us, work_us; // by the retriever's own clock
    uint64_t dispatch;          // µs that it waited to be sent: for room, or was asked again
    unsigned tries;
    bool hedged, hedge_won;
    const char *effort_kind;        // "nprobe", "ef_search"; "" or NULL: nothing to choose; owned
    uint64_t effort, effort_wanted; // less than wanted: lowered, for want of time
} span_t;

// A step on the way to the first token (to the end, where none came): end to end they make it up.
typedef struct path_step {
    stage_t stage;
    const span_t *span; // the search or the call that it belongs to, NULL if none
    uint64_t start_us, took_us;
    uint64_t without_us; // when the first token would have come had this stage taken no time at all
                         // (in every source, where it is one of a search's)
} path_step_t;

enum {
    TIMELINE_MAX_STEPS = 60,   // state changes that are kept
    TIMELINE_MAX_SPANS = 1100, // pieces of work
    TIMELINE_MAX_PATH = 64,
};

typedef struct timeline_step {
    request_state_t state;
    uint64_t start_us;
} timeline_step_t;

typedef struct timeline {
    char id[40];            // of the answer
    char traceparent[64];   // of the client's, "" if none
    const char *tracestate; // what the client sent with it, to be passed on; "" if none; owned
    char trace_id[33];      // W3C: the client's or our own, hexadecimal
    char span_id[17];       // of the answer as a whole
    char parent_id[17];     // the client's span, "" if none
    bool sampled;           // the client's flag; true where there is no traceparent
    const char *form;       // "ask", "chat", "search"; static
    const char *caller;     // name of the key, "" without keys; owned
    const char *collection; // the question's if it named one, else "several"; owned
    int64_t wall_us;        // Unix time of the question's first byte, for people and traces only
    uint64_t received_us;   // the same by rl_now_us: what all points in time count from
    timeline_step_t steps[TIMELINE_MAX_STEPS];
    size_t steps_size;
    span_t *spans;
    size_t spans_size, spans_room, spans_lost; // lost: over TIMELINE_MAX_SPANS
    // 0: has not come
    uint64_t found_us;   // passages shown before all sources had answered, the first time
    unsigned found;      // how often
    uint64_t preview_us; // a quotation, while the model read
    uint64_t first_status_us, sources_us, first_token_us, end_us;
    uint64_t client_us; // output waited for the client
    // outcome
    request_state_t outcome;               // REQUEST_DONE, _FAILED, _CANCELLED
    const char *error;                     // code, "" if none; owned
    const char *model, *upstream, *finish; // "" if not known; owned
    const char *server;      // host:port of the LLM server that answered, "" if not known; owned
    const char *provisional; // what came of beginning early: "kept", "restarted", "failed"; NULL
    const char *cache;       // where the passages came from: "cache", "shared",
                             // "draft", "semantic", "answer"; NULL: a search; static
    const char *answer;      // where all of it came from: "cache"; NULL: it was written; static
    uint64_t answer_age_us;  // how long ago it was written
    unsigned answered, of;   // sources
    uint64_t tokens, prompt_tokens, completion_tokens, cached_tokens;
    bool cached_known;       // whether the LLM server told how many of the prompt it had cached
    const char *prompt_hash; // of the messages as they were sent to the LLM, "" if none; owned
    // of the passages, so that they are read in time: left out since a better one says the same,
    // cut, and the tokens that were cut off with both (estimated)
    uint64_t passages_repeated, passages_cut, tokens_trimmed;
    uint64_t passages_left_out; // for which a message had no room
    double prefill_ms;          // as the LLM server reports; −1 if it does not
    unsigned hedges, retries, continuations;
    struct timeline_text *texts; // everything owned above
} timeline_t;

timeline_t *timeline_new(const char *id, uint64_t received_us, const char *traceparent);
void timeline_destroy(timeline_t **self_p);

// A copy in the timeline's own memory, valid until it is destroyed. NULL gives "".
const char *timeline_text(timeline_t *self, const char *text);

// A moment of rl_now_us as a point in time of the timeline.
uint64_t timeline_at(const timeline_t *self, uint64_t us);

// Enters a state; the only function that does. `now_us` by rl_now_us.
void timeline_enter(timeline_t *self, request_state_t state, uint64_t now_us);

// Adds a span between two moments of rl_now_us, to be filled in; NULL when TIMELINE_MAX_SPANS are
// there. Valid until the next call.
span_t *timeline_add(timeline_t *self, stage_t stage, uint64_t start_us, uint64_t end_us);

// The critical path: at most TIMELINE_MAX_PATH steps into `path`; returns their number. Their sum
// is the time to the first token (to the end, where none came).
size_t timeline_path(const timeline_t *self, path_step_t *path);

// Appends it as the JSON object that clients get as `timings`.
void timeline_write(const timeline_t *self, rl_buf_t *out);

// Appends a Server-Timing header's value (W3C): stages of the critical path and the total.
void timeline_write_header(const timeline_t *self, rl_buf_t *out);

#endif
