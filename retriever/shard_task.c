// shard_task: the tasks of a shard worker, from a gateway's SEARCH to its HITS or FAILED.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "embedding.h"
#include "log.h"
#include "mem.h"
#include "probes.h"
#include "shard_worker_private.h"

enum {
    // bytes of the texts of one task's hits; the rest of the frame is names
    HITS_BYTES = RL_MAX_FRAME / 2,
};

// ---- replies ------------------------------------------------------------------------------------

// Sends to the gateway of the task's route. Returns 0 where that is gone, too; otherwise as
// rl_wire_send.
static int send_reply(shard_worker_t *self, const rl_search_t *search, const rl_msg_t *msg)
{
    int slot = rl_gateways_slot(self->context->gateways, search->route);
    int rc = slot < 0 ? 0 : rl_gateways_send(self->context->gateways, (size_t)slot, msg);
    uint64_t now = rl_now_us();
    if (rc != RL_WIRE_NO_ROOM || (self->complained_us && now - self->complained_us < 1000000))
        return rc;
    self->complained_us = now;
    rl_log(RL_LOG_WARN, search->request, "%s: gateway %s takes no more: %s dropped", self->id,
           rl_gateways_endpoint(self->context->gateways, (size_t)slot), rl_msg_name(msg->type));
    return rc;
}

static void reply_failed(shard_worker_t *self, const rl_search_t *search, uint64_t status,
                         const char *code, bool retry, const char *message)
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
    send_reply(self, search, &msg);
}

// The best hits whose texts one message has room for; the others are left out, which it says.
static int send_hits(shard_worker_t *self, const rl_search_t *search, rl_msg_t *msg)
{
    rl_hits_t *hits = &msg->hits;
    size_t bytes = 0, size = 0, all = hits->hits_size;
    while (size < all &&
           (bytes += strlen(hits->hits[size].text) + strlen(hits->hits[size].meta)) <= HITS_BYTES)
        size++;
    for (int rc = RL_MSG_TOO_LARGE;; size -= size / 8 + 1) {
        hits->hits_size = size;
        hits->left_out = all - size;
        rc = send_reply(self, search, msg);
        if (rc != RL_MSG_TOO_LARGE || size == 0) {
            if (rc == 0 && hits->left_out)
                rl_log(RL_LOG_WARN, search->request,
                       "%s: %zu of %zu hits left out: their texts are too long for one message",
                       self->id, all - size, all);
            return rc;
        }
    }
}

static void reply_hits(shard_worker_t *self, const rl_search_t *search, task_t *task)
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
    int rc = send_hits(self, search, &msg);
    if (rc == RL_MSG_REFUSED || rc == RL_MSG_TOO_LARGE) {
        reply_failed(self, search, 502, "message_refused", false, rl_wire_refusal());
        return;
    }
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

static void free_task(shard_worker_t *self, shard_task_t *own)
{
    if (own->before)
        own->before->after = own->after;
    else
        self->tasks = own->after;
    if (own->after)
        own->after->before = own->before;
    self->tasks_size--;
    result_clear(&own->task.result);
    rl_msg_free(&own->task.msg);
    free(own);
}

// An accepted task ends: its reply was sent, or nobody waits for it.
static void end_task(shard_worker_t *self, shard_task_t *own, const char *code)
{
    const task_t *task = &own->task;
    RL_PROBE_TASK_ANSWERED(task->msg->search.request, task->msg->search.task,
                           rl_now_us() - task->arrived_us, *code ? 0 : task->result.size, code);
    free_task(self, own);
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
        reply_failed(self, search, strcmp(code, "deadline") == 0 ? 504 : 502, code, result->retry,
                     result->message);
    } else {
        reply_hits(self, search, task);
    }
    end_task(self, (shard_task_t *)task, code);
}

// ---- tasks --------------------------------------------------------------------------------------

static size_t bounded_effort(uint64_t wanted)
{
    return wanted < EFFORT_MOST ? wanted : EFFORT_MOST;
}

// The moment after so many ms; UINT64_MAX (never) for 0 or where it would overflow.
static uint64_t time_after(uint64_t now, uint64_t ms)
{
    return ms > 0 && ms < UINT64_MAX / 1000 - now ? now + ms * 1000 : UINT64_MAX;
}

static int put_task(shard_worker_t *self, task_t *task)
{
    return self->engine ? source_engine_put(self->engine, task) : pool_put(self->queue, task);
}

// Whether the task is the caller's again: it is neither searched nor in a queue.
static bool drop_task(shard_worker_t *self, task_t *task)
{
    if (!self->engine)
        return pool_drop(task);
    source_engine_drop(self->engine, task);
    return true;
}

static task_state_t state_of(const shard_worker_t *self, const task_t *task)
{
    return self->engine ? task->state : pool_state(task);
}

