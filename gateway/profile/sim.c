// sim: events in the order of their time; where a station is first come, first served and the time
// of service is known, the end is known when a task comes, so that most queues are only times at
// which servers become free.
#include "sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "balance.h"
#include "mem.h"
#include "values.h"

typedef enum event_kind {
    ARRIVE,
    EMBED, // the vector is asked for
    EMBEDDED,
    SEEK,     // a search is sent
    SOUGHT,   // its hits are there
    GIVEN_UP, // the same of one that did not answer
    GENERATE, // a generator is looked for
    ASK,      // the LLM server gets the request
    SLOT_FREE,
} event_kind_t;

typedef struct event {
    double at;
    uint64_t number; // of two at the same time the one made first comes first
    event_kind_t kind;
    uint32_t question, extra; // extra: a search's number, or the replica that had it
    double since;             // when that search was sent
} event_t;

typedef struct life {
    uint32_t demand, pending, gateway, next; // next: behind it in the queue for a slot
    double arrived, waited;                  // waited: when it began to wait for a slot
} life_t;

// Servers that are free from these times on, as a heap: the least stands first.
typedef struct servers {
    double *free_at;
    unsigned size; // 0: never all busy
} servers_t;

// Chosen by the same rules as the gateway's replicas (registry_pick).
typedef struct replica {
    uint64_t outstanding;
    rl_recent_t recent;
} replica_t;

typedef struct sim {
    const model_t *model;
    uint64_t random, made;
    event_t *heap;
    size_t heap_size, heap_room;
    life_t *lives;
    servers_t *retrievers, embed, llm;
    double *gateway_free;
    replica_t *replicas;                // of each source, one behind the other
    size_t *replicas_of, replicas_size; // of each source: the first of them
    uint64_t slots, running;
    uint32_t queue_first, queue_last; // for a slot; UINT32_MAX: empty
    values_t firsts;
    double search_wait, slot_wait, gateway_wait, embed_wait, llm_wait;
    size_t seeks, generated, embedded, passed;
} sim_t;

