// proto: every message between ragline's processes, in one table (proto.c), with its direction,
// and the one place that encodes and decodes them: msgpack maps with a version in each.
//
// Values travel, not structs: a decoded message is checked against the table (types, bounds, valid
// UTF-8, finite numbers) and owns copies of what came.
#ifndef RL_PROTO_H
#define RL_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

enum {
    RL_PROTO_VERSION = 1,
    RL_MAX_FRAME = 8 << 20,     // bytes of one message, all kinds
    RL_MAX_HITS = 1000,         // hits of one task, passages of one prompt
    RL_MAX_TURNS = 256,         // turns of one conversation
    RL_MAX_DIMENSION = 1 << 16, // components of one vector
    RL_MAX_FIELDS = 16 << 10,   // bytes of the names and types of a collection's metadata
};

typedef enum rl_msg_type {
    RL_ANNOUNCE = 1, // worker → gateway     PUSH  I am here: who, what, where, how busy
    RL_LEAVE,        // worker → gateway     PUSH  no more tasks, I am going
    RL_WELCOME,      // gateway → worker     PUSH  where tokens go (and that tasks get through)
    RL_SEARCH,       // gateway → retriever  PUSH  find the k best
    RL_HITS,         // retriever → gateway  PUSH  the hits of one task
    RL_FAILED,       // retriever → gateway  PUSH, generator → gateway PUB: no result, and why
    RL_GENERATE,     // gateway → generator  PUSH  write an answer from these passages
    RL_CREDIT,       // gateway → generator  PUSH  seen up to seq; so many more may come
    RL_CANCEL,       // gateway → any worker PUSH  stop this task, its result is not wanted
    RL_PROGRESS,     // generator → gateway  PUB   what a generator is at (numbered like tokens)
    RL_TOKEN,        // generator → gateway  PUB   words, numbered
    RL_DONE,         // generator → gateway  PUB   the answer is complete (numbered)
    RL_RESUME,       // gateway → gateway     PUSH  a client of mine comes back to your answer
    RL_EVENTS,       // gateway → gateway     PUSH  events that this client has not seen
    RL_MSG_TYPES,    // not a message: their number + 1
} rl_msg_type_t;

// A passage as it is found, merged, put into a prompt and cited.
typedef struct rl_passage {
    uint64_t id;         // FAISS id = Xapian docid, within its shard, from 1
    const char *doc;     // the document's id
    const char *title;   // "" if it has none
    const char *heading; // path of headings, "Options > --max-time", "" if none
    const char *source;  // file or URL
    const char *text;
    uint64_t start, end; // where it stands in its document, in bytes of the extracted text
    uint64_t hash;       // rl_hash64 of the text with white space folded: equal passages
    double score;        // inner product (cosine) or BM25 weight; after merging the fused score
    const char *meta;    // JSON object of the document's other fields, "" if none
} rl_passage_t;

// A turn of a conversation.
typedef struct rl_turn {
    const char *role; // "system", "user", "assistant"
    const char *content;
} rl_turn_t;

// Repeated every announce period: registration, heartbeat and load report in one.
typedef struct rl_announce {
    const char *worker;  // instance id
    const char *kind;    // "dense", "lexical", "generator"
    uint64_t route;      // which of its gateways the worker means; echoed in tasks
    const char *tasks;   // endpoint of its PULL, as the gateway should connect to it
    const char *key;     // its CURVE public key, "" without CURVE
    uint64_t period_ms;  // till the next announcement
    bool ready;          // takes tasks (a generator: has seen the gateway's subscription)
    uint64_t queued;     // tasks waiting
    uint64_t running;    // tasks being worked on
    uint64_t slots;      // tasks it works on at a time
    uint64_t service_us; // recent time of one task's work (exponential average)
    uint64_t served;     // tasks done since its start
    // retrievers
    const char *collection;
    uint64_t shard, shards;      // from 0, and how many the generation has
    const char *generation;      // the index generation served, and the last change: "g-000003+127"
    const char *embedding_model; // "" if lexical; "space" on the wire
    uint64_t dimension;          // 0 if lexical
    uint64_t passages;           // in this shard
    const char *language;        // stemming language
    const char *fields; // JSON object: names and types of the metadata's fields that filters can
                        // name, of all shards; "" if there are none to be had
    bool fields_more;   // there are too many to name them all
    // generators
    const char *model; // what it answers with: the model's name, or "extractive"
    bool prefill;      // its LLM server keeps what it has read: tasks with `prefill` are of use
    // of the model that it asks first, with all that answers depend on: equal texts stand for equal
    // settings; "" where it is not known yet; "writer" on the wire
    const char *fingerprint;
    // all
    const char *gateways; // those it knows, a line each: "ID ENDPOINT-OF-ITS-HUB"
} rl_announce_t;