void shard_task_load(const shard_worker_t *self, size_t *waiting, size_t *running)
{
    if (self->engine)
        source_engine_load(self->engine, waiting, running);
    else
        task_queue_load(self->queue, waiting, running);
}

// The task that the message asks for, or NULL after it was refused.
static shard_task_t *accept_task(shard_worker_t *self, rl_msg_t *msg, uint64_t now)
{
    const rl_search_t *search = &msg->search;
    shard_task_t *own = rl_alloc(sizeof *own + search->vector_size * sizeof *own->vector);
    bool usable = search->vector_size == 0 ||
                  rl_embedding_normalise(search->vector, search->vector_size, own->vector) == 0;
    if (!usable) {
        reply_failed(self, search, 502, "bad_request", false, "the question's vector is all zeros");
        free(own);
        return NULL;
    }
    own->task.msg = rl_must(rl_msg_move(msg));
    search = &own->task.msg->search;
    own->task.owner = self;
    query_t *query = &own->task.query;
    *query = (query_t){.text = search->text,
                       .vector = search->vector_size ? own->vector : NULL,
                       .dimension = search->vector_size,
                       .k = search->k,
                       .filter = *search->filter ? search->filter : NULL};
    query->efforts[EFFORT_NPROBE] = bounded_effort(search->nprobe);
    query->efforts[EFFORT_EF_SEARCH] = bounded_effort(search->ef_search);
    own->task.arrived_us = now;
    own->task.deadline_us = time_after(now, search->deadline_ms);
    uint64_t soft_us = time_after(now, search->soft_ms);
    uint64_t until_us = soft_us < own->task.deadline_us ? soft_us : own->task.deadline_us;
    query->until_us = until_us < UINT64_MAX ? until_us : 0;
    return own;
}

// A gateway asks for the version in force before it uses a cached result.
static void reply_version(shard_worker_t *self, const rl_search_t *search)
{
    char version[SNAPSHOT_MAX_VERSION], why[512];
    int rc = 0;
    snprintf(version, sizeof version, "%s", self->generation); // an engine's
    if (self->queue) {
        snapshot_t *snapshot = task_queue_snapshot(self->queue);
        rc = snapshot_version(snapshot, version, why, sizeof why);
        snapshot_unref(&snapshot);
    }
    rl_msg_t msg = {.type = RL_HITS};
    msg.hits = (rl_hits_t){.worker = self->id, .task = search->task, .generation = version};
    if (rc == 0)
        send_reply(self, search, &msg);
    else
        reply_failed(self, search, 502, "index_gone", true, why);
}

void shard_task_take(shard_worker_t *self, rl_msg_t *msg)
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
    if (msg->unreadable) {
        char text[256];
        snprintf(text, sizeof text, "the retriever cannot read its task: %s", msg->unreadable);
        reply_failed(self, search, 502, "bad_message", false, text);
        return;
    }
    if (search->k == 0) {
        reply_version(self, search);
        return;
    }
    if (search->k > RL_MAX_HITS) {
        reply_failed(self, search, 502, "bad_request", false, "k must be from 1 to 1000");
        return;
    }
    shard_task_t *own = accept_task(self, msg, now);
    if (!own)
        return;
    own->after = self->tasks;
    if (self->tasks)
        self->tasks->before = own;
    self->tasks = own;
    self->tasks_size++;
    search = &own->task.msg->search;
    RL_PROBE_TASK_TAKEN(search->request, search->task, self->id, search->k);
    if (put_task(self, &own->task) != 0) {
        reply_failed(self, search, 503, "busy", true,
                     "too many questions wait at this retriever; ask again, or add a replica");
        end_task(self, own, "busy");
    }
}

void shard_task_cancel(shard_worker_t *self, const rl_cancel_t *cancel)
{
    for (shard_task_t *own = self->tasks; own; own = own->after) {
        const rl_search_t *search = &own->task.msg->search;
        if (search->task != cancel->task || search->route != cancel->route)
            continue;
        if (drop_task(self, &own->task))
            end_task(self, own, "cancelled");
        return;
    }
}

void shard_task_give_up_all(shard_worker_t *self)
{
    shard_task_t *next;
    for (shard_task_t *own = self->tasks; own; own = next) {
        next = own->after;
        if (!drop_task(self, &own->task))
            continue;
        reply_failed(self, &own->task.msg->search, 503, "leaving", true, "the retriever is going");
        end_task(self, own, "leaving");
    }
}

void shard_task_free_all(shard_worker_t *self)
{
    while (self->tasks) {
        drop_task(self, &self->tasks->task);
        free_task(self, self->tasks);
    }
}

// ---- dumps --------------------------------------------------------------------------------------

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

bool shard_task_dump_all(const shard_worker_t *self, rl_dump_t *dump)
{
    const shard_task_t *own = self->tasks;
    uint64_t now = rl_now_us();
    while (own && own->after)
        own = own->after;
    for (; own; own = own->before)
        if (!dump_task(self, &own->task, now, dump))
            return false;
    return true;
}
