// shard_worker: one shard and kind as the gateways see it: what it announces, and its socket.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "fail.h"
#include "field_types.h"
#include "log.h"
#include "mem.h"
#include "shard_worker_private.h"

// ---- announcing ---------------------------------------------------------------------------------

static bool is_ready(void *arg, size_t slot, uint64_t route)
{
    const shard_worker_t *self = arg;
    return self->welcome[slot] == route + 1;
}

// Takes over the fields that changes have brought.
static void update_fields(shard_worker_t *self, field_types_t *types)
{
    bool more = false;
    uint64_t version = field_types_version(types);
    char *fields = version != self->fields_version ? field_types_text(types, &more) : NULL;
    if (!fields)
        return;
    bool too_many = strlen(fields) > RL_MAX_FIELDS;
    free(self->fields);
    self->fields = fields;
    self->fields_version = version;
    self->announce.fields = too_many ? "{}" : fields;
    self->announce.fields_more |= more || too_many;
}

// Brings the announcement up to date.
static const rl_announce_t *update_announcement(shard_worker_t *self)
{
    size_t waiting = 0, running = 0;
    shard_task_load(self, &waiting, &running);
    if (self->queue) {
        snapshot_t *snapshot = task_queue_snapshot(self->queue);
        snapshot_last_version(snapshot, self->generation);
        update_fields(self, snapshot_fields(snapshot));
        self->announce.passages = snapshot_passages(snapshot, self->announce.shard);
        snapshot_unref(&snapshot);
    }
    self->announce.queued = waiting;
    self->announce.running = running;
    self->announce.service_us = self->service_us;
    self->announce.served = self->served;
    return &self->announce;
}

static void take_welcome(shard_worker_t *self, const rl_welcome_t *welcome)
{
    int slot = rl_gateways_slot(self->context->gateways, welcome->route);
    if (slot < 0)
        return;
    if (!is_ready(self, (size_t)slot, welcome->route))
        rl_info("%s: gateway %s gives tasks", self->id, welcome->gateway);
    self->welcome[slot] = welcome->route + 1;
    rl_gateways_set_id(self->context->gateways, welcome->route, welcome->gateway);
    if (!self->left)
        rl_gateways_announce_to(self->context->gateways, (size_t)slot, update_announcement(self),
                                is_ready, self);
}

// A gateway's message.
static void on_message(void *arg, rl_msg_t *msg)
{
    shard_worker_t *self = arg;
    switch (msg->type) {
    case RL_SEARCH:
        shard_task_take(self, msg);
        break;
    case RL_CANCEL:
        shard_task_cancel(self, &msg->cancel);
        break;
    case RL_WELCOME:
        take_welcome(self, &msg->welcome);
        break;
    default:
        rl_warn("%s: a message that is not for retrievers (%s) dropped", self->id,
                rl_msg_name(msg->type));
    }
}

void shard_worker_announce(shard_worker_t *self)
{
    if (!self->left)
        rl_gateways_announce(self->context->gateways, update_announcement(self), is_ready, self);
}

void shard_worker_leave(shard_worker_t *self)
{
    if (self->left)
        return;
    self->left = true;
    rl_msg_t msg = {.type = RL_LEAVE};
    msg.leave.worker = self->id;
    rl_gateways_send_all(self->context->gateways, &msg);
}

size_t shard_worker_tasks(const shard_worker_t *self)
{
    return self->tasks_size;
}

// ---- making -------------------------------------------------------------------------------------

bool shard_worker_is(const shard_worker_t *self, const char *collection, uint64_t shard,
                     source_kind_t kind)
{
    return strcmp(self->collection, collection) == 0 && self->announce.shard == shard &&
           self->kind == kind;
}

// The part of the announcement that is about the generation.
static void describe_generation(shard_worker_t *self, const manifest_t *manifest, uint64_t shard)
{
    bool dense = self->kind == SOURCE_DENSE;
    snprintf(self->generation, sizeof self->generation, "%s", manifest->generation);
    snprintf(self->model, sizeof self->model, "%s", dense ? manifest->model : "");
    snprintf(self->language, sizeof self->language, "%s", manifest->language);
    bool too_many = strlen(manifest->fields) > RL_MAX_FIELDS;
    free(self->fields);
    self->fields_version = 0;
    self->fields = rl_strdup(too_many ? "{}" : manifest->fields);
    self->announce = (rl_announce_t){
        .worker = self->id,
        .kind = source_kind_names[self->kind],
        .tasks = self->advertised,
        .slots = self->engine ? source_engine_slots(self->engine) : self->context->threads,
        .collection = self->collection,
        .shard = shard,
        .shards = manifest->shards,
        .generation = self->generation,
        .embedding_model = self->model,
        .dimension = dense ? manifest->dimension : 0,
        .passages = manifest->shard_passages[shard],
        .language = self->language,
        .fields = self->fields,
        .fields_more = manifest->fields_more || too_many,
    };
}

