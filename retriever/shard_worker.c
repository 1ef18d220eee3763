// unit: one shard and kind as the gateways see it.
#include "shard_worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "embedding.h"
#include "endpoint.h"
#include "field_types.h"
#include "files.h"
#include "log.h"
#include "mem.h"
#include "probes.h"
#include "vectors.h"

enum {
    NAME = 256, // of a worker's id, as in the protocol
    HITS_BYTES =
        RL_MAX_FRAME / 2, // of the texts of one task's hits; the rest of the frame is names
};

// A task with what only this side needs to know of it.
typedef struct asked {
    task_t task; // first: the pool gives this back
    struct asked *before, *after;
    float vector[]; // normalised
} asked_t;

struct shard_worker {
    shard_context_t *context;
    rl_wire_t *pull;
    task_queue_t *line;      // before the pool's threads, or
    source_engine_t *remote; // a source that waits for others
    source_kind_t kind;
    char id[NAME], collection[80], advertised[RL_ENDPOINT];
    uint64_t welcome[RL_GATEWAYS_MAX]; // by slot: the route of the gateway that has answered, + 1
    bool left;
    rl_announce_t announce; // but for what changes; its strings are the unit's own
    char generation[SNAPSHOT_MAX_VERSION], model[NAME], language[64];
    char *fields;
    uint64_t fields_version; // of what changes have added to them, 0: nothing
    asked_t *tasks;          // open ones
    size_t tasks_size;
    uint64_t served, failed, service_us;
    uint64_t complained_us;
};

// ----------------------------------------------------------------------------------------- answers

// Sends to the gateway of the task's route.
static void answer(shard_worker_t *self, const rl_search_t *search, const rl_msg_t *msg)
{
    int slot = rl_gateways_slot(self->context->gateways, search->route);
    if (slot < 0 || rl_gateways_send(self->context->gateways, (size_t)slot, msg) == 0)
        return; // a gateway that is gone misses nothing
    uint64_t now = rl_now_us();
    if (self->complained_us && now - self->complained_us < 1000000)
        return;
    self->complained_us = now;
    rl_log(RL_LOG_WARN, search->request, "%s: gateway %s takes no more: %s dropped", self->id,
           rl_gateways_endpoint(self->context->gateways, (size_t)slot), rl_msg_name(msg->type));
}

static void fail(shard_worker_t *self, const rl_search_t *search, uint64_t status, const char *code,
                 bool retry, const char *message)
{
    rl_log(RL_LOG_DEBUG, search->request, "%s: task %" PRIu64 " failed: %s: %s", self->id,
           search->task, code, message);
    rl_msg_t msg = {.type = RL_FAILED};
    msg.failed = (rl_failed_t){.worker = self->id,
                               .task = search->task,
                               .status = status,
                               .code = code,
                               .message = message,
                               .retry = retry};
    self->failed++;
    answer(self, search, &msg);
}

static void give_hits(shard_worker_t *self, const rl_search_t *search, task_t *task)
{
    rl_msg_t msg = {.type = RL_HITS};
    msg.hits = (rl_hits_t){.worker = self->id,
                           .task = search->task,
                           .generation = task->generation,
                           .queue_us = task->queue_us,
                           .work_us = task->work_us,
                           .bound = task->result.bound,
                           .effort_kind = effort_names[task->result.effort.kind],
                           .effort = task->result.effort.used,
                           .effort_wanted = task->result.effort.wanted,
                           .hits = task->result.hits,
                           .hits_size = task->result.size};
    answer(self, search, &msg);
    if (rl_log_enabled(RL_LOG_DEBUG))
        rl_log(RL_LOG_DEBUG, search->request,
               "%s: task %" PRIu64 ": %zu hits; %.3f ms in line, %.3f ms of search", self->id,
               search->task, task->result.size, (double)task->queue_us / 1000,
               (double)task->work_us / 1000);
    self->served++;
    // exponential average over about the last 8 tasks
    self->service_us =
        self->service_us ? (self->service_us * 7 + task->share_us) / 8 : task->share_us;
}

