// registry: the workers that are there.
#include "registry_private.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "timer.h"

enum {
    MAX_WORKERS = 4096,
    MISSED_HALVES = 7, // half periods without an announcement until a worker counts as lost: the
                       // third one missed, and half a period for a busy machine
    SWEEP_MS = 50,     // how often that is looked at
    LEAVING_US = 120000000, // longest time a leaving worker is waited for
    WELCOME_EVERY_US = 1000000,
};

static const char generator_name[] = "generator";

const char *worker_role_name(worker_role_t role)
{
    return role == ROLE_GENERATOR ? generator_name : kind_names[role];
}

static int role_from_name(const char *name)
{
    return strcmp(name, generator_name) == 0 ? (int)ROLE_GENERATOR : kind_from_name(name);
}

static bool text_differs(const char *text, const char *with)
{
    return !text || strcmp(text, with) != 0;
}

bool registry_replace_text(char **text, const char *with)
{
    if (!text_differs(*text, with))
        return false;
    free(*text);
    *text = rl_strdup(with);
    return true;
}

// ---- membership ---------------------------------------------------------------------------------

static void remove_worker(registry_t *self, worker_t *worker)
{
    TAILQ_REMOVE(&self->workers, worker, all);
    registry_unplace(worker);
    self->size--;
    self->version++;
    self->events.lost(self->events.arg, worker);
    rl_wire_destroy(&worker->push);
    free(worker->id);
    free(worker->tasks_endpoint);
    free(worker->collection);
    free(worker->generation);
    free(worker->embedding_model);
    free(worker->model);
    free(worker->fingerprint);
    free(worker->language);
    free(worker->fields);
    json_decref(worker->field_types);
    free(worker);
}

static void on_sweep(void *arg)
{
    registry_t *self = arg;
    uint64_t now = rl_now_us(), passed = now - self->swept_us;
    self->swept_us = now;
    // While the gateway was too busy to read, announcements may have come: that time does not
    // count.
    uint64_t unread = passed > 2 * SWEEP_MS * 1000 ? passed - SWEEP_MS * 1000 : 0;
    for (worker_t *worker = TAILQ_FIRST(&self->workers), *next; worker; worker = next) {
        next = TAILQ_NEXT(worker, all);
        worker->seen_us = worker->seen_us + unread < now ? worker->seen_us + unread : now;
        bool silent = now - worker->seen_us > worker->period_ms * 500 * MISSED_HALVES;
        if (worker->leaving &&
            (worker->outstanding == 0 || now - worker->leaving_us > LEAVING_US)) {
            remove_worker(self, worker);
        } else if (silent && (!worker->leaving || worker->role == ROLE_GENERATOR)) {
            // a generator announces repeatedly that it leaves; a retriever's tasks end by
            // themselves
            rl_warn("worker %s is lost: no announcement for %llu ms, %zu tasks were with it",
                    worker->id, (unsigned long long)((now - worker->seen_us) / 1000),
                    worker->outstanding);
            self->counts.lost++;
            remove_worker(self, worker);
        }
    }
}

registry_t *registry_new(rl_proc_t *proc, const char *gateway_id, const char *tokens,
                         const registry_events_t *events)
{
    registry_t *self = rl_new(*self);
    *self = (registry_t){.proc = proc,
                         .events = *events,
                         .gateway_id = rl_strdup(gateway_id),
                         .tokens = rl_strdup(tokens),
                         .swept_us = rl_now_us(),
                         .random = rl_now_us() | 1};
    TAILQ_INIT(&self->workers);
    LIST_INIT(&self->layouts);
    self->sweep = rl_timer_new(rl_proc_base(proc), on_sweep, self);
    rl_timer_every(self->sweep, SWEEP_MS * 1000);
    return self;
}

void registry_destroy(registry_t **self_p)
{
    registry_t *self = *self_p;
    if (!self)
        return;
    while (!TAILQ_EMPTY(&self->workers))
        remove_worker(self, TAILQ_FIRST(&self->workers));
    registry_free_layouts(self);
    rl_timer_destroy(&self->sweep);
    free(self->gateway_id);
    free(self->tokens);
    free(self);
    *self_p = NULL;
}

worker_t *registry_find(registry_t *self, const char *id)
{
    worker_t *worker;
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (strcmp(worker->id, id) == 0)
            return worker;
    }
    return NULL;
}

static void refuse_announcement(registry_t *self, const rl_announce_t *announce, const char *why)
{
    if (self->counts.refused++ % 1000 == 0)
        rl_warn("announcement of worker %s refused: %s", announce->worker, why);
}

// Checks an announcement; returns the role, or -1 with the reason logged.
static int check_announcement(registry_t *self, const rl_announce_t *announce)
{
    int role = role_from_name(announce->kind);
    if (role < 0)
        refuse_announcement(self, announce, "unknown kind");
    else if (!*announce->worker || !*announce->tasks)
        refuse_announcement(self, announce, "it names no worker or no endpoint");
    else if (announce->period_ms < 10 || announce->period_ms > 600000)
        refuse_announcement(self, announce, "its period is not 10 ms to 10 minutes");
    else if (role != ROLE_GENERATOR &&
             (!*announce->collection || announce->shards == 0 || announce->shards > 4096 ||
              announce->shard >= announce->shards))
        refuse_announcement(self, announce, "its collection or shard is not right");
    else
        return role;
    return -1;
}

