// registry: the workers that are there.
#include "registry.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

enum {
    MAX_WORKERS = 4096,
    MAX_COLLECTIONS = 1024,
    MISSED_HALVES = 7, // half periods without an announcement until a worker counts as lost: the
                       // third one missed, and half a period for a busy machine
    SWEEP_MS = 50,     // how often that is looked at
    REMEMBER_US = 600000000, // how long a kind of retrieval is missed after it was last there
    LEAVING_US = 120000000,  // longest time a leaving worker is waited for
    WELCOME_EVERY_US = 1000000,
    SLOW_TIMES = 2,   // slower than the fastest replica by so much is slow; less is chance
    PROBE_EVERY = 32, // one choice of so many does not mind who is slow: it may have recovered
    LOAD_UNIT = 16,   // what a task counts at a replica that is not slow
};

static const char *const role_names[ROLES] = {"dense", "lexical", "generator"};

typedef struct replicas {
    LIST_HEAD(, worker) workers;
} replicas_t;

// What a collection should consist of.
typedef struct layout {
    char *name;
    uint64_t shards;
    uint64_t seen_us[KINDS];       // when a worker of the kind last announced itself, 0 never
    replicas_t **shards_of[KINDS]; // by shard; each stays where it is for good
    uint64_t made;                 // shards in those rows
    LIST_ENTRY(layout) all;
} layout_t;

struct registry {
    rl_proc_t *proc;
    char *gateway_id, *tokens;
    registry_events_t events;
    TAILQ_HEAD(, worker) workers;
    LIST_HEAD(, layout) layouts;
    size_t layouts_size;
    size_t size;
    struct event *sweep;
    uint64_t swept_us; // when it was last
    registry_counts_t counts;
    uint64_t changes; // of who serves what, in which generation
    unsigned random;
};

const char *worker_role_name(worker_role_t role)
{
    return role_names[role];
}

static bool differs(const char *text, const char *with)
{
    return !text || strcmp(text, with) != 0;
}

static void replace(char **text, const char *with)
{
    if (!differs(*text, with))
        return;
    free(*text);
    *text = strdup(with);
    if (!*text)
        abort();
}

// ------------------------------------------------------------------------------------- membership

static void leave_replicas(worker_t *worker)
{
    if (worker->replicas)
        LIST_REMOVE(worker, replica);
    worker->replicas = NULL;
}

static void drop(registry_t *self, worker_t *worker)
{
    TAILQ_REMOVE(&self->workers, worker, all);
    leave_replicas(worker);
    self->size--;
    self->changes++;
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

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    registry_t *self = arg;
    (void)fd;
    (void)what;
    uint64_t now = rl_now_us(), passed = now - self->swept_us;
    self->swept_us = now;
    // What the gateway was too busy to read, nobody has missed.
    uint64_t deaf = passed > 2 * SWEEP_MS * 1000 ? passed - SWEEP_MS * 1000 : 0;
    for (worker_t *worker = TAILQ_FIRST(&self->workers), *next; worker; worker = next) {
        next = TAILQ_NEXT(worker, all);
        worker->seen_us = worker->seen_us + deaf < now ? worker->seen_us + deaf : now;
        bool silent = now - worker->seen_us > worker->period_ms * 500 * MISSED_HALVES;
        if (worker->leaving &&
            (worker->outstanding == 0 || now - worker->leaving_us > LEAVING_US)) {
            drop(self, worker);
        } else if (silent && (!worker->leaving || worker->role == ROLE_GENERATOR)) {
            // a generator says again and again that it leaves; a retriever's tasks end by
            // themselves
            rl_warn("worker %s is lost: no announcement for %llu ms, %zu tasks were with it",
                    worker->id, (unsigned long long)((now - worker->seen_us) / 1000),
                    worker->outstanding);
            self->counts.lost++;
            drop(self, worker);
        }
    }
}

registry_t *registry_new(rl_proc_t *proc, const char *gateway_id, const char *tokens,
                         const registry_events_t *events)
{
    registry_t *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    *self = (registry_t){.proc = proc, .events = *events, .random = (unsigned)rl_now_us()};
    self->swept_us = rl_now_us();
    replace(&self->gateway_id, gateway_id);
    replace(&self->tokens, tokens);
    TAILQ_INIT(&self->workers);
    LIST_INIT(&self->layouts);
    self->sweep = event_new(rl_proc_base(proc), -1, EV_PERSIST, on_sweep, self);
    struct timeval every = {0, SWEEP_MS * 1000};
    if (!self->sweep || event_add(self->sweep, &every) != 0)
        abort();
    return self;
}

