// model_build: the model from a recording.
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "overlap.h"
#include "values.h"

static const double WAITED_MS = 0.5; // less is the way, not a queue

// 0 for all where it is not known: then only durations count.
static double arrival_of(const model_t *self, const answer_record_t *answer)
{
    return self->lasted_ms > 0 ? answer->at_ms : 0;
}

// ---- who is there -------------------------------------------------------------------------------

static size_t find_source(model_t *self, uint32_t name)
{
    size_t at = 0;
    while (at < self->sources_size && self->sources[at].name != name)
        at++;
    if (at == self->sources_size) {
        if (at == MODEL_MAX_SOURCES)
            return MODEL_MAX_SOURCES - 1;
        self->sources[self->sources_size++].name = name;
    }
    return at;
}

static size_t find_process(model_process_t *list, size_t *size, uint32_t name)
{
    size_t at = 0;
    while (at < *size && list[at].name != name)
        at++;
    if (at == *size) {
        if (at == MODEL_MAX_PROCESSES)
            return MODEL_MAX_PROCESSES - 1;
        list[(*size)++] = (model_process_t){.name = name};
    }
    return at;
}

static void add_service(model_source_t *source, uint32_t process)
{
    for (size_t at = 0; at < source->size; at++)
        if (source->processes[at] == process)
            return;
    source->processes = rl_realloc(source->processes, source->size + 1, sizeof *source->processes);
    source->processes[source->size++] = process;
}

// Retrievers that serve the same sources are one station.
static void find_stations(model_t *self)
{
    uint64_t *signs = rl_alloc_array(self->retrievers_size, sizeof *signs);
    for (size_t at = 0; at < self->sources_size; at++)
        for (size_t n = 0; n < self->sources[at].size; n++) // FNV-1a over the sources' numbers
            signs[self->sources[at].processes[n]] =
                (signs[self->sources[at].processes[n]] ^ (at + 1)) * 1099511628211u;
    for (size_t at = 0; at < self->retrievers_size; at++) {
        size_t same = 0;
        while (same < at && signs[same] != signs[at])
            same++;
        self->retrievers[at].station =
            same < at ? self->retrievers[same].station : (uint32_t)self->stations++;
    }
    free(signs);
}

// ---- how many each serves at a time -------------------------------------------------------------

static int by_process(const void *one, const void *other)
{
    const piece_t *a = one, *b = other;
    return a->process < b->process ? -1 : a->process > b->process;
}

// Sets `servers` of each process from its pieces; `otherwise` where none ever waited: 0 takes the
// most that were at work at a time.
static void count_servers(model_process_t *list, piece_t *pieces, size_t size, unsigned given,
                          unsigned otherwise, bool timed)
{
    qsort(pieces, size, sizeof *pieces, by_process);
    for (size_t from = 0, to; from < size; from = to) {
        model_process_t *process = &list[pieces[from].process];
        values_t took = {0};
        for (to = from; to < size && pieces[to].process == pieces[from].process; to++) {
            values_add(&took, pieces[to].end_ms - pieces[to].start_ms);
            process->busy_ms += pieces[to].end_ms - pieces[to].start_ms;
        }
        process->tasks = to - from;
        double slack = 0.3 * values_share(&took, 0.5);
        overlap_t found = overlap_of(pieces + from, to - from, slack < 1 ? slack : 1);
        values_free(&took);
        process->known = given > 0 || (timed && found.servers > 0);
        process->servers = given           ? given
                           : !timed        ? 1
                           : found.servers ? found.servers
                           : otherwise     ? otherwise
                                           : found.most;
        if (!given && !timed && otherwise)
            process->servers = otherwise;
    }
}

static void add_pieces_of_searches(model_t *self, const answer_record_t *answer, piece_t *pieces,
                                   size_t *size)
{
    for (size_t at = 0; at < answer->seeks_size; at++) {
        const seek_t *seek = &answer->seeks[at];
        if (seek->missing)
            continue;
        uint32_t name = recording_process(self->recording, seek->worker);
        size_t process = find_process(self->retrievers, &self->retrievers_size, name);
        double begun =
            arrival_of(self, answer) + seek->start_ms + seek->network_ms / 2 + seek->queue_ms;
        add_service(&self->sources[find_source(self, seek->source)], (uint32_t)process);
        pieces[(*size)++] = (piece_t){.process = (uint32_t)process,
                                      .waited = seek->queue_ms > WAITED_MS,
                                      .start_ms = begun,
                                      .end_ms = begun + seek->work_ms};
    }
}