static worker_t *add_worker(registry_t *self, const rl_announce_t *announce, worker_role_t role)
{
    if (self->size >= MAX_WORKERS) {
        refuse_announcement(self, announce, "there are too many workers");
        return NULL;
    }
    char why[512];
    rl_wire_t *push = rl_wire_push_to(self->proc, announce->tasks, announce->key, why, sizeof why);
    if (!push) {
        refuse_announcement(self, announce, why);
        return NULL;
    }
    worker_t *worker = rl_new(*worker);
    *worker = (worker_t){.role = role,
                         .push = push,
                         .id = rl_strdup(announce->worker),
                         .tasks_endpoint = rl_strdup(announce->tasks)};
    LIST_INIT(&worker->tasks);
    TAILQ_INSERT_TAIL(&self->workers, worker, all);
    self->size++;
    self->counts.joined++;
    rl_info("worker %s joined: %s %s at %s", worker->id, announce->kind,
            role == ROLE_GENERATOR ? announce->model : announce->collection, announce->tasks);
    return worker;
}

// A worker learns from the first WELCOME where tokens go, and a generator needs it until its
// connection stands; sent now and then while it says it is not ready.
static void send_welcome(registry_t *self, worker_t *worker, uint64_t now)
{
    if (worker->welcomed_us && (worker->ready || now - worker->welcomed_us < WELCOME_EVERY_US))
        return;
    rl_msg_t msg = {
        .type = RL_WELCOME,
        .welcome = {.gateway = self->gateway_id, .route = worker->route, .tokens = self->tokens}};
    if (rl_wire_send(worker->push, &msg) == 0)
        worker->welcomed_us = now;
}

void registry_announced(registry_t *self, const rl_announce_t *announce)
{
    int role = check_announcement(self, announce);
    if (role < 0)
        return;
    worker_t *worker = registry_find(self, announce->worker);
    if (worker && (worker->role != (worker_role_t)role ||
                   strcmp(worker->tasks_endpoint, announce->tasks) != 0)) {
        remove_worker(self, worker); // another worker with this id
        worker = NULL;
    }
    if (!worker)
        worker = add_worker(self, announce, (worker_role_t)role);
    if (!worker || worker->leaving)
        return;
    uint64_t now = rl_now_us();
    bool was_ready = worker->ready;
    if (worker->ready != announce->ready || worker->shard != announce->shard ||
        text_differs(worker->collection, announce->collection) ||
        text_differs(worker->generation, announce->generation))
        self->version++;
    worker->seen_us = now;
    worker->route = announce->route;
    worker->ready = announce->ready;
    worker->queued = announce->queued;
    worker->running = announce->running;
    worker->slots = announce->slots ? announce->slots : 1;
    worker->prefill = announce->prefill;
    worker->service_us = announce->service_us;
    worker->served = announce->served;
    worker->period_ms = announce->period_ms;
    worker->shard = announce->shard;
    worker->shards = announce->shards;
    worker->dimension = announce->dimension;
    worker->passages = announce->passages;
    registry_replace_text(&worker->collection, announce->collection);
    registry_replace_text(&worker->generation, announce->generation);
    registry_replace_text(&worker->embedding_model, announce->embedding_model);
    registry_replace_text(&worker->model, announce->model);
    registry_replace_text(&worker->fingerprint, announce->fingerprint);
    registry_replace_text(&worker->language, announce->language);
    registry_take_fields(worker, announce);
    if (role != ROLE_GENERATOR)
        registry_place(self, worker, now);
    send_welcome(self, worker, now);
    if (worker->ready && !was_ready)
        self->events.ready(self->events.arg);
}

void registry_left(registry_t *self, const rl_leave_t *leave)
{
    worker_t *worker = registry_find(self, leave->worker);
    if (!worker)
        return;
    worker->seen_us = rl_now_us();
    if (worker->leaving)
        return;
    rl_info("worker %s leaves, %zu tasks are with it", worker->id, worker->outstanding);
    worker->leaving = true;
    worker->ready = false;
    self->version++;
    worker->leaving_us = worker->seen_us;
    self->counts.left++;
}

// ---- queries ------------------------------------------------------------------------------------

size_t registry_fingerprints(registry_t *self, const char **out, size_t most)
{
    worker_t *worker;
    size_t size = 0;
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (worker->role != ROLE_GENERATOR || !worker->ready || !*worker->fingerprint)
            continue;
        bool seen = false;
        for (size_t at = 0; at < size; at++)
            seen |= strcmp(out[at], worker->fingerprint) == 0;
        if (!seen && size < most)
            out[size++] = worker->fingerprint;
    }
    return size;
}

bool registry_has_generator(registry_t *self)
{
    worker_t *worker;
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (worker->ready && worker->role == ROLE_GENERATOR)
            return true;
    }
    return false;
}

worker_t *registry_first(registry_t *self)
{
    return TAILQ_FIRST(&self->workers);
}

worker_t *registry_next(worker_t *worker)
{
    return TAILQ_NEXT(worker, all);
}

registry_counts_t registry_counts(registry_t *self)
{
    registry_counts_t counts = self->counts;
    worker_t *worker;
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        counts.workers[worker->role]++;
        counts.ready[worker->role] += worker->ready;
        counts.outstanding[worker->role] += worker->outstanding;
    }
    return counts;
}