// Each worker has an ipc path of its own; a fixed TCP port serves only one worker.
static int bind_socket(shard_worker_t *self, char *why, size_t why_size)
{
    shard_context_t *context = self->context;
    char endpoint[RL_ENDPOINT], inner[RL_ENDPOINT + 512];
    bool path = strncmp(context->bind, "ipc://", 6) == 0 && !strchr(context->bind, '*');
    int size = path ? snprintf(endpoint, sizeof endpoint, "%s-%s-%" PRIu64, context->bind,
                               rl_proc_id(context->proc), context->sockets_made++)
                    : snprintf(endpoint, sizeof endpoint, "%s", context->bind);
    if (size >= (int)sizeof endpoint)
        return rl_fail(why, why_size, "retriever.bind: longer than %d bytes", RL_ENDPOINT - 1);
    self->pull = rl_wire_pull(context->proc, endpoint, on_message, self, inner, sizeof inner);
    if (!self->pull)
        return rl_fail(why, why_size,
                       "retriever.bind: %s (each shard and kind has a socket of its own: use port "
                       "\"*\", as in tcp://127.0.0.1:*)",
                       inner);
    return rl_endpoint_advertised(rl_wire_endpoint(self->pull), context->advertise,
                                  "retriever.advertise", self->advertised, why, why_size);
}

static shard_worker_t *make_worker(shard_context_t *context, const manifest_t *manifest,
                                   uint64_t shard, source_kind_t kind)
{
    shard_worker_t *self = rl_new(*self), **last = &context->workers;
    self->context = context;
    self->kind = kind;
    snprintf(self->collection, sizeof self->collection, "%s", manifest->collection);
    snprintf(self->id, sizeof self->id, "%s/%s/%" PRIu64 "/%s", rl_proc_id(context->proc),
             manifest->collection, shard, source_kind_names[kind]);
    while (*last)
        last = &(*last)->next;
    *last = self;
    return self;
}

// Once it has a queue or an engine.
static shard_worker_t *open_worker(shard_worker_t *self, const manifest_t *manifest, uint64_t shard,
                                   char *why, size_t why_size)
{
    if (bind_socket(self, why, why_size) != 0)
        shard_worker_destroy(&self);
    else
        describe_generation(self, manifest, shard);
    return self;
}

shard_worker_t *shard_worker_new(shard_context_t *context, snapshot_t *snapshot,
                                 const snapshot_source_t *source, char *why, size_t why_size)
{
    const manifest_t *manifest = snapshot_manifest(snapshot);
    shard_worker_t *self = make_worker(context, manifest, source->shard, source->backend->kind);
    self->queue = task_queue_new(context->pool, snapshot, source);
    return open_worker(self, manifest, source->shard, why, why_size);
}

shard_worker_t *shard_worker_new_engine(shard_context_t *context, const manifest_t *manifest,
                                        source_kind_t kind, source_engine_t *engine, char *why,
                                        size_t why_size)
{
    shard_worker_t *self = make_worker(context, manifest, 0, kind);
    self->engine = engine;
    return open_worker(self, manifest, 0, why, why_size);
}

void shard_worker_destroy(shard_worker_t **self_p)
{
    shard_worker_t *self = *self_p;
    if (!self)
        return;
    shard_worker_t **at = &self->context->workers;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
    rl_wire_destroy(&self->pull);
    shard_task_free_all(self);
    task_queue_destroy(&self->queue);
    free(self->fields);
    free(self);
    *self_p = NULL;
}

void shard_worker_serve(shard_worker_t *self, snapshot_t *snapshot, const snapshot_source_t *source)
{
    task_queue_serve(self->queue, snapshot, source);
    describe_generation(self, snapshot_manifest(snapshot), source->shard);
    shard_worker_announce(self);
}

void shard_worker_describe(shard_worker_t *self, const manifest_t *manifest)
{
    describe_generation(self, manifest, self->announce.shard);
}