static void free_task(shard_worker_t *self, asked_t *asked)
{
    if (asked->before)
        asked->before->after = asked->after;
    else
        self->tasks = asked->after;
    if (asked->after)
        asked->after->before = asked->before;
    self->tasks_size--;
    result_clear(&asked->task.result);
    rl_msg_free(&asked->task.msg);
    free(asked);
}

// An accepted task ends: what has become of it was sent, or nobody waits for it.
static void end_task(shard_worker_t *self, asked_t *asked, const char *code)
{
    const task_t *task = &asked->task;
    RL_PROBE_TASK_ANSWERED(task->msg->search.request, task->msg->search.task,
                           rl_now_us() - task->arrived_us, *code ? 0 : task->result.size, code);
    free_task(self, asked);
}

void shard_worker_done(task_t *task)
{
    shard_worker_t *self = task->owner;
    const rl_search_t *search = &task->msg->search;
    const result_t *result = &task->result;
    const char *code = result->code ? result->code : "";
    if (task->dropped) {
        code = "cancelled";
    } else if (*code) {
        fail(self, search, strcmp(code, "deadline") == 0 ? 504 : 502, code, result->retry,
             result->message);
    } else if (result->bytes > HITS_BYTES) {
        code = "too_large";
        fail(self, search, 502, code, false,
             "the texts of so many hits are too long for one answer; ask for fewer (k)");
    } else {
        give_hits(self, search, task);
    }
    end_task(self, (asked_t *)task, code);
}

// ------------------------------------------------------------------------------------------- tasks

static size_t effort_asked(uint64_t asked)
{
    return asked < EFFORT_MOST ? asked : EFFORT_MOST;
}

// The moment when so much has passed; never if it is 0 (or as good as never).
static uint64_t at_ms(uint64_t now, uint64_t ms)
{
    return ms > 0 && ms < UINT64_MAX / 1000 - now ? now + ms * 1000 : UINT64_MAX;
}

static int put_task(shard_worker_t *self, task_t *task)
{
    return self->remote ? source_engine_put(self->remote, task) : pool_put(self->line, task);
}

// Whether it is out and ours again.
static bool drop_task(shard_worker_t *self, task_t *task)
{
    if (!self->remote)
        return pool_drop(task);
    source_engine_drop(self->remote, task);
    return true;
}

static task_state_t state_of(const shard_worker_t *self, const task_t *task)
{
    return self->remote ? task->state : pool_state(task);
}

static void load_of(const shard_worker_t *self, size_t *waiting, size_t *running)
{
    if (self->remote)
        source_engine_load(self->remote, waiting, running);
    else
        task_queue_load(self->line, waiting, running);
}

// The task that the message asks for, or NULL after it was refused.
static asked_t *accept_task(shard_worker_t *self, rl_msg_t *msg, uint64_t now)
{
    const rl_search_t *search = &msg->search;
    asked_t *asked = calloc(1, sizeof *asked + search->vector_size * sizeof *asked->vector);
    if (!asked) {
        fail(self, search, 503, "busy", true, "the retriever is out of memory");
        return NULL;
    }
    bool usable = search->vector_size == 0 ||
                  rl_embedding_normalise(search->vector, search->vector_size, asked->vector) == 0;
    asked->task.msg = usable ? rl_msg_move(msg) : NULL;
    if (!asked->task.msg) {
        fail(self, search, usable ? 503 : 502, usable ? "busy" : "bad_request", usable,
             usable ? "the retriever is out of memory" : "the question's vector is all zeros");
        free(asked);
        return NULL;
    }
    search = &asked->task.msg->search;
    asked->task.owner = self;
    query_t *query = &asked->task.query;
    *query = (query_t){.text = search->text,
                       .vector = search->vector_size ? asked->vector : NULL,
                       .dimension = search->vector_size,
                       .k = search->k,
                       .filter = *search->filter ? search->filter : NULL};
    query->efforts[EFFORT_NPROBE] = effort_asked(search->nprobe);
    query->efforts[EFFORT_EF_SEARCH] = effort_asked(search->ef_search);
    asked->task.arrived_us = now;
    asked->task.deadline_us = at_ms(now, search->deadline_ms);
    uint64_t soft_us = at_ms(now, search->soft_ms);
    uint64_t until_us = soft_us < asked->task.deadline_us ? soft_us : asked->task.deadline_us;
    query->until_us = until_us < UINT64_MAX ? until_us : 0;
    return asked;
}