void registry_destroy(registry_t **self_p)
{
    registry_t *self = *self_p;
    if (!self)
        return;
    while (!TAILQ_EMPTY(&self->workers))
        drop(self, TAILQ_FIRST(&self->workers));
    for (layout_t *layout = LIST_FIRST(&self->layouts), *next; layout; layout = next) {
        next = LIST_NEXT(layout, all);
        for (int kind = 0; kind < KINDS; kind++) {
            for (uint64_t shard = 0; shard < layout->made; shard++)
                free(layout->shards_of[kind][shard]);
            free(layout->shards_of[kind]);
        }
        free(layout->name);
        free(layout);
    }
    event_free(self->sweep);
    free(self->gateway_id);
    free(self->tokens);
    free(self);
    *self_p = NULL;
}

static worker_t *find(registry_t *self, const char *id)
{
    worker_t *worker;
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (strcmp(worker->id, id) == 0)
            return worker;
    }
    return NULL;
}

static layout_t *find_layout(registry_t *self, const char *collection)
{
    layout_t *layout;
    LIST_FOREACH(layout, &self->layouts, all)
    {
        if (strcmp(layout->name, collection) == 0)
            return layout;
    }
    return NULL;
}

// Kept in the order of their names.
static layout_t *make_layout(registry_t *self, const char *collection)
{
    layout_t *layout = calloc(1, sizeof *layout), *before = NULL, *each;
    if (!layout)
        abort();
    replace(&layout->name, collection);
    LIST_FOREACH(each, &self->layouts, all)
    {
        if (strcmp(each->name, collection) < 0)
            before = each;
    }
    if (before)
        LIST_INSERT_AFTER(before, layout, all);
    else
        LIST_INSERT_HEAD(&self->layouts, layout, all);
    self->layouts_size++;
    return layout;
}

static void refuse(registry_t *self, const rl_announce_t *announce, const char *why)
{
    if (self->counts.refused++ % 1000 == 0)
        rl_warn("announcement of worker %s refused: %s", announce->worker, why);
}

// Checks an announcement; returns the role, or -1 with the reason logged.
static int check(registry_t *self, const rl_announce_t *announce)
{
    int role = -1;
    for (int at = 0; at < ROLES; at++)
        if (strcmp(role_names[at], announce->kind) == 0)
            role = at;
    if (role < 0)
        refuse(self, announce, "unknown kind");
    else if (!*announce->worker || !*announce->tasks)
        refuse(self, announce, "it names no worker or no endpoint");
    else if (announce->period_ms < 10 || announce->period_ms > 600000)
        refuse(self, announce, "its period is not 10 ms to 10 minutes");
    else if (role != ROLE_GENERATOR &&
             (!*announce->collection || announce->shards == 0 || announce->shards > 4096 ||
              announce->shard >= announce->shards))
        refuse(self, announce, "its collection or shard is not right");
    else
        return role;
    return -1;
}

static worker_t *join(registry_t *self, const rl_announce_t *announce, worker_role_t role)
{
    if (self->size >= MAX_WORKERS) {
        refuse(self, announce, "there are too many workers");
        return NULL;
    }
    char why[512];
    rl_wire_t *push = rl_wire_push_to(self->proc, announce->tasks, announce->key, why, sizeof why);
    if (!push) {
        refuse(self, announce, why);
        return NULL;
    }
    worker_t *worker = calloc(1, sizeof *worker);
    if (!worker)
        abort();
    *worker = (worker_t){.role = role, .push = push};
    LIST_INIT(&worker->tasks);
    replace(&worker->id, announce->worker);
    replace(&worker->tasks_endpoint, announce->tasks);
    TAILQ_INSERT_TAIL(&self->workers, worker, all);
    self->size++;
    self->counts.joined++;
    rl_info("worker %s joined: %s %s at %s", worker->id, announce->kind,
            role == ROLE_GENERATOR ? announce->model : announce->collection, announce->tasks);
    return worker;
}

