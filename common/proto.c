// proto: the table of messages, for both directions (proto_encode.c, proto_decode.c).
#include "proto_table.h"

enum {
    NAME = 256,       // ids, names, words of the protocol
    ENDPOINT = 512,   // addresses
    TEXT = 256 << 10, // a passage, a question
    LONG = 1 << 20,   // a conversation's turn, JSON
};

// clang-format off
#define NUMBER(s, f)  {#f, RL_PROTO_U64, offsetof(s, f), 0, 0, NULL, 0}
#define REAL(s, f)    {#f, RL_PROTO_F64, offsetof(s, f), 0, 0, NULL, 0}
#define FLAG(s, f)    {#f, RL_PROTO_BOOL, offsetof(s, f), 0, 0, NULL, 0}
// too long: refused, cut, left out
#define STRING(s, f, m) {#f, RL_PROTO_STR, offsetof(s, f), 0, m, NULL, RL_PROTO_REFUSE}
#define CUT(s, f, m)    {#f, RL_PROTO_STR, offsetof(s, f), 0, m, NULL, RL_PROTO_CUT}
#define JSON(s, f, m)   {#f, RL_PROTO_STR, offsetof(s, f), 0, m, NULL, RL_PROTO_LEAVE_OUT}
// the key on the wire is older than the name of the field
#define STRING_AS(s, f, name, m) {name, RL_PROTO_STR, offsetof(s, f), 0, m, NULL, RL_PROTO_REFUSE}
#define FLOATS(s, f, m) \
    {#f, RL_PROTO_VECTOR, offsetof(s, f), offsetof(s, f##_size), m, NULL, 0}
#define LIST_OF(s, f, m, t) {#f, RL_PROTO_LIST, offsetof(s, f), offsetof(s, f##_size), m, t, 0}
#define TABLE(t, s)     {t, sizeof t / sizeof *t, sizeof(s)}
// clang-format on

static const rl_proto_field_t passage_fields[] = {
    NUMBER(rl_passage_t, id),        CUT(rl_passage_t, doc, 4096),
    CUT(rl_passage_t, title, 4096),  CUT(rl_passage_t, heading, 4096),
    CUT(rl_passage_t, source, 4096), CUT(rl_passage_t, text, TEXT),
    NUMBER(rl_passage_t, start),     NUMBER(rl_passage_t, end),
    NUMBER(rl_passage_t, hash),      REAL(rl_passage_t, score),
    JSON(rl_passage_t, meta, TEXT),
};
static const rl_proto_table_t passage_table = TABLE(passage_fields, rl_passage_t);

static const rl_proto_field_t turn_fields[] = {
    STRING(rl_turn_t, role, NAME),
    STRING(rl_turn_t, content, LONG),
};
static const rl_proto_table_t turn_table = TABLE(turn_fields, rl_turn_t);

static const rl_proto_field_t announce_fields[] = {
    STRING(rl_announce_t, worker, NAME),
    STRING(rl_announce_t, kind, NAME),
    NUMBER(rl_announce_t, route),
    STRING(rl_announce_t, tasks, ENDPOINT),
    STRING(rl_announce_t, key, NAME),
    NUMBER(rl_announce_t, period_ms),
    FLAG(rl_announce_t, ready),
    NUMBER(rl_announce_t, queued),
    NUMBER(rl_announce_t, running),
    NUMBER(rl_announce_t, slots),
    NUMBER(rl_announce_t, service_us),
    NUMBER(rl_announce_t, served),
    STRING(rl_announce_t, collection, NAME),
    NUMBER(rl_announce_t, shard),
    NUMBER(rl_announce_t, shards),
    STRING(rl_announce_t, generation, NAME),
    STRING_AS(rl_announce_t, embedding_model, "space", NAME),
    NUMBER(rl_announce_t, dimension),
    NUMBER(rl_announce_t, passages),
    CUT(rl_announce_t, language, NAME),
    JSON(rl_announce_t, fields, RL_MAX_FIELDS),
    FLAG(rl_announce_t, fields_more),
    CUT(rl_announce_t, model, NAME),
    FLAG(rl_announce_t, prefill),
    STRING_AS(rl_announce_t, fingerprint, "writer", NAME),
    STRING(rl_announce_t, gateways, TEXT),
};

static const rl_proto_field_t leave_fields[] = {
    STRING(rl_leave_t, worker, NAME),
};

static const rl_proto_field_t welcome_fields[] = {
    STRING(rl_welcome_t, gateway, NAME),
    NUMBER(rl_welcome_t, route),
    STRING(rl_welcome_t, tokens, ENDPOINT),
};

static const rl_proto_field_t search_fields[] = {
    STRING(rl_search_t, gateway, NAME),
    NUMBER(rl_search_t, route),
    NUMBER(rl_search_t, task),
    STRING(rl_search_t, request, NAME),
    STRING(rl_search_t, text, TEXT),
    FLOATS(rl_search_t, vector, RL_MAX_DIMENSION),
    NUMBER(rl_search_t, k),
    NUMBER(rl_search_t, deadline_ms),
    NUMBER(rl_search_t, soft_ms),
    NUMBER(rl_search_t, nprobe),
    NUMBER(rl_search_t, ef_search),
    STRING(rl_search_t, filter, TEXT),
};

static const rl_proto_field_t hits_fields[] = {
    STRING(rl_hits_t, worker, NAME),
    NUMBER(rl_hits_t, task),
    STRING(rl_hits_t, generation, NAME),
    NUMBER(rl_hits_t, queue_us),
    NUMBER(rl_hits_t, work_us),
    REAL(rl_hits_t, bound),
    CUT(rl_hits_t, effort_kind, NAME),
    NUMBER(rl_hits_t, effort),
    NUMBER(rl_hits_t, effort_wanted),
    NUMBER(rl_hits_t, left_out),
    LIST_OF(rl_hits_t, hits, RL_MAX_HITS, &passage_table),
};

static const rl_proto_field_t failed_fields[] = {
    STRING(rl_failed_t, worker, NAME),  NUMBER(rl_failed_t, task),
    NUMBER(rl_failed_t, seq),           NUMBER(rl_failed_t, status),
    CUT(rl_failed_t, code, NAME),       CUT(rl_failed_t, message, 8192),
    NUMBER(rl_failed_t, retry_after_s), FLAG(rl_failed_t, retry),
};

static const rl_proto_field_t generate_fields[] = {
    STRING(rl_generate_t, gateway, NAME),
    NUMBER(rl_generate_t, route),
    NUMBER(rl_generate_t, task),
    STRING(rl_generate_t, request, NAME),
    STRING(rl_generate_t, traceparent, NAME),
    STRING(rl_generate_t, tracestate, 512),
    STRING(rl_generate_t, question, TEXT),
    LIST_OF(rl_generate_t, turns, RL_MAX_TURNS, &turn_table),
    LIST_OF(rl_generate_t, passages, RL_MAX_HITS, &passage_table),
    STRING(rl_generate_t, params, LONG),
    STRING(rl_generate_t, prefix, LONG),
    NUMBER(rl_generate_t, max_tokens),
    NUMBER(rl_generate_t, deadline_ms),
    NUMBER(rl_generate_t, window),
    FLAG(rl_generate_t, prefill),
    NUMBER(rl_generate_t, target_first_token_ms),
    STRING(rl_generate_t, salt, NAME),
};

static const rl_proto_field_t credit_fields[] = {
    NUMBER(rl_credit_t, task),   NUMBER(rl_credit_t, route), NUMBER(rl_credit_t, seq),
    NUMBER(rl_credit_t, window), FLAG(rl_credit_t, again),
};

static const rl_proto_field_t cancel_fields[] = {
    NUMBER(rl_cancel_t, task),
    NUMBER(rl_cancel_t, route),
};

static const rl_proto_field_t progress_fields[] = {
    NUMBER(rl_progress_t, task),
    NUMBER(rl_progress_t, seq),
    CUT(rl_progress_t, stage, NAME),
    JSON(rl_progress_t, data, TEXT),
};

static const rl_proto_field_t token_fields[] = {
    NUMBER(rl_token_t, task), NUMBER(rl_token_t, seq),      STRING(rl_token_t, text, TEXT),
    NUMBER(rl_token_t, cite), REAL(rl_token_t, cite_score),
};

static const rl_proto_field_t done_fields[] = {
    NUMBER(rl_done_t, task),
    NUMBER(rl_done_t, seq),
    CUT(rl_done_t, finish, NAME),
    CUT(rl_done_t, model, NAME),
    CUT(rl_done_t, upstream, NAME),
    NUMBER(rl_done_t, prompt_tokens),
    NUMBER(rl_done_t, completion_tokens),
    FLAG(rl_done_t, counted),
    NUMBER(rl_done_t, passages_used),
    JSON(rl_done_t, timings, TEXT),
    STRING_AS(rl_done_t, fingerprint, "writer", NAME),
};

static const rl_proto_field_t resume_fields[] = {
    STRING(rl_resume_t, answer, NAME), STRING(rl_resume_t, gateway, NAME),
    NUMBER(rl_resume_t, client),       STRING(rl_resume_t, caller, NAME),
    NUMBER(rl_resume_t, seen),         FLAG(rl_resume_t, gone),
    FLAG(rl_resume_t, stop),
};

static const rl_proto_field_t events_fields[] = {
    NUMBER(rl_events_t, client),  STRING(rl_events_t, events, LONG), NUMBER(rl_events_t, status),
    CUT(rl_events_t, code, NAME), CUT(rl_events_t, message, 8192),   FLAG(rl_events_t, ended),
};

// Every message, by type; the directions stand beside rl_msg_type_t.
const rl_proto_message_t rl_messages[RL_MSG_TYPES] = {
    [RL_ANNOUNCE] = {"announce", TABLE(announce_fields, rl_announce_t)},
    [RL_LEAVE] = {"leave", TABLE(leave_fields, rl_leave_t)},
    [RL_WELCOME] = {"welcome", TABLE(welcome_fields, rl_welcome_t)},
    [RL_SEARCH] = {"search", TABLE(search_fields, rl_search_t)},
    [RL_HITS] = {"hits", TABLE(hits_fields, rl_hits_t)},
    [RL_FAILED] = {"failed", TABLE(failed_fields, rl_failed_t)},
    [RL_GENERATE] = {"generate", TABLE(generate_fields, rl_generate_t)},
    [RL_CREDIT] = {"credit", TABLE(credit_fields, rl_credit_t)},
    [RL_CANCEL] = {"cancel", TABLE(cancel_fields, rl_cancel_t)},
    [RL_PROGRESS] = {"progress", TABLE(progress_fields, rl_progress_t)},
    [RL_TOKEN] = {"token", TABLE(token_fields, rl_token_t)},
    [RL_DONE] = {"done", TABLE(done_fields, rl_done_t)},
    [RL_RESUME] = {"resume", TABLE(resume_fields, rl_resume_t)},
    [RL_EVENTS] = {"events", TABLE(events_fields, rl_events_t)},
};

const char *rl_msg_name(rl_msg_type_t type)
{
    return type > 0 && type < RL_MSG_TYPES ? rl_messages[type].name : "?";
}