static void find_retrievers(model_t *self, const model_settings_t *settings, bool timed)
{
    piece_t *pieces = rl_alloc_array(self->searches_size, sizeof *pieces);
    size_t size = 0;
    for (size_t at = 0; at < recording_size(self->recording); at++)
        add_pieces_of_searches(self, recording_at(self->recording, at), pieces, &size);
    count_servers(self->retrievers, pieces, size, settings->threads, 0, timed);
    free(pieces);
    find_stations(self);
}

static void find_generators(model_t *self, const model_settings_t *settings, bool timed)
{
    size_t size = 0;
    piece_t *pieces = rl_alloc_array(recording_size(self->recording), sizeof *pieces);
    for (size_t at = 0; at < recording_size(self->recording); at++) {
        const answer_record_t *answer = recording_at(self->recording, at);
        if (answer->generate_ms < 0 || answer->generator == (uint32_t)RECORDING_NONE)
            continue;
        double begun = arrival_of(self, answer) + answer->generate_ms + answer->queue_ms;
        pieces[size++] =
            (piece_t){.process = (uint32_t)find_process(self->generators, &self->generators_size,
                                                        answer->generator),
                      .waited = answer->wait_ms > WAITED_MS || answer->queue_ms > WAITED_MS,
                      .start_ms = begun,
                      .end_ms = begun + answer->ask_ms + answer->prefill_ms + answer->tokens_ms};
    }
    count_servers(self->generators, pieces, size, settings->slots, MODEL_ENDLESS, timed);
    free(pieces);
}

// ---- servers beyond the workers: what they were asked, and when they took it up
// ------------------

typedef struct beyond {
    unsigned most;
    double mean_ms;
} beyond_t;

// `pieces[n].process` is the demand's number; `set` gets when each came and was taken up.
static beyond_t look_beyond(model_t *self, piece_t *pieces, size_t size, unsigned slots,
                            void (*set)(demand_t *, double waited_ms))
{
    beyond_t out = {.most = overlap_of(pieces, size, 0).most};
    double *came = rl_alloc_array(self->demands_size, sizeof *came), sum = 0;
    for (size_t at = 0; at < size; at++)
        came[pieces[at].process] = pieces[at].start_ms;
    overlap_unqueue(pieces, size, slots);
    for (size_t at = 0; at < size; at++) {
        set(&self->demands[pieces[at].process], pieces[at].start_ms - came[pieces[at].process]);
        sum += pieces[at].end_ms - pieces[at].start_ms;
    }
    out.mean_ms = size ? sum / (double)size : 0;
    free(came);
    return out;
}

static void embed_waited(demand_t *demand, double waited_ms)
{
    demand->embed_ms -= (float)waited_ms;
}

static void llm_waited(demand_t *demand, double waited_ms)
{
    demand->hold_ms -= (float)waited_ms;
    demand->first_ms -= (float)waited_ms;
    if (demand->first_ms < 0)
        demand->first_ms = 0;
}

static void find_beyond(model_t *self, const model_settings_t *settings, bool timed)
{
    size_t embeds = 0, asked = 0;
    piece_t *embed = rl_alloc_array(self->demands_size, sizeof *embed);
    piece_t *llm = rl_alloc_array(self->demands_size, sizeof *llm);
    for (size_t at = 0; at < self->demands_size; at++) {
        const answer_record_t *answer = recording_at(self->recording, at);
        double zero = arrival_of(self, answer);
        if (answer->embed_ms >= 0) {
            double start = zero + answer->embed_start_ms;
            embed[embeds++] = (piece_t){
                .process = (uint32_t)at, .start_ms = start, .end_ms = start + answer->embed_ms};
        }
        if (self->demands[at].generates) {
            double start = zero + answer->generate_ms + answer->queue_ms + answer->ask_ms;
            llm[asked++] = (piece_t){.process = (uint32_t)at,
                                     .start_ms = start,
                                     .end_ms = start + answer->prefill_ms + answer->tokens_ms};
        }
    }
    self->embed_slots = settings->embed_slots ? settings->embed_slots : MODEL_ENDLESS;
    self->llm_slots = settings->llm_slots ? settings->llm_slots : MODEL_ENDLESS;
    beyond_t found =
        look_beyond(self, embed, embeds, timed ? settings->embed_slots : 0, embed_waited);
    self->embed_most = timed ? found.most : 0;
    self->embed_ms = found.mean_ms;
    found = look_beyond(self, llm, asked, timed ? settings->llm_slots : 0, llm_waited);
    self->llm_most = timed ? found.most : 0;
    self->llm_ms = found.mean_ms;
    free(embed);
    free(llm);
}