typedef struct rl_leave {
    const char *worker;
} rl_leave_t;

typedef struct rl_welcome {
    const char *gateway; // its instance id, the topic of its tokens
    uint64_t route;
    const char *tokens; // endpoint of the gateway's SUB
} rl_welcome_t;

typedef struct rl_search {
    const char *gateway;
    uint64_t route;
    uint64_t task;        // unique within the gateway
    const char *request;  // request id, for logs
    const char *text;     // lexical: what to look for
    const float *vector;  // dense: the question's embedding, normalised
    uint64_t vector_size; // components
    uint64_t k; // hits wanted, 1..RL_MAX_HITS; 0: only which generation and change is in force
    uint64_t deadline_ms; // time left from now
    uint64_t soft_ms;     // time left until the answer may go ahead without these hits: less effort
                          // rather than later; 0: not said
    uint64_t nprobe;      // lists to look into, where the index is an inverted file; 0: its own
    uint64_t ef_search;   // candidates to keep, where it is a graph; 0: its own
    const char *filter;   // condition on metadata (filter.h, its canonical text), "" for none
} rl_search_t;

typedef struct rl_hits {
    const char *worker;
    uint64_t task;
    const char *generation;
    uint64_t queue_us, work_us; // on the worker's own clock
    double bound;               // lexical: the most that this question could score in this shard,
                                // words that the shard does not have included; 0 if unknown
    const char *effort_kind;    // "nprobe", "ef_search", "": nothing to choose
    uint64_t effort;            // that the search took
    uint64_t effort_wanted;     // more than it took, if the time left was too short for it
    uint64_t left_out;          // the last ones, for which a message has no room
    rl_passage_t *hits;         // best first
    uint64_t hits_size;
} rl_hits_t;

typedef struct rl_failed {
    const char *worker;
    uint64_t task;
    uint64_t seq;           // numbered like tokens (generator), else 0
    uint64_t status;        // HTTP status that fits (502, 503, 504…), 0 if none
    const char *code;       // short and stable: "llm_unauthorized", "index_gone", "deadline"…
    const char *message;    // for people: what is wrong and what to do
    uint64_t retry_after_s; // 0: not said
    bool retry;             // another worker may do better
} rl_failed_t;

typedef struct rl_generate {
    const char *gateway;
    uint64_t route;
    uint64_t task;
    const char *request;
    const char *traceparent; // W3C headers, "" if none
    const char *tracestate;
    const char *question; // as asked (the last user turn)
    rl_turn_t *turns;     // earlier turns, oldest first; system turns of the client too
    uint64_t turns_size;
    rl_passage_t *passages; // best first; cited as [1], [2]…
    uint64_t passages_size;
    const char *params;  // JSON object of sampling fields for the LLM: temperature, stop, seed…
    const char *prefix;  // continuation: words of this answer already delivered, "" for none
    uint64_t max_tokens; // 0: the generator's own
    uint64_t deadline_ms;
    uint64_t window; // messages that may be sent before the first CREDIT
    bool prefill;    // have the prompt read, nothing written: DONE is all that comes (finish
                     // "prefilled", "yielded" to a question, or "skipped" with a "reason" among its
                     // timings: no room, no use); `question` may be a draft or ""
    uint64_t target_first_token_ms; // != 0: the passages are cut so that reading them lets the
                                    // first word come by then; 0: the generator's own
    const char *salt; // != "": what the LLM server has read for it is used for no other salt
} rl_generate_t;

typedef struct rl_credit {
    uint64_t task;
    uint64_t route;  // of the task: which gateway's it is, since each counts its own
    uint64_t seq;    // the highest number seen without a gap
    uint64_t window; // numbers up to seq + window may be sent
    bool again;      // a gap was seen (or a connection lost): send again from seq + 1
} rl_credit_t;

typedef struct rl_cancel {
    uint64_t task;
    uint64_t route; // as in rl_credit_t
} rl_cancel_t;

// Numbers: per task, from 1, one for every PROGRESS, TOKEN, DONE and FAILED of a generator.
typedef struct rl_progress {
    uint64_t task, seq;
    const char *stage; // "prompted", "asking", "fallback", "retry"…
    const char *data;  // JSON object: details for the timeline and for people ("message")
} rl_progress_t;