// A worker learns from the first WELCOME where tokens go, and a generator needs it until its
// connection stands; sent now and then while it says it is not ready.
static void welcome(registry_t *self, worker_t *worker, uint64_t now)
{
    if (worker->welcomed_us && (worker->ready || now - worker->welcomed_us < WELCOME_EVERY_US))
        return;
    rl_msg_t msg = {
        .type = RL_WELCOME,
        .welcome = {.gateway = self->gateway_id, .route = worker->route, .tokens = self->tokens}};
    if (rl_wire_send(worker->push, &msg) == 0)
        worker->welcomed_us = now;
}

static void make_shards(layout_t *layout, uint64_t shards)
{
    for (int kind = 0; kind < KINDS && shards > layout->made; kind++) {
        replicas_t **row = realloc(layout->shards_of[kind], shards * sizeof(replicas_t *));
        if (!row)
            abort();
        layout->shards_of[kind] = row;
        for (uint64_t shard = layout->made; shard < shards; shard++)
            if (!(row[shard] = calloc(1, sizeof(replicas_t))))
                abort();
    }
    layout->made = shards > layout->made ? shards : layout->made;
}

// They seldom change: read once.
static void take_fields(worker_t *worker, const rl_announce_t *announce)
{
    const char *fields = announce->fields ? announce->fields : "";
    worker->fields_more = announce->fields_more;
    if (worker->fields && strcmp(worker->fields, fields) == 0)
        return;
    replace(&worker->fields, fields);
    json_decref(worker->field_types);
    worker->field_types = json_loads(fields, 0, NULL);
    if (!json_is_object(worker->field_types)) {
        json_decref(worker->field_types);
        worker->field_types = NULL;
    }
}

const json_t *registry_fields(registry_t *self, const char *collection, bool *more)
{
    worker_t *worker;
    bool served = false;
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (worker->role == ROLE_GENERATOR || strcmp(worker->collection, collection) != 0)
            continue;
        served = true;
        *more = worker->fields_more;
        if (worker->field_types)
            return worker->field_types;
    }
    *more = !served;
    return NULL;
}

// Puts a retriever among the replicas of its shard and kind, and notes what its collection
// consists of.
static void place(registry_t *self, worker_t *worker, uint64_t now)
{
    layout_t *layout = find_layout(self, worker->collection);
    if (!layout) {
        if (self->layouts_size >= MAX_COLLECTIONS)
            return;
        layout = make_layout(self, worker->collection);
    }
    layout->shards = worker->shards;
    layout->seen_us[worker->role] = now;
    make_shards(layout, worker->shards);
    replicas_t *replicas = layout->shards_of[worker->role][worker->shard];
    if (worker->replicas == replicas)
        return;
    leave_replicas(worker);
    LIST_INSERT_HEAD(&replicas->workers, worker, replica);
    worker->replicas = replicas;
}

void registry_announced(registry_t *self, const rl_announce_t *announce)
{
    int role = check(self, announce);
    if (role < 0)
        return;
    worker_t *worker = find(self, announce->worker);
    if (worker && (worker->role != (worker_role_t)role ||
                   strcmp(worker->tasks_endpoint, announce->tasks) != 0)) {
        drop(self, worker); // it is somebody else now
        worker = NULL;
    }
    if (!worker)
        worker = join(self, announce, (worker_role_t)role);
    if (!worker || worker->leaving)
        return;
    uint64_t now = rl_now_us();
    bool was_ready = worker->ready;
    if (worker->ready != announce->ready || worker->shard != announce->shard ||
        differs(worker->collection, announce->collection) ||
        differs(worker->generation, announce->generation))
        self->changes++;
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
    replace(&worker->collection, announce->collection);
    replace(&worker->generation, announce->generation);
    replace(&worker->embedding_model, announce->embedding_model);
    replace(&worker->model, announce->model);
    replace(&worker->fingerprint, announce->fingerprint);
    replace(&worker->language, announce->language);
    take_fields(worker, announce);
    if (role != ROLE_GENERATOR)
        place(self, worker, now);
    welcome(self, worker, now);
    if (worker->ready && !was_ready)
        self->events.ready(self->events.arg);
}