// ---- demands ------------------------------------------------------------------------------------

static bool is_dense(const char *source)
{
    const char *kind = strrchr(source, '/');
    return kind && strcmp(kind, "/dense") == 0;
}

static void read_demand(model_t *self, const answer_record_t *answer, demand_t *out)
{
    float vector = answer->embed_ms >= 0 ? answer->embed_start_ms + answer->embed_ms : -1;
    *out = (demand_t){.read_ms = answer->search_ms,
                      .embed_gap_ms = fmaxf(0, answer->embed_start_ms - answer->search_ms),
                      .embed_ms = answer->embed_ms,
                      .merge_ms = answer->merge_ms,
                      .lost_ms = answer->lost_ms,
                      .ask_ms = answer->ask_ms,
                      .first_ms = answer->prefill_ms,
                      .hold_ms = answer->prefill_ms + answer->tokens_ms,
                      .relay_ms = answer->relay_ms,
                      .generates = answer->generate_ms >= 0,
                      .counts = answer->first_ms >= 0,
                      .searches = (uint32_t)self->searches_size,
                      .searches_size = answer->seeks_size};
    for (size_t at = 0; at < answer->seeks_size; at++) {
        const seek_t *seek = &answer->seeks[at];
        bool after = vector >= 0 && seek->start_ms >= vector - 0.05F &&
                     is_dense(names_text(recording_names(self->recording), seek->source));
        float gap = seek->start_ms - (after ? vector : answer->search_ms);
        self->searches[self->searches_size++] =
            (demand_search_t){.source = (uint32_t)find_source(self, seek->source),
                              .after_embed = after,
                              .missing = seek->missing,
                              .gap_ms = fmaxf(0, gap),
                              .work_ms = seek->missing ? seek->took_ms : seek->work_ms,
                              .network_ms = seek->network_ms};
    }
}

// The gateway's own work as far as timelines show it: reading and merging, in the median, which
// waits least for other work of its thread.
static double work_of_gateway(const model_t *self)
{
    values_t values = {0};
    for (size_t at = 0; at < self->demands_size; at++)
        values_add(&values, self->demands[at].read_ms + self->demands[at].merge_ms);
    double ms = values_share(&values, 0.5);
    values_free(&values);
    return ms;
}

model_t *model_new(const recording_t *recording, const model_settings_t *settings)
{
    model_t *self = rl_new(*self);
    size_t answers = recording_size(recording), searches = 0;
    bool timed = recording_lasted_ms(recording) > 0;
    for (size_t at = 0; at < answers; at++)
        searches += recording_at(recording, at)->seeks_size;
    self->recording = recording;
    self->lasted_ms = recording_lasted_ms(recording);
    self->demands = rl_alloc_array(answers, sizeof *self->demands);
    self->searches = rl_alloc_array(searches, sizeof *self->searches);
    self->sources = rl_alloc_array(MODEL_MAX_SOURCES, sizeof *self->sources);
    self->retrievers = rl_alloc_array(MODEL_MAX_PROCESSES, sizeof *self->retrievers);
    self->generators = rl_alloc_array(MODEL_MAX_PROCESSES, sizeof *self->generators);
    for (; self->demands_size < answers; self->demands_size++)
        read_demand(self, recording_at(recording, self->demands_size),
                    &self->demands[self->demands_size]);
    find_retrievers(self, settings, timed);
    find_generators(self, settings, timed);
    find_beyond(self, settings, timed);
    self->gateways = settings->gateways ? settings->gateways : 1;
    self->gateway_most_ms = settings->gateway_most_ms;
    self->gateway_measured = settings->gateway_ms > 0;
    self->gateway_ms = self->gateway_measured ? settings->gateway_ms : work_of_gateway(self);
    return self;
}