// A gateway asks what is in force before it uses what it has found before.
static void give_position(shard_worker_t *self, const rl_search_t *search)
{
    char position[SNAPSHOT_MAX_VERSION], why[512];
    int rc = 0;
    snprintf(position, sizeof position, "%s", self->generation); // a remote engine's
    if (self->line) {
        snapshot_t *served = task_queue_snapshot(self->line);
        rc = snapshot_version(served, position, why, sizeof why);
        snapshot_unref(&served);
    }
    rl_msg_t msg = {.type = RL_HITS};
    msg.hits = (rl_hits_t){.worker = self->id, .task = search->task, .generation = position};
    if (rc == 0)
        answer(self, search, &msg);
    else
        fail(self, search, 502, "index_gone", true, why);
}

static void take_search(shard_worker_t *self, rl_msg_t *msg)
{
    const rl_search_t *search = &msg->search;
    uint64_t now = rl_now_us();
    self->context->last_task_us = now;
    if (rl_gateways_slot(self->context->gateways, search->route) < 0) {
        rl_log(RL_LOG_WARN, search->request,
               "%s: a task for route %" PRIu64 ", which no gateway has, dropped", self->id,
               search->route);
        return;
    }
    if (search->k == 0) {
        give_position(self, search);
        return;
    }
    if (search->k > RL_MAX_HITS) {
        fail(self, search, 502, "bad_request", false, "k must be from 1 to 1000");
        return;
    }
    asked_t *asked = accept_task(self, msg, now);
    if (!asked)
        return;
    asked->after = self->tasks;
    if (self->tasks)
        self->tasks->before = asked;
    self->tasks = asked;
    self->tasks_size++;
    search = &asked->task.msg->search;
    RL_PROBE_TASK_TAKEN(search->request, search->task, self->id, search->k);
    if (put_task(self, &asked->task) != 0) {
        fail(self, search, 503, "busy", true,
             "too many questions wait at this retriever; ask again, or add a replica");
        end_task(self, asked, "busy");
    }
}

static void take_cancel(shard_worker_t *self, const rl_cancel_t *cancel)
{
    for (asked_t *asked = self->tasks; asked; asked = asked->after) {
        const rl_search_t *search = &asked->task.msg->search;
        if (search->task != cancel->task || search->route != cancel->route)
            continue;
        if (drop_task(self, &asked->task))
            end_task(self, asked, "cancelled");
        return;
    }
}

static bool is_ready(void *arg, size_t slot, uint64_t route)
{
    const shard_worker_t *self = arg;
    return self->welcome[slot] == route + 1;
}

// Changes can bring fields that no passage had before.
static void say_fields(shard_worker_t *self, field_types_t *types)
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