void registry_left(registry_t *self, const rl_leave_t *leave)
{
    worker_t *worker = find(self, leave->worker);
    if (!worker)
        return;
    worker->seen_us = rl_now_us();
    if (worker->leaving)
        return;
    rl_info("worker %s leaves, %zu tasks are with it", worker->id, worker->outstanding);
    worker->leaving = true;
    worker->ready = false;
    self->changes++;
    worker->leaving_us = worker->seen_us;
    self->counts.left++;
}

// ----------------------------------------------------------------------------------------- choice

static replicas_t *find_replicas(registry_t *self, const source_t *source)
{
    if (source->replicas)
        return source->replicas;
    layout_t *layout = find_layout(self, source->collection);
    return layout && source->shard < layout->made ? layout->shards_of[source->kind][source->shard]
                                                  : NULL;
}

// A small generator of its own (xorshift): ties are broken at random, cheaply.
static unsigned random_number(registry_t *self)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 17;
    self->random ^= self->random << 5;
    return self->random ? self->random : (self->random = 1);
}

// Whether an announcement is overdue: it may be dead or stopped, and not be known to be lost yet.
static bool is_late(const worker_t *worker, uint64_t now)
{
    return now > worker->seen_us && now - worker->seen_us > worker->period_ms * 1500;
}

static uint64_t fastest_median(const replicas_t *replicas)
{
    const worker_t *worker;
    uint64_t fastest = 0;
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        uint64_t median = worker->latency.median_us;
        if (worker->ready && median && (!fastest || median < fastest))
            fastest = median;
    }
    return fastest;
}

// The time that one more task has to expect: how many are before it and, at a replica that is much
// slower than the fastest (0: not known), how much longer each takes there.
static uint64_t load_of(const worker_t *worker, uint64_t fastest)
{
    uint64_t median = worker->latency.median_us, unit = LOAD_UNIT;
    if (fastest && median > fastest * SLOW_TIMES)
        unit = LOAD_UNIT * median / fastest;
    return (worker->outstanding + 1) * unit;
}

worker_t *registry_pick(registry_t *self, const source_t *source, const worker_t *except,
                        size_t bound)
{
    worker_t *best = NULL, *worker;
    uint64_t best_load = 0, now = rl_now_us();
    bool best_late = false;
    unsigned ties = 0;
    replicas_t *replicas = find_replicas(self, source);
    if (!replicas)
        return NULL;
    bool probe = random_number(self) % PROBE_EVERY == 0;
    uint64_t fastest = probe ? 0 : fastest_median(replicas);
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        if (!worker->ready || worker == except || worker->outstanding >= bound)
            continue;
        bool late = is_late(worker, now);
        uint64_t load = load_of(worker, fastest);
        if (best && (late != best_late ? late : load > best_load))
            continue;
        ties = best && late == best_late && load == best_load ? ties + 1 : 1;
        if (ties > 1 && random_number(self) % ties != 0)
            continue;
        best = worker;
        best_load = load;
        best_late = late;
    }
    return best;
}

worker_t *registry_find(registry_t *self, const char *id)
{
    return find(self, id);
}

worker_t *registry_find_generator(registry_t *self, const char *id)
{
    worker_t *worker;
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (strcmp(worker->id, id) == 0)
            return worker->role == ROLE_GENERATOR && worker->ready && !worker->leaving &&
                           worker->outstanding < worker->slots
                       ? worker
                       : NULL;
    }
    return NULL;
}

worker_t *registry_pick_prefiller(registry_t *self)
{
    worker_t *best = NULL, *worker;
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (worker->role == ROLE_GENERATOR && worker->ready && worker->prefill &&
            worker->outstanding < worker->slots &&
            (!best || worker->outstanding < best->outstanding))
            best = worker;
    }
    return best;
}

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

worker_t *registry_pick_generator(registry_t *self, const worker_t *except)
{
    worker_t *best = NULL, *worker;
    unsigned ties = 0;
    uint64_t now = rl_now_us();
    TAILQ_FOREACH(worker, &self->workers, all)
    {
        if (!worker->ready || worker == except || worker->role != ROLE_GENERATOR ||
            worker->outstanding >= worker->slots)
            continue;
        bool late = is_late(worker, now);
        if (best && late != is_late(best, now)) {
            if (!late) { // whoever is late is the last choice
                best = worker;
                ties = 1;
            }
            continue;
        }
        // outstanding / slots, compared without dividing
        uint64_t mine = best ? worker->outstanding * best->slots : 0;
        uint64_t its = best ? best->outstanding * worker->slots : 1;
        if (mine > its)
            continue;
        ties = mine == its ? ties + 1 : 1;
        if (ties == 1 || random_number(self) % ties == 0)
            best = worker;
    }
    return best;
}

