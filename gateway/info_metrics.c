// info_metrics: GET /metrics: what was counted, and what the gateway, its workers and its process
// are at now.
//
// There is no series by worker, only by kind and collection: workers come and go with new ids, and
// each would leave a dead series in Prometheus. GET /v1/workers has each worker.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_cache.h"
#include "clock.h"
#include "drafts.h"
#include "gateway.h"
#include "mem.h"
#include "metrics_process.h"
#include "passage_cache.h"
#include "request.h"
#include "timeline.h"

enum {
    VALUES = METRICS_MAX_VALUES + 2, // collections, "other", and none
};

typedef enum worker_state {
    STATE_READY,
    STATE_STARTING,
    STATE_LEAVING,
    STATES, // their number
} worker_state_t;

static const char *const states[STATES] = {"ready", "starting", "leaving"};

// Workers of one kind and collection, together.
typedef struct group {
    bool there;
    double workers[STATES];
    double outstanding, queued, running, slots;
    double shards, served; // that there should be, and that a worker is ready for
} group_t;

typedef struct groups {
    const char *names[VALUES];
    size_t size;
    group_t of[VALUES][ROLES];
} groups_t;

static group_t *group_of(gateway_t *gateway, groups_t *self, const char *collection,
                         worker_role_t role)
{
    const char *name =
        role == ROLE_GENERATOR ? "" : metrics_collection(gateway->pipeline->metrics, collection);
    size_t at = 0;
    while (at < self->size && strcmp(self->names[at], name) != 0)
        at++;
    if (at == self->size)
        self->names[self->size++] = name;
    self->of[at][role].there = true;
    return &self->of[at][role];
}

static void add_workers(gateway_t *gateway, groups_t *groups)
{
    group_of(gateway, groups, "", ROLE_GENERATOR); // has a series even if there is none
    for (worker_t *worker = registry_first(gateway->pipeline->registry); worker;
         worker = registry_next(worker)) {
        group_t *group = group_of(gateway, groups, worker->collection, worker->role);
        group->workers[worker->leaving ? STATE_LEAVING
                       : worker->ready ? STATE_READY
                                       : STATE_STARTING]++;
        group->outstanding += (double)worker->outstanding;
        group->queued += (double)worker->queued;
        group->running += (double)worker->running;
        group->slots += (double)worker->slots;
    }
}

// Shards that a collection has, whether or not somebody serves them.
static void add_shards(gateway_t *gateway, groups_t *groups)
{
    enum {
        MAX_SHARDS = 4096
    };
    source_t *sources = rl_alloc_array(MAX_SHARDS, sizeof *sources);
    size_t size;
    const char **names = registry_collections(gateway->pipeline->registry, &size);
    for (size_t at = 0; at < size; at++)
        for (int kind = 0; kind < KINDS; kind++) {
            const bool kinds[KINDS] = {
                [KIND_DENSE] = kind == KIND_DENSE, [KIND_LEXICAL] = kind == KIND_LEXICAL};
            size_t shards = registry_sources(gateway->pipeline->registry, names[at], kinds, sources,
                                             MAX_SHARDS);
            if (shards == 0)
                continue;
            group_t *group = group_of(gateway, groups, names[at], (worker_role_t)kind);
            group->shards += (double)shards;
            for (size_t shard = 0; shard < shards; shard++)
                group->served += registry_has_replica(gateway->pipeline->registry, &sources[shard]);
        }
    free(names);
    free(sources);
}

static void write_group(metrics_text_t *text, const char *name, const groups_t *groups,
                        size_t offset, const char *state, bool retrievers_only)
{
    for (size_t at = 0; at < groups->size; at++)
        for (int role = 0; role < (retrievers_only ? (int)ROLE_GENERATOR : (int)ROLES); role++) {
            const group_t *group = &groups->of[at][role];
            double value;
            if (!group->there)
                continue;
            memcpy(&value, (const char *)group + offset, sizeof value);
            metrics_text_sample(text, name, value, "kind", worker_role_name((worker_role_t)role),
                                "collection", groups->names[at], "state", state,
                                (const char *)NULL);
        }
}