// The announcement with what changes.
static const rl_announce_t *say(shard_worker_t *self)
{
    size_t waiting = 0, running = 0;
    load_of(self, &waiting, &running);
    if (self->line) {
        snapshot_t *served = task_queue_snapshot(self->line);
        snapshot_last_version(served, self->generation);
        say_fields(self, snapshot_fields(served));
        self->announce.passages = snapshot_passages(served, self->announce.shard);
        snapshot_unref(&served);
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
        rl_gateways_announce_to(self->context->gateways, (size_t)slot, say(self), is_ready, self);
}

// What gateways say to this worker.
static void on_message(void *arg, rl_msg_t *msg)
{
    shard_worker_t *self = arg;
    switch (msg->type) {
    case RL_SEARCH:
        take_search(self, msg);
        break;
    case RL_CANCEL:
        take_cancel(self, &msg->cancel);
        break;
    case RL_WELCOME:
        take_welcome(self, &msg->welcome);
        break;
    default:
        rl_warn("%s: a message that is not for retrievers (%s) dropped", self->id,
                rl_msg_name(msg->type));
    }
}

// -------------------------------------------------------------------------------------- announcing

void shard_worker_announce(shard_worker_t *self)
{
    if (!self->left)
        rl_gateways_announce(self->context->gateways, say(self), is_ready, self);
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

bool shard_worker_has_left(const shard_worker_t *self)
{
    return self->left;
}

size_t shard_worker_tasks(const shard_worker_t *self)
{
    return self->tasks_size;
}

void shard_worker_give_up(shard_worker_t *self)
{
    asked_t *next;
    for (asked_t *asked = self->tasks; asked; asked = next) {
        next = asked->after;
        if (!drop_task(self, &asked->task))
            continue;
        fail(self, &asked->task.msg->search, 503, "leaving", true, "the retriever is going");
        end_task(self, asked, "leaving");
    }
}

// ------------------------------------------------------------------------------------------- dumps

bool shard_worker_dump(const shard_worker_t *self, rl_dump_t *dump)
{
    size_t waiting = 0, running = 0;
    if (!rl_dump_item(dump, NULL))
        return false;
    load_of(self, &waiting, &running);
    rl_dump_text(dump, "worker", self->id);
    rl_dump_text(dump, "generation", self->generation);
    rl_dump_text(dump, "tasks_at", self->advertised);
    rl_dump_number(dump, "waiting", waiting);
    rl_dump_number(dump, "running", running);
    rl_dump_number(dump, "open", self->tasks_size);
    rl_dump_number(dump, "served", self->served);
    rl_dump_number(dump, "failed", self->failed);
    rl_dump_ms(dump, "service_ms", self->service_us);
    rl_dump_flag(dump, "left", self->left);
    rl_dump_end(dump);
    return true;
}

static bool dump_task(const shard_worker_t *self, const task_t *task, uint64_t now, rl_dump_t *dump)
{
    static const char *const states[] = {
        [TASK_WAITING] = "waiting", [TASK_RUNNING] = "searching", [TASK_DONE] = "searched"};
    const rl_search_t *search = &task->msg->search;
    if (!rl_dump_item(dump, search->request))
        return false;
    rl_dump_number(dump, "task", search->task);
    rl_dump_text(dump, "worker", self->id);
    rl_dump_text(dump, "gateway", search->gateway);
    rl_dump_text(dump, "state", states[state_of(self, task)]);
    rl_dump_ms(dump, "for_ms", now - task->arrived_us);
    rl_dump_number(dump, "k", search->k);
    rl_dump_flag(dump, "late", now > task->deadline_us);
    rl_dump_end(dump);
    return true;
}

// Oldest first.
bool shard_worker_dump_tasks(const shard_worker_t *self, rl_dump_t *dump)
{
    const asked_t *asked = self->tasks;
    uint64_t now = rl_now_us();
    while (asked && asked->after)
        asked = asked->after;
    for (; asked; asked = asked->before)
        if (!dump_task(self, &asked->task, now, dump))
            return false;
    return true;
}

// ------------------------------------------------------------------------------------------ making

bool shard_worker_is(const shard_worker_t *self, const char *collection, uint64_t shard,
                     source_kind_t kind)
{
    return strcmp(self->collection, collection) == 0 && self->announce.shard == shard &&
           self->kind == kind;
}

// What the announcement says of the generation.
static void describe(shard_worker_t *self, const manifest_t *manifest, uint64_t shard)
{
    bool dense = self->kind == SOURCE_DENSE;
    snprintf(self->generation, sizeof self->generation, "%s", manifest->generation);
    snprintf(self->model, sizeof self->model, "%s", dense ? manifest->model : "");
    snprintf(self->language, sizeof self->language, "%s", manifest->language);
    bool too_many = strlen(manifest->fields) > RL_MAX_FIELDS;
    free(self->fields);
    self->fields_version = 0;
    self->fields = strdup(too_many ? "{}" : manifest->fields);
    self->announce = (rl_announce_t){
        .worker = self->id,
        .kind = source_kind_names[self->kind],
        .tasks = self->advertised,
        .slots = self->remote ? source_engine_slots(self->remote) : self->context->threads,
        .collection = self->collection,
        .shard = shard,
        .shards = manifest->shards,
        .generation = self->generation,
        .embedding_model = self->model,
        .dimension = dense ? manifest->dimension : 0,
        .passages = manifest->shard_passages[shard],
        .language = self->language,
        .fields = self->fields ? self->fields : "",
        .fields_more = manifest->fields_more || too_many,
    };
}

// An ipc path is one for each unit; a fixed TCP port serves only one.
static int bind_socket(shard_worker_t *self, char *why, size_t why_size)
{
    const shard_context_t *context = self->context;
    char endpoint[RL_ENDPOINT], inner[RL_ENDPOINT + 512];
    bool path = strncmp(context->bind, "ipc://", 6) == 0 && !strchr(context->bind, '*');
    int size = path ? snprintf(endpoint, sizeof endpoint, "%s-%s-%" PRIu64, context->bind,
                               rl_proc_id(context->proc), context->units_made)
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

// Its socket is bound once it has a line or a source.
static shard_worker_t *make(shard_context_t *context, const manifest_t *manifest, uint64_t shard,
                            source_kind_t kind)
{
    shard_worker_t *self = rl_new(*self);
    self->context = context;
    self->kind = kind;
    snprintf(self->collection, sizeof self->collection, "%s", manifest->collection);
    snprintf(self->id, sizeof self->id, "%s/%s/%" PRIu64 "/%s", rl_proc_id(context->proc),
             manifest->collection, shard, source_kind_names[kind]);
    return self;
}

static void open_unit(shard_worker_t **self_p, const manifest_t *manifest, uint64_t shard,
                      char *why, size_t why_size)
{
    shard_worker_t *self = *self_p;
    int rc = self && (self->line || self->remote) ? bind_socket(self, why, why_size)
                                                  : rl_fail(why, why_size, "out of memory");
    if (self)
        self->context->units_made++;
    if (rc != 0)
        shard_worker_destroy(self_p);
    else
        describe(self, manifest, shard);
}

shard_worker_t *shard_worker_new(shard_context_t *context, snapshot_t *served,
                                 const snapshot_source_t *source, char *why, size_t why_size)
{
    const manifest_t *manifest = snapshot_manifest(served);
    shard_worker_t *self = make(context, manifest, source->shard, source->backend->kind);
    if (self)
        self->line = task_queue_new(context->pool, served, source);
    open_unit(&self, manifest, source->shard, why, why_size);
    return self;
}

shard_worker_t *shard_worker_new_remote(shard_context_t *context, const manifest_t *manifest,
                                        source_kind_t kind, source_engine_t *remote, char *why,
                                        size_t why_size)
{
    shard_worker_t *self = make(context, manifest, 0, kind);
    if (self)
        self->remote = remote;
    open_unit(&self, manifest, 0, why, why_size);
    return self;
}

void shard_worker_destroy(shard_worker_t **self_p)
{
    shard_worker_t *self = *self_p;
    if (!self)
        return;
    rl_wire_destroy(&self->pull);
    while (self->tasks) { // the pool is at rest: what is left was never taken
        drop_task(self, &self->tasks->task);
        free_task(self, self->tasks);
    }
    task_queue_destroy(&self->line);
    free(self->fields);
    free(self);
    *self_p = NULL;
}

void shard_worker_serve(shard_worker_t *self, snapshot_t *served, const snapshot_source_t *source)
{
    task_queue_serve(self->line, served, source);
    describe(self, snapshot_manifest(served), source->shard);
    shard_worker_announce(self);
}

void shard_worker_describe(shard_worker_t *self, const manifest_t *manifest)
{
    describe(self, manifest, self->announce.shard);
}