// SplitMix64, Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".
static uint64_t next_random(sim_t *self)
{
    uint64_t z = self->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t random_below(sim_t *self, size_t bound)
{
    return (uint32_t)(next_random(self) % bound);
}

// ---- events -------------------------------------------------------------------------------------

static bool is_sooner(const event_t *a, const event_t *b)
{
    return a->at < b->at || (a->at == b->at && a->number < b->number);
}

static void push_event(sim_t *self, event_t event)
{
    event.number = self->made++;
    if (self->heap_size == self->heap_room) {
        self->heap_room = self->heap_room ? 2 * self->heap_room : 1024;
        self->heap = rl_realloc(self->heap, self->heap_room, sizeof *self->heap);
    }
    size_t hole = self->heap_size++;
    while (hole > 0 && is_sooner(&event, &self->heap[(hole - 1) / 2])) {
        self->heap[hole] = self->heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    self->heap[hole] = event;
}

static void put_event(sim_t *self, double at, event_kind_t kind, uint32_t question, uint32_t extra)
{
    push_event(self, (event_t){.at = at, .kind = kind, .question = question, .extra = extra});
}

static event_t take_event(sim_t *self)
{
    event_t first = self->heap[0], last = self->heap[--self->heap_size];
    size_t hole = 0, child;
    while ((child = 2 * hole + 1) < self->heap_size) {
        child +=
            child + 1 < self->heap_size && is_sooner(&self->heap[child + 1], &self->heap[child]);
        if (!is_sooner(&self->heap[child], &last))
            break;
        self->heap[hole] = self->heap[child];
        hole = child;
    }
    self->heap[hole] = last;
    return first;
}

// ---- stations -----------------------------------------------------------------------------------

static servers_t servers_new(unsigned size)
{
    servers_t self = {NULL, size < MODEL_ENDLESS ? size : 0};
    if (self.size > 0)
        self.free_at = rl_alloc_array(self.size, sizeof *self.free_at);
    return self;
}

// When a task that comes now is taken up; the server is then busy for `ms`.
static double serve_next(servers_t *self, double now, double ms)
{
    if (self->size == 0)
        return now;
    double start = self->free_at[0] > now ? self->free_at[0] : now, end = start + ms;
    size_t hole = 0, child;
    while ((child = 2 * hole + 1) < self->size) {
        child += child + 1 < self->size && self->free_at[child + 1] < self->free_at[child];
        if (self->free_at[child] >= end)
            break;
        self->free_at[hole] = self->free_at[child];
        hole = child;
    }
    self->free_at[hole] = end;
    return start;
}

// Half of the gateway's work for a question; what the recording shows beyond it (`ms`) is waiting
// for something else. Returns when it is over.
static double pass_gateway(sim_t *self, uint32_t gateway, double now, double ms)
{
    double work = self->model->gateway_ms / 2, rest = ms > work ? ms - work : 0;
    double start = self->gateway_free[gateway] > now ? self->gateway_free[gateway] : now;
    self->gateway_free[gateway] = start + work;
    self->gateway_wait += start - now;
    self->passed++;
    // where less was recorded than the mean of all, it was not more work
    return start + (ms < work ? ms : work) + rest;
}

// ---- a question's way ---------------------------------------------------------------------------

static void retrieval_over(sim_t *self, uint32_t question, double now)
{
    const demand_t *demand = &self->model->demands[self->lives[question].demand];
    double over = pass_gateway(self, self->lives[question].gateway, now, demand->merge_ms);
    if (demand->generates)
        put_event(self, over + demand->lost_ms, GENERATE, question, 0);
}

static void piece_over(sim_t *self, uint32_t question, double now)
{
    if (--self->lives[question].pending == 0)
        retrieval_over(self, question, now);
}

static void send_searches(sim_t *self, uint32_t question, double now, bool after_embed)
{
    const demand_t *demand = &self->model->demands[self->lives[question].demand];
    for (uint32_t at = 0; at < demand->searches_size; at++) {
        const demand_search_t *search = &self->model->searches[demand->searches + at];
        if (search->after_embed == after_embed)
            put_event(self, now + search->gap_ms, SEEK, question, demand->searches + at);
    }
}

static void on_arrive(sim_t *self, uint32_t question, double now)
{
    life_t *life = &self->lives[question];
    const demand_t *demand = &self->model->demands[life->demand];
    life->gateway = random_below(self, self->model->gateways);
    life->pending = demand->searches_size + (demand->embed_ms >= 0);
    double read = pass_gateway(self, life->gateway, now, demand->read_ms);
    if (demand->embed_ms >= 0)
        put_event(self, read + demand->embed_gap_ms, EMBED, question, 0);
    send_searches(self, question, read, false);
    if (life->pending == 0) {
        life->pending = 1;
        put_event(self, read, GIVEN_UP, question, 0);
    }
}

static void on_embed(sim_t *self, uint32_t question, double now)
{
    const demand_t *demand = &self->model->demands[self->lives[question].demand];
    double start = serve_next(&self->embed, now, demand->embed_ms);
    self->embed_wait += start - now;
    self->embedded++;
    put_event(self, start + demand->embed_ms, EMBEDDED, question, 0);
}

static size_t pick_replica(sim_t *self, replica_t *replicas, size_t size)
{
    uint64_t random = next_random(self) | 1, fastest = 0;
    for (size_t at = 0; at < size; at++)
        if (replicas[at].recent.median_us && (!fastest || replicas[at].recent.median_us < fastest))
            fastest = replicas[at].recent.median_us;
    rl_choice_t choice = {.random = &random};
    if (rl_choice_probes(&random))
        fastest = 0;
    for (size_t at = 0; at < size; at++)
        rl_choice_offer(
            &choice, &replicas[at], false,
            rl_choice_load(replicas[at].outstanding, replicas[at].recent.median_us, fastest), 1);
    return (size_t)((replica_t *)choice.best - replicas);
}

static void on_seek(sim_t *self, uint32_t question, uint32_t number, double now)
{
    const demand_search_t *search = &self->model->searches[number];
    const model_source_t *source = &self->model->sources[search->source];
    if (search->missing || source->size == 0) {
        put_event(self, now + search->work_ms, GIVEN_UP, question, 0);
        return;
    }
    replica_t *replicas = &self->replicas[self->replicas_of[search->source]];
    size_t chosen = pick_replica(self, replicas, source->size);
    double there = now + search->network_ms / 2;
    double start = serve_next(&self->retrievers[source->processes[chosen]], there, search->work_ms);
    replicas[chosen].outstanding++;
    self->search_wait += start - there;
    self->seeks++;
    push_event(self, (event_t){.at = start + search->work_ms + search->network_ms / 2,
                               .kind = SOUGHT,
                               .question = question,
                               .extra = (uint32_t)(replicas + chosen - self->replicas),
                               .since = now});
}

static void take_slot(sim_t *self, uint32_t question, double now)
{
    const demand_t *demand = &self->model->demands[self->lives[question].demand];
    self->running++;
    self->generated++;
    self->slot_wait += now - self->lives[question].waited;
    put_event(self, now + demand->ask_ms, ASK, question, 0);
}

static void on_generate(sim_t *self, uint32_t question, double now)
{
    life_t *life = &self->lives[question];
    life->waited = now;
    life->next = UINT32_MAX;
    if (self->running < self->slots) {
        take_slot(self, question, now);
        return;
    }
    if (self->queue_first == UINT32_MAX)
        self->queue_first = question;
    else
        self->lives[self->queue_last].next = question;
    self->queue_last = question;
}

static void on_ask(sim_t *self, uint32_t question, double now)
{
    const life_t *life = &self->lives[question];
    const demand_t *demand = &self->model->demands[life->demand];
    double start = serve_next(&self->llm, now, demand->hold_ms);
    self->llm_wait += start - now;
    if (demand->counts)
        values_add(&self->firsts, start + demand->first_ms + demand->relay_ms - life->arrived);
    put_event(self, start + demand->hold_ms, SLOT_FREE, question, 0);
}

static void on_slot_free(sim_t *self, double now)
{
    uint32_t next = self->queue_first;
    self->running--;
    if (next == UINT32_MAX)
        return;
    self->queue_first = self->lives[next].next;
    take_slot(self, next, now);
}

static void handle_event(sim_t *self, const event_t *event)
{
    switch (event->kind) {
    case ARRIVE:
        on_arrive(self, event->question, event->at);
        break;
    case EMBED:
        on_embed(self, event->question, event->at);
        break;
    case EMBEDDED:
        send_searches(self, event->question, event->at, true);
        piece_over(self, event->question, event->at);
        break;
    case SEEK:
        on_seek(self, event->question, event->extra, event->at);
        break;
    case SOUGHT:
        self->replicas[event->extra].outstanding--;
        rl_recent_add(&self->replicas[event->extra].recent,
                      (uint64_t)((event->at - event->since) * 1000));
        piece_over(self, event->question, event->at);
        break;
    case GIVEN_UP:
        piece_over(self, event->question, event->at);
        break;
    case GENERATE:
        on_generate(self, event->question, event->at);
        break;
    case ASK:
        on_ask(self, event->question, event->at);
        break;
    case SLOT_FREE:
        on_slot_free(self, event->at);
        break;
    }
}

// ---- rounds -------------------------------------------------------------------------------------

static void empty_stations(sim_t *self)
{
    const model_t *model = self->model;
    memset(self->replicas, 0, self->replicas_size * sizeof *self->replicas);
    for (size_t at = 0; at < model->retrievers_size; at++)
        for (unsigned n = 0; n < self->retrievers[at].size; n++)
            self->retrievers[at].free_at[n] = 0;
    servers_t *beyond[] = {&self->embed, &self->llm};
    for (size_t at = 0; at < 2; at++)
        for (unsigned n = 0; n < beyond[at]->size; n++)
            beyond[at]->free_at[n] = 0;
    memset(self->gateway_free, 0, model->gateways * sizeof *self->gateway_free);
    self->running = 0;
    self->queue_first = self->queue_last = UINT32_MAX;
}

// The recording's arrivals, nearer together or further apart by `scale`; each recorded question
// stands behind one of them.
static void arrive_as_recorded(sim_t *self, double scale)
{
    const recording_t *recording = self->model->recording;
    size_t size = self->model->demands_size;
    for (size_t at = 0; at < size; at++)
        self->lives[at].demand = (uint32_t)at;
    for (size_t at = size; at > 1; at--) { // Fisher, Yates
        size_t other = random_below(self, at);
        uint32_t demand = self->lives[at - 1].demand;
        self->lives[at - 1].demand = self->lives[other].demand;
        self->lives[other].demand = demand;
    }
    double first = recording_at(recording, 0)->at_ms;
    for (size_t at = 0; at < size; at++) {
        self->lives[at].arrived = (recording_at(recording, at)->at_ms - first) * scale;
        put_event(self, self->lives[at].arrived, ARRIVE, (uint32_t)at, 0);
    }
}

static void arrive_at_random(sim_t *self, size_t size, double rate)
{
    double now = 0;
    for (size_t at = 0; at < size; at++) {
        double uniform = ((double)(next_random(self) >> 11) + 1) / 9007199254740993.0; // (0, 1]
        now -= 1000 / rate * log(uniform);
        self->lives[at].demand = random_below(self, self->model->demands_size);
        self->lives[at].arrived = now;
        put_event(self, now, ARRIVE, (uint32_t)at, 0);
    }
}

static sim_t *sim_new(const model_t *model, uint64_t seed, size_t questions)
{
    sim_t *self = rl_new(*self);
    self->model = model;
    self->random = seed;
    self->lives = rl_alloc_array(questions, sizeof *self->lives);
    self->gateway_free = rl_alloc_array(model->gateways, sizeof *self->gateway_free);
    self->replicas_of = rl_alloc_array(model->sources_size, sizeof *self->replicas_of);
    for (size_t at = 0; at < model->sources_size; at++) {
        self->replicas_of[at] = self->replicas_size;
        self->replicas_size += model->sources[at].size;
    }
    self->replicas = rl_alloc_array(self->replicas_size, sizeof *self->replicas);
    self->retrievers = rl_alloc_array(model->retrievers_size, sizeof *self->retrievers);
    for (size_t at = 0; at < model->retrievers_size; at++)
        self->retrievers[at] = servers_new(model->retrievers[at].servers);
    for (size_t at = 0; at < model->generators_size; at++)
        self->slots += model->generators[at].servers;
    if (model->generators_size == 0)
        self->slots = MODEL_ENDLESS;
    self->embed = servers_new(model->embed_slots);
    self->llm = servers_new(model->llm_slots);
    return self;
}

static void sim_free(sim_t *self)
{
    for (size_t at = 0; at < self->model->retrievers_size; at++)
        free(self->retrievers[at].free_at);
    free(self->embed.free_at);
    free(self->llm.free_at);
    free(self->retrievers);
    free(self->replicas_of);
    free(self->replicas);
    free(self->gateway_free);
    free(self->lives);
    free(self->heap);
    values_free(&self->firsts);
    free(self);
}

static double mean_of(double sum, size_t count)
{
    return count ? sum / (double)count : 0;
}

static void write_result(sim_t *self, sim_result_t *out)
{
    out->questions = self->firsts.size;
    out->p50_ms = values_share(&self->firsts, 0.5);
    out->p90_ms = values_share(&self->firsts, 0.9);
    out->p99_ms = values_share(&self->firsts, 0.99);
    out->mean_ms = values_mean(&self->firsts);
    out->search_wait_ms = mean_of(self->search_wait, self->seeks);
    out->slot_wait_ms = mean_of(self->slot_wait, self->generated);
    out->gateway_wait_ms = mean_of(self->gateway_wait, self->passed);
    out->embed_wait_ms = mean_of(self->embed_wait, self->embedded);
    out->llm_wait_ms = mean_of(self->llm_wait, self->generated);
}

bool sim_run(const model_t *model, const sim_load_t *load, sim_result_t *out)
{
    double recorded = recording_rate(model->recording);
    double rate = load->rate > 0 ? load->rate : recorded;
    bool random = load->poisson || recorded <= 0;
    size_t size = model->demands_size, least = load->least;
    *out = (sim_result_t){.rate = rate};
    if (rate <= 0 || size == 0)
        return false;
    least = least < SIM_MAX_QUESTIONS ? least : SIM_MAX_QUESTIONS;
    size_t of_round = random ? (least > size ? least : size) : size;
    size_t rounds = random ? 1 : least / size + (least % size > 0);
    sim_t *self = sim_new(model, load->seed, of_round);
    for (size_t round = 0; round < (rounds ? rounds : 1); round++) {
        empty_stations(self);
        if (random)
            arrive_at_random(self, of_round, rate);
        else
            arrive_as_recorded(self, recorded / rate);
        while (self->heap_size > 0) {
            event_t event = take_event(self);
            handle_event(self, &event);
        }
    }
    write_result(self, out);
    bool any = self->firsts.size > 0;
    sim_free(self);
    return any;
}