static void write_workers(gateway_t *self, metrics_text_t *text)
{
    static const struct {
        const char *name, *help;
        size_t offset;
        bool retrievers_only;
    } rows[] = {
        {"ragline_outstanding_tasks", "Tasks given to workers and not answered yet.",
         offsetof(group_t, outstanding), false},
        {"ragline_worker_queued_tasks", "Tasks that wait inside workers, as these announce it.",
         offsetof(group_t, queued), false},
        {"ragline_worker_running_tasks", "Tasks that workers work on, as these announce it.",
         offsetof(group_t, running), false},
        {"ragline_worker_slots", "Tasks that workers can work on at a time, as these announce it.",
         offsetof(group_t, slots), false},
        {"ragline_shards", "Shards of collections, served or not.", offsetof(group_t, shards),
         true},
        {"ragline_shards_served", "Shards that at least one worker is ready for.",
         offsetof(group_t, served), true},
    };
    groups_t *groups = rl_new(*groups);
    add_workers(self, groups);
    add_shards(self, groups);
    metrics_text_family(text, "ragline_workers", "gauge",
                        "Workers, by kind, collection and whether they take tasks.");
    for (int state = 0; state < STATES; state++)
        write_group(text, "ragline_workers", groups,
                    offsetof(group_t, workers) + (size_t)state * sizeof(double), states[state],
                    false);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        metrics_text_family(text, rows[row].name, "gauge", rows[row].help);
        write_group(text, rows[row].name, groups, rows[row].offset, NULL,
                    rows[row].retrievers_only);
    }
    free(groups);
}

static void write_membership(gateway_t *self, metrics_text_t *text)
{
    registry_counts_t counts = registry_counts(self->pipeline->registry);
    metrics_text_one(text, "ragline_workers_joined_total", "counter", "Workers that joined.",
                     (double)counts.joined);
    metrics_text_one(text, "ragline_workers_left_total", "counter", "Workers that said they leave.",
                     (double)counts.left);
    metrics_text_one(text, "ragline_workers_lost_total", "counter",
                     "Workers whose announcements stopped.", (double)counts.lost);
    metrics_text_one(text, "ragline_refused_announcements_total", "counter",
                     "Announcements of workers that were wrong.", (double)counts.refused);
}

static void write_message_counts(metrics_text_t *text, const char *name, const char *help,
                                 const uint64_t counts[RL_MSG_TYPES])
{
    metrics_text_family(text, name, "counter", help);
    for (int type = 1; type < RL_MSG_TYPES; type++)
        metrics_text_sample(text, name, (double)counts[type], "message",
                            rl_msg_name((rl_msg_type_t)type), (const char *)NULL);
}

static void write_messages(metrics_text_t *text)
{
    const rl_wire_counts_t *counts = rl_wire_counts();
    write_message_counts(text, "ragline_messages_received_total",
                         "Messages received from workers, by kind of message.", counts->in);
    write_message_counts(text, "ragline_messages_sent_total",
                         "Messages sent to workers, by kind of message.", counts->out);
    metrics_text_one(text, "ragline_message_bytes_received_total", "counter",
                     "Bytes of messages received from workers.", (double)counts->bytes_in);
    metrics_text_one(text, "ragline_message_bytes_sent_total", "counter",
                     "Bytes of messages sent to workers.", (double)counts->bytes_out);
    metrics_text_one(text, "ragline_bad_messages_total", "counter",
                     "Messages dropped because they were malformed.", (double)counts->bad);
    metrics_text_one(text, "ragline_refused_messages_total", "counter",
                     "Messages to workers that could not be sent as they were: too large, or with "
                     "a field out of its bounds.",
                     (double)counts->refused);
}

static void write_http(gateway_t *self, metrics_text_t *text)
{
    const http_counts_t *counts = http_server_counts(self->http);
    static const char name[] = "ragline_http_responses_total";
    metrics_text_one(text, "ragline_http_requests_total", "counter", "HTTP requests.",
                     (double)counts->requests);
    metrics_text_family(text, name, "counter", "HTTP responses, by class of status.");
    metrics_text_value(text, name, "class=\"2xx\"", (double)counts->responses_2xx);
    metrics_text_value(text, name, "class=\"4xx\"", (double)counts->responses_4xx);
    metrics_text_value(text, name, "class=\"5xx\"", (double)counts->responses_5xx);
    metrics_text_one(text, "ragline_http_bad_requests_total", "counter",
                     "Requests that broke the rules or limits of HTTP.",
                     (double)counts->bad_requests);
    metrics_text_one(text, "ragline_http_timeouts_total", "counter",
                     "Requests that did not come in time.", (double)counts->timeouts);
    metrics_text_one(text, "ragline_http_open_connections", "gauge", "Open client connections.",
                     (double)counts->open_connections);
    metrics_text_one(text, "ragline_http_open_streams", "gauge", "Open event streams.",
                     (double)counts->open_streams);
}