int registry_compare_generations(const char *a, const char *b)
{
    // a longer name is newer, equal lengths compare as words; behind "+" stand changes
    size_t x = strcspn(a, "+"), y = strcspn(b, "+");
    return x != y ? (x < y ? -1 : 1) : strncmp(a, b, x);
}

// The same, and of one generation by the changes that are applied to it.
static int compare_positions(const char *a, const char *b)
{
    int order = registry_compare_generations(a, b);
    a += strcspn(a, "+");
    b += strcspn(b, "+");
    uint64_t x = *a ? strtoull(a + 1, NULL, 10) + 1 : 0, y = *b ? strtoull(b + 1, NULL, 10) + 1 : 0;
    return order ? order : (x > y) - (x < y);
}

void registry_note_generation(registry_t *self, worker_t *worker, const char *generation)
{
    if (compare_positions(generation, worker->generation) <= 0)
        return;
    replace(&worker->generation, generation);
    self->changes++;
}

bool registry_takes_changes(registry_t *self, const source_t *source)
{
    return strchr(registry_generation(self, source), '+') != NULL;
}

const char *registry_generation(registry_t *self, const source_t *source)
{
    const char *newest = "";
    const worker_t *worker;
    const replicas_t *replicas = find_replicas(self, source);
    if (!replicas)
        return newest;
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        if (worker->ready && compare_positions(worker->generation, newest) > 0)
            newest = worker->generation;
    }
    return newest;
}

uint64_t registry_version(const registry_t *self)
{
    return self->changes;
}

const worker_t *registry_find_replica(registry_t *self, const source_t *source)
{
    worker_t *worker;
    replicas_t *replicas = find_replicas(self, source);
    if (!replicas)
        return NULL;
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        if (!worker->leaving)
            return worker;
    }
    return NULL;
}

bool registry_has_replica(registry_t *self, const source_t *source)
{
    worker_t *worker;
    replicas_t *replicas = find_replicas(self, source);
    if (!replicas)
        return false;
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        if (worker->ready)
            return true;
    }
    return false;
}

uint64_t registry_hedge_after_us(registry_t *self, const source_t *source)
{
    worker_t *worker;
    replicas_t *replicas = find_replicas(self, source);
    uint64_t fastest = 0;
    size_t ready = 0;
    if (!replicas)
        return 0;
    LIST_FOREACH(worker, &replicas->workers, replica)
    {
        ready += worker->ready;
        if (worker->ready && worker->latency.p95_us &&
            (!fastest || worker->latency.p95_us < fastest))
            fastest = worker->latency.p95_us;
    }
    return ready > 1 ? fastest : 0;
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

size_t registry_sources(registry_t *self, const char *collection, const bool kinds[KINDS],
                        source_t *out, size_t max)
{
    layout_t *layout = find_layout(self, collection);
    size_t size = 0;
    uint64_t now = rl_now_us();
    if (!layout)
        return 0;
    for (int kind = 0; kind < KINDS; kind++) {
        if (!kinds[kind] || !layout->seen_us[kind] || now - layout->seen_us[kind] > REMEMBER_US)
            continue;
        for (uint64_t shard = 0; shard < layout->shards && size < max; shard++)
            out[size++] =
                (source_t){layout->name, shard, (kind_t)kind, layout->shards_of[kind][shard]};
    }
    return size;
}

bool registry_knows(registry_t *self, const char *collection)
{
    return find_layout(self, collection) != NULL;
}

const char **registry_collections(registry_t *self, size_t *size)
{
    const char **names = calloc(self->layouts_size + 1, sizeof *names);
    if (!names)
        abort();
    layout_t *layout;
    *size = 0;
    LIST_FOREACH(layout, &self->layouts, all)
    {
        names[(*size)++] = layout->name;
    }
    return names;
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