typedef struct rl_token {
    uint64_t task, seq;
    const char *text;  // UTF-8, never part of a character; "" with a cite
    uint64_t cite;     // != 0: the sentence that just ended is supported by this passage (from 1)
    double cite_score; // how well, 0..1
} rl_token_t;

typedef struct rl_done {
    uint64_t task, seq;
    const char *finish;                        // "stop", "length", "content_filter"; see prefill
    const char *model;                         // what answered
    const char *upstream;                      // "openai", "extractive"
    uint64_t prompt_tokens, completion_tokens; // as the server counts; estimated if it does not say
    bool counted;                              // whether the server said
    uint64_t passages_used;                    // the first so many passages were in the prompt
    const char *timings; // JSON object: marks in µs from the task's arrival, on the
                         // generator's clock, each where it is known: queue_us (a slot was
                         // free), prompt_us (the prompt was built), ahead_us (its prefill had
                         // ended, which it waited for), connect_us, sent_us,
                         // first_byte_us, first_token_us, total_us; what the server said:
                         // prefill_ms, cached_tokens, read_tokens (of the prompt, not cached),
                         // prompt_tokens; server, host:port; prompt_hash, of the messages as sent,
                         // 16 hexadecimal digits; what was trimmed so that they are read in time:
                         // passages_repeated, passages_cut, tokens_trimmed
    // of the model that wrote it, as announced; "" where that was not the one asked first, or has
    // changed meanwhile; "writer" on the wire
    const char *fingerprint;
} rl_done_t;

// Resumable answers: a client may land on another gateway than the one that holds its answer.
typedef struct rl_resume {
    const char *answer;
    const char *gateway; // that asks; EVENTS go to its hub
    uint64_t client;     // which of its clients, echoed in EVENTS
    const char *caller;  // name of the client's key
    uint64_t seen;       // number of the last event that it has
    bool gone;           // it has left: nothing more for it
    bool stop;           // it wants the answer stopped
} rl_resume_t;

typedef struct rl_events {
    uint64_t client;
    const char *events; // text/event-stream, whole events
    uint64_t status;    // != 0: there are none, and this HTTP status says why
    const char *code;
    const char *message;
    bool ended; // none will follow
} rl_events_t;

typedef struct rl_msg {
    rl_msg_type_t type;
    const char *unreadable; // != NULL (static text): some fields could not be read and are empty
    union {
        rl_announce_t announce;
        rl_leave_t leave;
        rl_welcome_t welcome;
        rl_search_t search;
        rl_hits_t hits;
        rl_failed_t failed;
        rl_generate_t generate;
        rl_credit_t credit;
        rl_cancel_t cancel;
        rl_progress_t progress;
        rl_token_t token;
        rl_done_t done;
        rl_resume_t resume;
        rl_events_t events;
    };
} rl_msg_t;

// The message's name for logs and counters, "?" for a wrong type.
const char *rl_msg_name(rl_msg_type_t type);

enum {
    RL_MSG_REFUSED = -2,   // a field of it is out of its bounds
    RL_MSG_TOO_LARGE = -3, // it has more than RL_MAX_FRAME bytes, or than `out` has room for
};

// Appends the message to `out`. NULL strings count as "". Whatever it appends, rl_msg_decode takes:
// text is made valid UTF-8; what is longer than its field may be is cut, left out or refused, as
// the table says; a number that is none is 0. Returns 0, or one of the above with the reason in
// `why`; `out` is then as it was.
int rl_msg_encode(const rl_msg_t *msg, rl_buf_t *out, char *why, size_t why_size);

// Decodes the first message of these bytes. Returns how many bytes it took, or 0 when they are no
// valid message: then *why (static text) says what is wrong. On success *out is a message that the
// caller frees with rl_msg_free; strings are never NULL, lists are NULL only when empty. Unknown
// keys are passed over (a later version may have more).
size_t rl_msg_decode(const void *data, size_t size, rl_msg_t **out, const char **why);
// The same, but a message with fields that cannot be read is given with the others, so that the
// receiver can say whose task it was: its `unreadable` says what is wrong. Returns how many bytes
// it took also where *out is NULL (no message of a known kind), 0 when the bytes are not a whole
// value.
size_t rl_msg_decode_readable(const void *data, size_t size, rl_msg_t **out, const char **why);
void rl_msg_free(rl_msg_t **msg_p);

// Moves what a decoded message owns into a new one, which the caller frees; the given one is left
// empty. For a receiver that keeps a message beyond its callback.
rl_msg_t *rl_msg_move(rl_msg_t *msg);

#endif