static void write_questions(gateway_t *self, metrics_text_t *text)
{
    metrics_text_one(text, "ragline_questions_in_flight", "gauge", "Questions at work.",
                     (double)self->pipeline->in_flight);
    metrics_text_one(text, "ragline_questions_in_flight_limit", "gauge",
                     "Questions that may be at work at a time (gateway.max_in_flight).",
                     (double)self->pipeline->settings.max_in_flight);
    metrics_text_one(text, "ragline_questions_waiting", "gauge",
                     "Questions that wait for a generator.", (double)self->pipeline->waiting_size);
    size_t counts[REQUEST_STATES] = {0};
    uint64_t oldest_us = request_count_states(self->pipeline, counts), now = rl_now_us();
    metrics_text_family(text, "ragline_questions_by_state", "gauge",
                        "Questions at work, by what they are at.");
    for (int state = 0; state < REQUEST_DONE; state++)
        metrics_text_sample(text, "ragline_questions_by_state", (double)counts[state], "state",
                            request_state_names[state], (const char *)NULL);
    metrics_text_one(text, "ragline_oldest_question_seconds", "gauge",
                     "How long the oldest question has been at work; 0 if there is none.",
                     oldest_us && now > oldest_us ? (double)(now - oldest_us) / 1e6 : 0);
}

static void write_otlp(gateway_t *self, metrics_text_t *text)
{
    otlp_counts_t counts = otlp_counts(self->pipeline->otlp);
    static const char name[] = "ragline_otlp_spans_total";
    metrics_text_family(text, name, "counter",
                        "Spans for the OpenTelemetry collector, by what became of them.");
    metrics_text_value(text, name, "outcome=\"exported\"", (double)counts.exported);
    metrics_text_value(text, name, "outcome=\"dropped\"", (double)counts.dropped);
    metrics_text_value(text, name, "outcome=\"failed\"", (double)counts.failed);
    metrics_text_one(text, "ragline_otlp_spans_waiting", "gauge",
                     "Spans that wait for the OpenTelemetry collector.", (double)counts.waiting);
}

static void write_caches(gateway_t *self, metrics_text_t *text)
{
    static const char embeddings[] = "ragline_embedding_cache_requests_total",
                      bytes[] = "ragline_cache_bytes", drafts[] = "ragline_drafts_total";
    embed_counts_t embed = embedder_counts(self->pipeline->embedder);
    const drafts_counts_t *draft = drafts_counts(self->pipeline->drafts);
    metrics_text_family(text, embeddings, "counter",
                        "Embeddings wanted, by whether they were in the cache; shared: another "
                        "question was waiting for the same.");
    metrics_text_value(text, embeddings, "result=\"hit\"", (double)embed.hits);
    metrics_text_value(text, embeddings, "result=\"miss\"", (double)(embed.misses - embed.shared));
    metrics_text_value(text, embeddings, "result=\"shared\"", (double)embed.shared);
    metrics_text_family(text, bytes, "gauge", "What the caches hold.");
    metrics_text_value(text, bytes, "cache=\"embeddings\"", (double)embed.bytes);
    metrics_text_value(text, bytes, "cache=\"passages\"",
                       (double)lru_counts(self->pipeline->passage_cache)->cost);
    metrics_text_value(text, bytes, "cache=\"answers\"",
                       (double)lru_counts(self->pipeline->answer_cache)->cost);
    metrics_text_family(text, drafts, "counter",
                        "Drafts of questions that are being typed, by what became of them.");
    metrics_text_value(text, drafts, "outcome=\"used\"", (double)draft->used);
    metrics_text_value(text, drafts, "outcome=\"wasted\"", (double)draft->wasted);
    metrics_text_value(text, drafts, "outcome=\"refused\"", (double)draft->refused);
    metrics_text_one(text, "ragline_drafts_missed_total", "counter",
                     "Questions sent with a session of drafts none of which served.",
                     (double)draft->missed);
}

static void write_build(metrics_text_t *text)
{
    metrics_text_family(text, "ragline_build_info", "gauge", "1, with the version as a label.");
    metrics_text_sample(text, "ragline_build_info", 1, "version", RAGLINE_VERSION,
                        (const char *)NULL);
}

void gateway_get_metrics(void *arg, http_req_t *req)
{
    gateway_t *self = arg;
    metrics_text_t text = metrics_text_make(http_header(req, "accept"));
    write_build(&text);
    write_questions(self, &text);
    metrics_write(self->pipeline->metrics, &text);
    write_workers(self, &text);
    write_membership(self, &text);
    write_messages(&text);
    write_http(self, &text);
    write_otlp(self, &text);
    write_caches(self, &text);
    metrics_process_write(&text);
    metrics_text_end(&text);
    if (text.out.full)
        http_reply_error(&req, 500, "metrics_too_large", NULL, 0,
                         "the metrics take more than %d bytes", METRICS_TEXT_MAX_BYTES);
    else
        http_reply(&req, 200, metrics_text_type(&text), text.out.data, text.out.size);
    metrics_text_free(&text);
}
